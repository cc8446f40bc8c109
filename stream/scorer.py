"""Score a stream of payments: from the topic transactions to decisions, each exactly once.

    python -m stream.scorer                             with the champion in FRAUD_MODEL
    python -m stream.scorer --api http://localhost:8000 through a deployed API
    python -m stream.scorer --demo                      with history in memory, gone with it

Environment variables: KAFKA_BOOTSTRAP_SERVERS (default localhost:9092), FRAUD_HISTORY, FRAUD_MODEL
(default models). stream/settings.py and fraud/settings.py list all of them. Start as many as the
topic has partitions; each takes its share.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from threading import Event, Timer

from prometheus_client import start_http_server

from fraud import logs
from fraud.bundle import BundleError
from fraud.settings import SettingsError
from stream.api import Api
from stream.scoring import InProcess, Scoring
from stream.settings import StreamSettings, read
from stream.worker import Worker

logger = logging.getLogger("stream")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stream.scorer", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--api", metavar="URL", help="score through the API at this address")
    how.add_argument("--demo", action="store_true", help="allow history in memory")
    options = parser.parse_args(arguments)
    try:
        settings = read(os.environ)
        run(settings, scoring(settings, options.api, options.demo))
    except (BundleError, SettingsError) as error:
        sys.exit(f"error: {error}")


def scoring(settings: StreamSettings, api: str | None, demo: bool) -> Scoring:
    """What scores.

    Raises:
        BundleError: there is no model that may be served.
        SettingsError: a setting cannot be used.
    """
    if api:
        return Api(api, settings)
    if settings.history.startswith("memory://") and not demo:
        raise SettingsError(f"FRAUD_HISTORY is {settings.history!r}, which a crash empties and "
                            "scorers do not share; use redis://..., or --demo")
    return InProcess(settings)


def run(settings: StreamSettings, how: Scoring) -> None:
    """Score until SIGTERM or SIGINT; the batch in hand is finished then."""
    logs.configure(settings.log_level)
    try:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        raise SettingsError(f"FRAUD_METRICS_PORT is {settings.metrics_port}: {error.strerror}; "
                            "give each scorer of a machine a port of its own") from None
    logger.info("scoring %s on %s; metrics on http://%s:%s", settings.topic_transactions,
                settings.brokers, settings.metrics_host, server.server_port)
    stop = Event()

    def end(*_) -> None:
        stop.set()
        timer = Timer(settings.drain_seconds, os._exit, [1])    # as safe as any crash
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        Worker(settings, how).run(stop)
    finally:
        how.close()
        server.shutdown()


if __name__ == "__main__":
    main()
