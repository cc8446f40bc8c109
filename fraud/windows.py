"""Windows of history: the buckets and names of all that is counted of an account.

Payments are counted in hourly and daily UTC buckets: any store can keep them with increments, and
Spark can recompute them exactly. For a payment in bucket b, a window of n buckets is b-n+1..b; of
bucket b it counts the earlier payments, never the payment itself.

The counterparties of a day are kept as a sketch of 64 bits: the bit of an account is a hash of its
name. Sketches of several days are joined by "or", in any order; the number of bits set is a lower
bound of the number of counterparties (K. Whang, B. Vander-Zanden, H. Taylor, "A linear-time
probabilistic counting algorithm", 1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import numpy as np

from fraud.clock import DAY_MS, HOUR_MS

HOUR_HOURS = 2              # hourly buckets: the running hour and the one before
DAY_HOURS = 24
WEEK_DAYS = 7               # daily buckets
MONTH_DAYS = 30
MONTH_MS = MONTH_DAYS * DAY_MS
SKETCH_BITS = 64

# Windows from the shortest to the longest: a store that has recorded one has recorded those before.
WINDOWS = ("hour", "day", "week", "month")
ALL_WINDOWS = len(WINDOWS)

IntOrArray = TypeVar("IntOrArray", int, np.ndarray)


class Activity(NamedTuple):
    """Earlier payments of one account in one direction: integers, or int64 arrays of one shape."""

    count_hour: Any
    cents_hour: Any
    count_day: Any
    cents_day: Any
    count_week: Any
    cents_week: Any
    count_month: Any
    cents_month: Any
    last: Any               # latest event_time; 0 if it is not in the month, or later


class Background(NamedTuple):
    """The rest of the history of one account: integers, or int64 arrays of one shape."""

    first_day: Any          # oldest day of the month with a payment; 0 if there is none
    contacts_week: Any      # bits of the sketch of counterparties
    contacts_month: Any
    frauds_sent_week: Any   # payments that became known as frauds in the week
    frauds_received_week: Any
    frauds_sent_month: Any
    frauds_received_month: Any
    knows_other: Any        # 1 if the bit of the other account is set in the month, else 0


class Counts(NamedTuple):
    """The history that features see: both accounts of a payment, both directions."""

    origin_sent: Activity
    origin_received: Activity
    origin: Background
    destination_sent: Activity
    destination_received: Activity
    destination: Background
    windows: Any            # number of `WINDOWS` that are known: the first ones


SIDE_NAMES = (*(f"sent_{name}" for name in Activity._fields),       # of one account
              *(f"received_{name}" for name in Activity._fields), *Background._fields)
COUNT_NAMES = tuple(f"{side}_{name}" for side in ("origin", "destination") for name in SIDE_NAMES)
SIDE_COUNTS = len(SIDE_NAMES)
_ACTIVITY = len(Activity._fields)


def counts_of(values: Sequence[Any], windows: Any = ALL_WINDOWS) -> Counts:
    """Return `Counts` of values, or arrays, in the order of `COUNT_NAMES`."""
    return Counts(*_side(values[:SIDE_COUNTS]), *_side(values[SIDE_COUNTS:]), windows)


def _side(values: Sequence[Any]) -> tuple[Activity, Activity, Background]:
    return (Activity(*values[:_ACTIVITY]), Activity(*values[_ACTIVITY:2 * _ACTIVITY]),
            Background(*values[2 * _ACTIVITY:]))


def hour_of(event_time: IntOrArray) -> IntOrArray:
    """Return the hourly bucket of a time in ms since the epoch."""
    return event_time // HOUR_MS


def day_of(event_time: IntOrArray) -> IntOrArray:
    """Return the daily bucket of a time in ms since the epoch."""
    return event_time // DAY_MS


def window_starts(event_time: IntOrArray) -> tuple[IntOrArray, ...]:
    """Return the start of each of the `WINDOWS` before a payment, in ms since the epoch."""
    hour, day = hour_of(event_time), day_of(event_time)
    return ((hour - HOUR_HOURS + 1) * HOUR_MS, (hour - DAY_HOURS + 1) * HOUR_MS,
            (day - WEEK_DAYS + 1) * DAY_MS, (day - MONTH_DAYS + 1) * DAY_MS)


def known_windows(recording_since: Any, event_time: Any) -> Any:
    """Return how many of the `WINDOWS` are recorded whole: the first ones.

    Args:
        recording_since, event_time: ms since the epoch; integers, or int64 arrays of one shape.
    """
    hour, day, week, month = window_starts(event_time)
    return ((recording_since <= hour) * 1 + (recording_since <= day)
            + (recording_since <= week) + (recording_since <= month))


def contact_bit(account: str) -> int:
    """Return the sketch of one counterparty: an integer with one bit set."""
    return 1 << crc32(account.encode()) % SKETCH_BITS
