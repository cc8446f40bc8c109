"""Open the desk, on which people decide reviewed payments.

    python -m desk                                      on this machine only, http://127.0.0.1:8100
    python -m desk --migrate                            bring the database to this version, and end

At the first start on this machine it prints the password of `admin`; elsewhere add people with
python -m desk.people. Other addresses than loopback need TLS (FRAUD_DESK_TLS_CERTIFICATE and
FRAUD_DESK_TLS_KEY) or a proxy that ends it (FRAUD_DESK_PROXY_ADDRESS).

Environment variables: FRAUD_DESK_DATABASE, FRAUD_DESK_DECISIONS, FRAUD_DESK_LABELS,
FRAUD_ACCOUNT_KEY. docs/reference.md lists all.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from ipaddress import ip_address

from desk.database import Database
from desk.settings import DeskSettings, read_desk_settings
from fraud import logs
from fraud.command_line import Arguments, command, parser
from fraud.settings import SettingsError

logger = logging.getLogger("desk")


@command
def main(arguments: Arguments) -> None:
    options = _options(arguments)
    settings = read_desk_settings(os.environ)
    logs.configure(settings.log_level)
    database = Database(settings.desk_database)
    database.migrate()
    if options.migrate:
        return
    _check(options, settings)
    serve(settings, database, options.host, options.port)


def _options(arguments: Arguments) -> argparse.Namespace:
    options = parser("python -m desk", __doc__)
    options.add_argument("--host", default="127.0.0.1",
                         help="address; any but loopback needs TLS or a proxy "
                              "(default %(default)s)")
    options.add_argument("--port", type=int, default=8100, help="TCP port (default %(default)s)")
    options.add_argument("--migrate", action="store_true",
                         help="bring the database to the version of this program, and end")
    return options.parse_args(arguments)


def _check(options: argparse.Namespace, settings: DeskSettings) -> None:
    if not settings.is_secure and not _is_loopback(options.host):
        raise SettingsError(
            f"--host is {options.host}, and passwords would travel in the clear; set "
            "FRAUD_DESK_TLS_CERTIFICATE and FRAUD_DESK_TLS_KEY, or FRAUD_DESK_PROXY_ADDRESS")
    try:
        family, *_, address = socket.getaddrinfo(options.host, options.port,
                                                 type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        raise SettingsError(f"--port is {options.port}, which cannot be used on {options.host} "
                            f"({error}); choose another --port or --host") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def serve(settings: DeskSettings, database: Database, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    from sanic import Sanic

    from desk.app import create_desk, first_admin

    if _is_loopback(host) and not settings.is_secure and (password := first_admin(database)):
        print(f"\n    Sign in as admin with the password {password}\n"
              "    It is not shown again; python -m desk.people password admin makes a new one.\n",
              file=sys.stderr, flush=True)
    app = create_desk(settings, database)
    tls = ({"cert": settings.desk_tls_certificate, "key": settings.desk_tls_key}
           if settings.desk_tls_certificate else None)
    logger.info("the desk is on %s://%s:%s", "https" if tls else "http", host, port)
    app.prepare(host=host, port=port, ssl=tls, single_process=True, access_log=False, motd=False)
    Sanic.serve_single(app)


if __name__ == "__main__":
    main()
