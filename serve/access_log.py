"""The access log: a JSON line a request on stderr, among the events that `fraud.logs` writes there.

Python's `logging` takes a tenth of the time of a scored payment, so these lines bypass it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from fraud.caller import Caller
from fraud.settings import LogLevel

STDERR = 2
LEVELS = ("debug", "info")      # of FRAUD_LOG_LEVEL that include access lines


class AccessLine(msgspec.Struct, kw_only=True):
    """The line of a request, with the fields of an event and more."""

    time: str
    level: str = "info"
    logger: str = "serve.access"
    message: str                # method and route
    owner: str                  # of the API key; see `fraud.caller`
    request_id: str
    traceparent: str
    status: int
    milliseconds: float


class AccessLog:
    """Writes access lines, each in one unbuffered call before the answer leaves.

    A line that cannot be written is lost: answers go on.
    """

    def __init__(self, level: LogLevel):
        self._is_on = level in LEVELS
        self._stream = open(STDERR, "ab", 0, closefd=False)

    def write(self, message: str, caller: Caller, status: int, seconds: float) -> None:
        """Write the line of a request that was answered now."""
        if not self._is_on:
            return
        line = AccessLine(
            time=datetime.now(UTC).isoformat("T", "milliseconds"), message=message,
            owner=caller.owner, request_id=caller.request_id, traceparent=caller.traceparent,
            status=status, milliseconds=round(seconds * 1_000, 3))
        with suppress(OSError):         # stderr is full or gone: no event could be logged either
            self._stream.write(_encode(line) + b"\n")


_encode = msgspec.json.Encoder().encode
