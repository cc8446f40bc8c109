"""Why counts in the order of arrival are not those in event order."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fraud.history import BUCKET_MS, DAY_BUCKETS, bucket_of

CONCURRENT_MS = 1_000       # payments closer than this may well have been under way at once

# The first that applies names the difference.
CAUSES = {
    "undecided": "an earlier payment has no decision in the log",
    "late": "a payment came after one of the same account with a later event_time",
    "concurrent": "the same, within a second",
    "tie": "payments of one event_time came in another order than that of their ids",
    "forgotten": "a payment so late that a part of its day was no longer kept, or unlisted ones",
}


class Touch(NamedTuple):
    """What is counted of a payment."""

    event_time: int
    amount_cents: int
    origin: str
    destination: str


def by_cause(positions: Iterable[int], touches: list[Touch], rank: np.ndarray) -> dict[str, int]:
    """How many of some payments have which cause.

    Args:
        positions: of the payments to explain, among all.
        touches: of all payments, in event order.
        rank: int64 in the order of arrival, of all payments; 0 for those that did not arrive.
    """
    positions = list(positions)
    accounts = {account for position in positions for account in touches[position][2:]}
    theirs: dict[str, list[int]] = defaultdict(list)
    for position, touch in enumerate(touches):
        for account in accounts & {touch.origin, touch.destination}:
            theirs[account].append(position)
    found = Counter(_cause(position, touches, rank, theirs) for position in positions)
    return {cause: found[cause] for cause in CAUSES if found[cause]}


def _cause(position: int, touches: list[Touch], rank: np.ndarray,
           theirs: dict[str, list[int]]) -> str:
    payment, causes = touches[position], set()
    begin = (bucket_of(payment.event_time) - DAY_BUCKETS + 1) * BUCKET_MS
    end = (bucket_of(payment.event_time) + 1) * BUCKET_MS
    for account in (payment.origin, payment.destination):
        its = theirs[account]
        for other in its[bisect_left(its, begin, key=lambda place: touches[place].event_time):
                         bisect_left(its, end, key=lambda place: touches[place].event_time)]:
            happened_before, arrived_before = other < position, rank[other] < rank[position]
            if not rank[other]:
                causes |= {"undecided"} if happened_before else set()
            elif happened_before != arrived_before:
                apart = abs(touches[other].event_time - payment.event_time)
                causes.add("late" if apart >= CONCURRENT_MS else "concurrent" if apart else "tie")
    return next((cause for cause in CAUSES if cause in causes), "forgotten")
