"""Logs as JSON lines: events go to stderr, decisions to stdout or a file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import msgspec

from fraud.decision import Decision

LOGGERS = ("sanic.root", "sanic.error", "sanic.server", "sanic.access")
REPEAT_SECONDS = 1.0
_encode = msgspec.json.Encoder().encode


class JsonFormatter(logging.Formatter):
    """One line a record; the attribute `fields` of a record adds fields to its line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": time.isoformat("T", "milliseconds"), "level": record.levelname.lower(),
            "logger": record.name, "message": record.getMessage(),
            **getattr(record, "fields", {})}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


class RepeatFilter(logging.Filter):
    """Passes one warning or error a second from each line of code; counts the others.

    The next one that passes has their number in its field `suppressed`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[object, ...], tuple[float, int]] = {}    # when, and how many since

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        source = record.pathname, record.lineno, record.exc_info and record.exc_info[0]
        passed, suppressed = self._last.get(source, (float("-inf"), 0))
        if monotonic() < passed + REPEAT_SECONDS:
            self._last[source] = passed, suppressed + 1
            return False
        self._last[source] = monotonic(), 0
        if suppressed:
            record.fields = {**getattr(record, "fields", {}), "suppressed": suppressed}
        return True


def configure(level: str) -> None:
    """Send all loggers of the process to stderr as JSON lines, without floods of warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in LOGGERS:
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = [], True


class DecisionLog:
    """The decision log: a JSON line a decision, unbuffered, so that a crash loses none.

    Args:
        path: a file that is appended to; "-" is stdout.
    """

    def __init__(self, path: str):
        self._stream = (open(1, "ab", 0, closefd=False) if path == "-"
                        else open(path, "ab", 0))

    def write(self, decisions: Sequence[Decision]) -> None:
        """Write decisions, each in one call: short lines of workers on one pipe stay whole."""
        for decision in decisions:
            self._stream.write(_encode(decision) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
