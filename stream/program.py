"""The frame of a program of the stream: logs, metrics over HTTP, an end by SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Timer

from prometheus_client import start_http_server

from fraud import logs
from fraud.settings import SettingsError
from stream.settings import StreamSettings

logger = logging.getLogger("stream")


@contextmanager
def running(settings: StreamSettings, activity: str) -> Iterator[Event]:
    """Serve metrics inside, and give the event that SIGTERM and SIGINT set.

    After a signal, the process ends within `settings.drain_seconds` in any case.

    Args:
        activity: a line for the log.

    Raises:
        SettingsError: the port of metrics is in use.
    """
    logs.configure(settings.log_level)
    try:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        raise SettingsError(f"FRAUD_METRICS_PORT is {settings.metrics_port}: {error.strerror}; "
                            "give each program of a machine another port") from error
    logger.info("%s; metrics on http://%s:%s", activity, settings.metrics_host, server.server_port)
    stop = Event()

    def end(*_: object) -> None:
        stop.set()
        timer = Timer(settings.drain_seconds, os._exit, [1])    # as safe as any crash
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        yield stop
    finally:
        server.shutdown()
