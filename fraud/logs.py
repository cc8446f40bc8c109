"""Logs as JSON lines: events go to stderr, decisions and labels to stdout or a file."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from io import FileIO
from typing import Any

import msgspec

from fraud.decision import Decision
from fraud.errors import FraudError
from fraud.labels import Label

LOGGERS = ("sanic.root", "sanic.error", "sanic.server", "sanic.access")
STDOUT = "-"
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


def configure(level: str) -> None:
    """Send all loggers of the process to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
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
        self._stream = _opened(path)

    def write(self, decisions: Sequence[Decision]) -> None:
        """Write decisions, each in one call: short lines of workers on one pipe stay whole."""
        for decision in decisions:
            self._stream.write(_encode(decision) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _opened(path: str) -> FileIO:
    return open(1, "ab", 0, closefd=False) if path == STDOUT else open(path, "ab", 0)


class LabelLogError(FraudError):
    """A label log that cannot be written. The message names the file and the fix."""


class LabelLog:
    """The label log: a JSON line a label. It is made with the first label.

    Args:
        path: a file that is appended to; "-" is stdout.
    """

    def __init__(self, path: str):
        self._path = path

    def write(self, labels: Sequence[Label]) -> None:
        """Write labels to disk, all in one call: lines of several processes stay whole.

        Raises:
            LabelLogError: the file cannot be written.
        """
        lines = b"".join(_encode(label) + b"\n" for label in labels)
        try:
            with _opened(self._path) as stream:
                if stream.write(lines) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if self._path != STDOUT:
                    os.fsync(stream.fileno())
        except OSError as error:
            raise LabelLogError(f"FRAUD_LABEL_LOG is {self._path!r}: cannot be written "
                                f"({error.strerror}); name a file in a writable directory"
                                ) from error
