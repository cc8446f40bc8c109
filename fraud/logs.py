"""Logs as JSON lines: events go to stderr, decisions and labels to stdout or a file."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sys
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import msgspec

from fraud.decision import Decision
from fraud.errors import FraudError
from fraud.labels import Label

LOGGERS = ("sanic.root", "sanic.error", "sanic.server", "sanic.access")
REPEAT_SECONDS = 1.0
WAITING_LINES = 10_000      # about 15 MB
logger = logging.getLogger(__name__)
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


def encode_line(decision: Decision) -> bytes:
    """Return the line of a decision, without its end."""
    return _encode(decision)


class DecisionLog:
    """The decision log: a JSON line a decision, unbuffered, so that a crash loses none.

    Any thread may use it. A file that is renamed, as log rotation does, is opened anew. While
    writing fails, such as on a full disk, lines wait in memory; beyond `WAITING_LINES` the oldest
    are lost.

    Args:
        path: a file that is appended to; "-" is stdout.
    """

    def __init__(self, path: str):
        self._path = None if path == STDOUT else Path(path)
        self._stream = _opened(path)
        self._waiting: deque[bytes] = deque()
        self._lock = Lock()

    def write(self, decisions: Sequence[Decision]) -> int:
        """Write decisions: to a file in one call, to stdout in one call each.

        Short lines of workers on one pipe stay whole.

        Returns:
            the number of lines that wait, because they could not be written.
        """
        with self._lock:
            self._waiting.extend([encode_line(decision) + b"\n" for decision in decisions])
            try:
                self._reopen_if_renamed()
                while self._waiting:
                    self._write_first()
            except OSError as error:
                logger.error("decisions cannot be logged: %s; %d lines wait, answers go on", error,
                             len(self._waiting))
                self._drop_oldest()
            return len(self._waiting)

    def _reopen_if_renamed(self) -> None:
        if self._path is None:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(self._path), os.fstat(self._stream.fileno())):
                return
        renamed, self._stream = self._stream, open(self._path, "ab", 0)
        renamed.close()

    def _write_first(self) -> None:
        """Write the first lines that wait; raise OSError if the disk has no room for them."""
        if self._path is None:
            written = self._stream.write(self._waiting[0]) or 0
            self._waiting[0] = self._waiting[0][written:]
            if not self._waiting[0]:
                self._waiting.popleft()
            return
        for _ in range(_append(self._stream, self._waiting)):
            self._waiting.popleft()
        if self._waiting:
            raise _no_space()

    def _drop_oldest(self) -> None:
        lost = len(self._waiting) - WAITING_LINES
        if lost > 0:
            logger.error("the log lines of %d decisions are lost", lost)
        for _ in range(lost):
            self._waiting.popleft()

    def close(self) -> None:
        """Write what waits, if that is possible now, and close the file."""
        if self.write([]):
            logger.error("the log lines of %d decisions are lost", len(self._waiting))
        self._stream.close()


def _opened(path: str) -> FileIO:
    return open(1, "ab", 0, closefd=False) if path == STDOUT else open(path, "ab", 0)


def _append(file: FileIO, lines: Collection[bytes]) -> int:
    """Append lines to a file, all in one call, and return the number of those that fit on the disk.

    A line that a full disk cuts is removed again before another process can append to it.
    """
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        left = file.write(b"".join(lines)) or 0
        for count, line in enumerate(lines):
            if left < len(line):
                if left:
                    os.ftruncate(file.fileno(), os.fstat(file.fileno()).st_size - left)
                return count
            left -= len(line)
        return len(lines)
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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
        lines = [_encode(label) + b"\n" for label in labels]
        try:
            with _opened(self._path) as stream:
                if self._path == STDOUT:
                    stream.write(b"".join(lines))
                    return
                if _append(stream, lines) < len(lines):
                    raise _no_space()
                os.fsync(stream.fileno())
        except OSError as error:
            raise LabelLogError(f"FRAUD_LABEL_LOG is {self._path!r}: cannot be written "
                                f"({error.strerror}); name a file in a writable directory"
                                ) from error
