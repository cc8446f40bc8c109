"""Where a model is good and where it is bad: kinds of payments, and what was declined of each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.history import BUCKET_MS
from fraud.training.splits import Rows
from fraud.transaction import TYPES

AMOUNTS = (0, 1_000, 10_000, 100_000, 1_000_000, np.inf)     # currency units
HOURS = (0, 6, 12, 18, 24)                                  # of the day, UTC
SCORES = (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 1.0)


class Slice(NamedTuple):
    """Payments of one kind."""

    name: str
    payments: int
    frauds: int
    declined: int
    declined_frauds: int

    @property
    def recall(self) -> float:
        """Share of the frauds that was declined; nan where there is none."""
        return self.declined_frauds / self.frauds if self.frauds else float("nan")

    @property
    def precision(self) -> float:
        """Share of the declined payments that was fraud; nan where there is none."""
        return self.declined_frauds / self.declined if self.declined else float("nan")


class Band(NamedTuple):
    """Payments with scores from `low` on and below `high`, or up to 1."""

    low: float
    high: float
    payments: int
    mean_score: float       # what it says
    fraud_share: float      # what there was


def slices(rows: Rows, declined: np.ndarray) -> dict[str, list[Slice]]:
    """Payments by type, amount and hour of the day; kinds without payments are left out.

    Args:
        declined: bool, shape (n,), of the n rows.
    """
    hour = rows.event_time // BUCKET_MS % 24
    return {
        "type": _cut([(name, rows.type_code == code) for code, name in enumerate(TYPES)],
                     rows.label, declined),
        "amount": _cut([(f"{low:,.0f} to {high:,.0f}" if high < np.inf else f"{low:,.0f} and more",
                         (rows.amount >= low) & (rows.amount < high))
                        for low, high in zip(AMOUNTS, AMOUNTS[1:])], rows.label, declined),
        "hour": _cut([(f"{start:02} to {end:02} h UTC", (hour >= start) & (hour < end))
                      for start, end in zip(HOURS, HOURS[1:])], rows.label, declined)}


def _cut(kinds: list[tuple[str, np.ndarray]], label: np.ndarray,
         declined: np.ndarray) -> list[Slice]:
    fraud = label == 1
    counted = [Slice(name, *(int(np.count_nonzero(part)) for part in (
        member, member & fraud, member & declined, member & fraud & declined)))
        for name, member in kinds]
    return [one for one in counted if one.payments]


def calibration(score: np.ndarray, label: np.ndarray) -> list[Band]:
    """What scores say and what there was, by bands of the score; empty bands are left out."""
    place = np.clip(np.searchsorted(SCORES, score, side="right") - 1, 0, len(SCORES) - 2)
    return [Band(SCORES[band], SCORES[band + 1], int(member.sum()), float(score[member].mean()),
                 float(label[member].mean()))
            for band in range(len(SCORES) - 1) if (member := place == band).any()]
