"""What an account did before a payment: which windows are counted, and what a count holds.

Counts are kept in hourly UTC buckets: any store can keep them with increments, and Spark can
recompute them exactly. For a payment in bucket b, a window of n buckets is b-n+1..b, and of the
current bucket it holds what came earlier, never the payment itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

BUCKET_MS = 3_600_000
HOUR_BUCKETS = 2       # the running hour and the one before: the last one to two hours
DAY_BUCKETS = 24


class Activity(NamedTuple):
    """Earlier payments of one account in one direction: integers, or int64 arrays of one shape."""

    count_hour: Any
    cents_hour: Any
    count_day: Any
    cents_day: Any


class Counts(NamedTuple):
    """All that a payment's features know of history: both sides, both directions."""

    origin_sent: Activity
    origin_received: Activity
    destination_sent: Activity
    destination_received: Activity


NAMES = tuple(f"{side}_{field}" for side in Counts._fields for field in Activity._fields)


def counts_of(values) -> Counts:
    """`Counts` from sixteen values, or arrays, in the order of `NAMES`."""
    width = len(Activity._fields)
    return Counts(*(Activity(*values[start:start + width])
                    for start in range(0, len(NAMES), width)))


def bucket_of(event_time):
    """The hourly bucket of a time in ms since the epoch, for an integer or an int64 array."""
    return event_time // BUCKET_MS
