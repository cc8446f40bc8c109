"""Serve the champion over HTTP.

    python -m serve                                     on this machine only
    FRAUD_API_KEYS=HASH python -m serve --host 0.0.0.0 --workers 2

Environment variables: FRAUD_MODEL (default models), FRAUD_HISTORY (default memory://),
FRAUD_API_KEYS (hashes; make a key with python -m serve.keys). serve/settings.py and
fraud/settings.py list all of them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from functools import partial
from ipaddress import ip_address

from fraud.bundle import BundleError
from fraud.settings import SettingsError, from_environment
from serve.settings import SHARED_DIRECTORY, ServeSettings

logger = logging.getLogger("serve")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m serve", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1",
                        help="address; any but loopback needs keys (default %(default)s)")
    parser.add_argument("--port", type=int, default=8000,
                        help="TCP port (default %(default)s)")
    parser.add_argument("--workers", type=int, default=1,
                        help="processes; several share history on Redis or DynamoDB "
                             "(default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        settings = from_environment(os.environ, ServeSettings)
        _check(options, settings)
        if options.workers > 1:     # before prometheus_client is imported
            os.environ.setdefault(SHARED_DIRECTORY, tempfile.mkdtemp(prefix="fraud-metrics-"))
        serve(settings, options.host, options.port, options.workers)
    except (BundleError, SettingsError) as error:
        sys.exit(f"error: {error}")


def _check(options: argparse.Namespace, settings: ServeSettings) -> None:
    if options.workers > 1 and settings.history.startswith("memory://"):
        raise SettingsError(f"FRAUD_HISTORY is {settings.history!r}, which {options.workers} "
                            "workers cannot share; use redis://... or --workers 1")
    if not settings.api_keys and not _is_loopback(options.host):
        raise SettingsError(f"--host is {options.host} and FRAUD_API_KEYS is empty, which would "
                            "open the API to everyone; make a key with python -m serve.keys")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: ServeSettings, host: str, port: int, workers: int) -> None:
    """Serve until SIGTERM or SIGINT; what was accepted by then is still answered."""
    from sanic import Sanic
    from sanic.worker.loader import AppLoader

    from fraud import logs
    from serve.app import create_app, create_worker

    logs.configure(settings.log_level)
    if workers == 1:
        app = create_app(settings)
        _say(app, host, port, settings)
        app.prepare(host=host, port=port, single_process=True, access_log=False, motd=False)
        Sanic.serve_single(app)
        return
    loader = AppLoader(factory=partial(create_worker, settings))
    app = loader.load()
    _say(app, host, port, settings)
    app.prepare(host=host, port=port, workers=workers, access_log=False, motd=False)
    Sanic.serve(primary=app, app_loader=loader)


def _say(app, host: str, port: int, settings: ServeSettings) -> None:
    open_to = "callers with a key" if settings.api_keys else "everyone on this machine, no key set"
    logger.info("model %s on http://%s:%s, open to %s",
                app.ctx.service.bundle.manifest.version, host, port, open_to)


if __name__ == "__main__":
    main()
