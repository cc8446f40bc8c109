"""Order skew: causes of differences between counts in arrival order and in event order."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fraud.clock import DAY_MS
from fraud.decision import Decision
from fraud.windows import MONTH_DAYS, day_of

CONCURRENT_MS = 1_000       # payments closer than this may have been in flight together

LABEL = "label"             # a label arrived later than its label_time, or not at all

# Causes of differences in the counts of payments; the first that applies is reported.
CAUSES = {
    "undecided": "an earlier payment has no decision in the log",
    "late": "a payment arrived after a later one of the same account",
    "concurrent": "the same, within a second",
    "tie": "payments of one event_time arrived in another order than that of their ids",
    "forgotten": "a payment so late that part of its month was not kept, or unlisted payments",
}


class LedgerEntry(NamedTuple):
    """The parts of a payment that are counted."""

    event_time: int
    amount_cents: int
    origin: str
    destination: str | None


def accounts_of(entry: LedgerEntry | Decision) -> set[str]:
    """Return the accounts of a payment: one or two."""
    return {account for account in (entry.origin, entry.destination) if account is not None}


def by_cause(positions: Iterable[int], entries: list[LedgerEntry], rank: np.ndarray
             ) -> dict[str, int]:
    """Count payments by the cause of their order skew.

    Args:
        positions: of the payments to explain, among all.
        entries: of all payments, in event order.
        rank: int64 in the order of arrival, of all payments; 0 for those that did not arrive.
    """
    positions = list(positions)
    accounts = {account for position in positions for account in accounts_of(entries[position])}
    of_account: dict[str, list[int]] = defaultdict(list)
    for position, entry in enumerate(entries):
        for account in accounts & accounts_of(entry):
            of_account[account].append(position)
    counts = Counter(_cause(position, entries, rank, of_account) for position in positions)
    return {cause: counts[cause] for cause in CAUSES if counts[cause]}


def _cause(position: int, entries: list[LedgerEntry], rank: np.ndarray,
           of_account: dict[str, list[int]]) -> str:
    payment, causes = entries[position], set()
    for account in sorted(accounts_of(payment)):
        for other in _of_the_month(of_account[account], entries, payment.event_time):
            happened_before, arrived_before = other < position, rank[other] < rank[position]
            if not rank[other]:
                causes |= {"undecided"} if happened_before else set()
            elif happened_before != arrived_before:
                causes.add(_order_cause(abs(entries[other].event_time - payment.event_time)))
    return next((cause for cause in CAUSES if cause in causes), "forgotten")


def _of_the_month(positions: list[int], entries: list[LedgerEntry], event_time: int) -> list[int]:
    """Return the positions whose payments share the month of an event time."""
    def time_of(position: int) -> int:
        return entries[position].event_time

    begin = (day_of(event_time) - MONTH_DAYS + 1) * DAY_MS
    end = (day_of(event_time) + 1) * DAY_MS
    return positions[bisect_left(positions, begin, key=time_of):
                     bisect_left(positions, end, key=time_of)]


def _order_cause(apart_ms: int) -> str:
    if apart_ms >= CONCURRENT_MS:
        return "late"
    return "concurrent" if apart_ms else "tie"
