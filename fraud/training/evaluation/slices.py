"""Strengths and weaknesses of a model by kind of payment."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fraud import clock
from fraud.training.features.splits import Rows

AMOUNTS = (0, 1_000, 10_000, 100_000, 1_000_000, np.inf)     # currency units
HOURS = (0, 6, 12, 18, 24)                                  # of the day, UTC
SCORES = (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 1.0)


class Slice(NamedTuple):
    """Payments of one kind."""

    name: str
    payments: int
    frauds: int
    reviewed: int
    declined: int
    declined_frauds: int

    @property
    def recall(self) -> float:
        """The declined share of the frauds; nan without frauds."""
        return self.declined_frauds / self.frauds if self.frauds else float("nan")

    @property
    def precision(self) -> float:
        """The fraudulent share of the declined payments; nan without any."""
        return self.declined_frauds / self.declined if self.declined else float("nan")


class Band(NamedTuple):
    """Payments with scores from `low` up to, not including, `high`; the last band includes 1."""

    low: float
    high: float
    payments: int
    mean_score: float       # predicted
    fraud_share: float      # observed


def slices(rows: Rows, reviewed: np.ndarray, declined: np.ndarray) -> dict[str, list[Slice]]:
    """Slice payments by type, amount and hour of the day; kinds without payments are left out.

    Args:
        reviewed, declined: bool, shape (n,), of the n rows; no row is both.
    """
    hour = clock.hour_of_day(rows.event_time)
    return {
        "type": _cut([(name, rows.type == name) for name in sorted(set(rows.type))],
                     rows.label, reviewed, declined),
        "amount": _cut([(f"{low:,.0f} to {high:,.0f}" if high < np.inf else f"{low:,.0f} and more",
                         (rows.amount >= low) & (rows.amount < high))
                        for low, high in pairwise(AMOUNTS)], rows.label, reviewed, declined),
        "hour": _cut([(f"{start:02} to {end:02} h UTC", (hour >= start) & (hour < end))
                      for start, end in pairwise(HOURS)], rows.label, reviewed, declined)}


def _cut(kinds: list[tuple[str, np.ndarray]], label: np.ndarray, reviewed: np.ndarray,
         declined: np.ndarray) -> list[Slice]:
    fraud = label == 1
    slices = []
    for name, member in kinds:
        parts = (member, member & fraud, member & reviewed, member & declined,
                 member & fraud & declined)
        slices.append(Slice(name, *(int(np.count_nonzero(part)) for part in parts)))
    return [slice_ for slice_ in slices if slice_.payments]


def calibration(score: np.ndarray, label: np.ndarray) -> list[Band]:
    """Compare predicted and observed fraud by bands of the score; empty bands are left out."""
    band_of = np.clip(np.searchsorted(SCORES, score, side="right") - 1, 0, len(SCORES) - 2)
    bands = []
    for band, (low, high) in enumerate(pairwise(SCORES)):
        member = band_of == band
        if member.any():
            bands.append(Band(low, high, int(member.sum()), float(score[member].mean()),
                              float(label[member].mean())))
    return bands
