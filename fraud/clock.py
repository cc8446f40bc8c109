"""Lengths of time, the present, and times as people read them: ms since the epoch, UTC."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, TypeVar

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

IntOrArray = TypeVar("IntOrArray", int, Any)      # Any: an int64 array


def now_ms() -> int:
    """Return the present time by the wall clock."""
    return time.time_ns() // 1_000_000


def hour_of_day(time_ms: IntOrArray) -> IntOrArray:
    """Return the hour of the day, 0 to 23, of an integer or an int64 array of times."""
    return time_ms // HOUR_MS % 24


def utc_day(time_ms: int) -> str:
    """Return a day, such as `2024-01-31`."""
    return f"{_utc(time_ms):%Y-%m-%d}"


def utc_minute(time_ms: int) -> str:
    """Return a time to the minute, such as `2024-01-31 17:05 UTC`."""
    return f"{_utc(time_ms):%Y-%m-%d %H:%M} UTC"


def utc_second(time_ms: int) -> str:
    """Return a time to the second, such as `2024-01-31 17:05:59 UTC`."""
    return f"{_utc(time_ms):%Y-%m-%d %H:%M:%S} UTC"


def utc_iso(time_ms: int) -> str:
    """Return a time to the millisecond in ISO 8601, such as `2024-01-31T17:05:59.000Z`."""
    return f"{_utc(time_ms).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _utc(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)
