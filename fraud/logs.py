"""Logs as JSON lines: what happens goes to stderr, decisions to stdout or a file of their own."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from fraud.scorer import Decision

LOGGERS = ("sanic.root", "sanic.error", "sanic.server", "sanic.access")
_encode = msgspec.json.Encoder().encode


class JsonFormatter(logging.Formatter):
    """One line a record; what is in its `fields` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": datetime.fromtimestamp(record.created, UTC).isoformat("T", "milliseconds"),
                "level": record.levelname.lower(), "logger": record.name,
                "message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


def configure(level: str) -> None:
    """Send all loggers of the process to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in LOGGERS:
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = [], True


class DecisionLog:
    """Where decisions are written, a JSON line each, unbuffered: none is lost in a crash.

    Args:
        path: of a file that is appended to; "-" is stdout.
    """

    def __init__(self, path: str):
        self._stream = (open(1, "ab", 0, closefd=False) if path == "-"
                        else open(path, "ab", 0))

    def write(self, decisions: list[Decision]) -> None:
        """Write decisions, each in one call: what is that short, workers on one pipe do not mix."""
        for decision in decisions:
            self._stream.write(_encode(decision) + b"\n")

    def close(self) -> None:
        self._stream.close()
