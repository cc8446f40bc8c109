"""Serve the champion over HTTP.

    python -m serve                                     on this machine only
    FRAUD_API_KEYS=HASH python -m serve --host 0.0.0.0 --workers 2

Environment variables: FRAUD_MODEL (default models), FRAUD_HISTORY (default memory://),
FRAUD_API_KEYS (hashes; create a key with python -m serve.keys). docs/reference.md lists all.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
from functools import partial
from ipaddress import ip_address
from typing import Any

from fraud.command_line import Arguments, command, parser
from fraud.settings import SettingsError, from_environment
from serve.settings import ServeSettings
from serve.workers import shared_metrics, supervise

logger = logging.getLogger("serve")


@command
def main(arguments: Arguments) -> None:
    options = _options(arguments)
    settings = from_environment(os.environ, ServeSettings)
    _check(options, settings)
    if options.workers == 1:
        serve(settings, options.host, options.port, 1)
        return
    with shared_metrics():
        serve(settings, options.host, options.port, options.workers)


def _options(arguments: Arguments) -> argparse.Namespace:
    options = parser("python -m serve", __doc__)
    options.add_argument("--host", default="127.0.0.1",
                         help="address; any but loopback needs keys (default %(default)s)")
    options.add_argument("--port", type=int, default=8000, help="TCP port (default %(default)s)")
    options.add_argument("--workers", type=int, default=1,
                         help="processes; several share history on Redis or DynamoDB "
                              "(default %(default)s)")
    return options.parse_args(arguments)


def _check(options: argparse.Namespace, settings: ServeSettings) -> None:
    if options.workers > 1 and settings.history.startswith("memory://"):
        raise SettingsError(f"FRAUD_HISTORY is {settings.history!r}, which {options.workers} "
                            "workers cannot share; use redis://... or --workers 1")
    if not settings.api_keys and not _is_loopback(options.host):
        raise SettingsError(f"--host is {options.host} and FRAUD_API_KEYS is empty, which would "
                            "open the API to everyone; create a key with python -m serve.keys")
    _check_port(options.host, options.port)


def _check_port(host: str, port: int) -> None:
    """Raise SettingsError if the address cannot be bound, before anything says that it is."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(f"--port is {port}, which cannot be used on {host} ({reason}); choose "
                            "another --port or --host") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: ServeSettings, host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or SIGINT; requests accepted by then are still answered."""
    from sanic import Sanic
    from sanic.worker.loader import AppLoader

    from fraud import logs
    from serve.app import create_app, create_worker

    logs.configure(settings.log_level)
    if workers == 1:
        app = create_app(settings)
        _announce(app, host, port, settings)
        app.prepare(host=host, port=port, single_process=True, access_log=False, motd=False)
        Sanic.serve_single(app)
        return
    loader = AppLoader(factory=partial(create_worker, settings))
    app = loader.load()
    app.main_process_ready(supervise)
    _announce(app, host, port, settings)
    app.prepare(host=host, port=port, workers=workers, access_log=False, motd=False)
    Sanic.serve(primary=app, app_loader=loader)


def _announce(app: Any, host: str, port: int, settings: ServeSettings) -> None:
    open_to = "callers with a key" if settings.api_keys else "everyone on this machine, no key set"
    logger.info("model %s on http://%s:%s, open to %s",
                app.ctx.service.bundle.manifest.version, host, port, open_to)


if __name__ == "__main__":
    main()
