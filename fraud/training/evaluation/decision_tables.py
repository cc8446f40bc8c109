"""Tables of decisions for people: outcomes, thresholds, days."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fraud.bundle import Thresholds
from fraud.clock import DAY_MS
from fraud.training.features.splits import Rows

ALERTS_PER_FRAUD = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)


class DecisionCounts(NamedTuple):
    """Payments with one decision; money in currency units."""

    decision: str
    frauds: int
    legitimate: int
    fraud_money: float
    legitimate_money: float


class ThresholdRow(NamedTuple):
    """Alerts from one score or rank on; money in currency units, by payment."""

    threshold: float
    alerts_per_day: float
    precision: float        # nan without alerts
    recall: float           # nan without frauds
    money_missed: float


class DayCounts(NamedTuple):
    """The 24 hours from `start` (ms since the epoch) on."""

    start: int
    payments: int
    reviews: int
    declines: int
    frauds: int
    caught: int             # frauds that were reviewed or declined

    @property
    def alerts(self) -> int:
        """Declines and reviews."""
        return self.reviews + self.declines


def decision_counts(scores: np.ndarray, rows: Rows, thresholds: Thresholds
                    ) -> list[DecisionCounts]:
    """Count approved, reviewed and declined payments by label.

    Args:
        scores: float64, shape (n,); rows: the same n payments.
    """
    fraud = rows.label == 1
    reviewed, declined = thresholds.alerts(scores, rows.amount)
    members = {"approve": ~(reviewed | declined), "review": reviewed, "decline": declined}
    return [DecisionCounts(name, int((member & fraud).sum()), int((member & ~fraud).sum()),
                           float(rows.amount[member & fraud].sum()),
                           float(rows.amount[member & ~fraud].sum()))
            for name, member in members.items()]


def threshold_rows(scores: np.ndarray, rows: Rows, chosen: Sequence[float]
                   ) -> list[ThresholdRow]:
    """Measure the chosen thresholds, and those of a few numbers of alerts, highest first.

    Args:
        scores: or ranks, float64, shape (n,); rows: the same n payments.
    """
    ordered = np.sort(scores)[::-1]
    counts = [round(share * int(rows.label.sum())) for share in ALERTS_PER_FRAUD]
    cuts = {float(ordered[count - 1]) for count in counts if 0 < count <= ordered.size}
    return [_threshold_row(threshold, scores, rows)
            for threshold in sorted(cuts | set(chosen), reverse=True)]


def _threshold_row(threshold: float, scores: np.ndarray, rows: Rows) -> ThresholdRow:
    fraud, alert = rows.label == 1, scores >= threshold
    caught, alerts, frauds = (int(part.sum()) for part in (fraud & alert, alert, fraud))
    return ThresholdRow(threshold, alerts / rows.days,
                        caught / alerts if alerts else float("nan"),
                        caught / frauds if frauds else float("nan"),
                        float(rows.amount[fraud & ~alert].sum()))


def day_counts(scores: np.ndarray, rows: Rows, thresholds: Thresholds) -> list[DayCounts]:
    """Count payments and decisions by 24 hours from the first payment on.

    Args:
        scores: float64, shape (n,); rows: the same n payments, in event order, at least one.
    """
    start = int(rows.event_time[0])
    day = (rows.event_time - start) // DAY_MS
    fraud = rows.label == 1
    reviewed, declined = thresholds.alerts(scores, rows.amount)
    caught = fraud & (reviewed | declined)
    parts = np.ones(day.size, bool), reviewed, declined, fraud, caught
    size = int(day[-1]) + 1
    columns = [np.bincount(day[part], minlength=size).tolist() for part in parts]
    return [DayCounts(start + index * DAY_MS, *counts)
            for index, counts in enumerate(zip(*columns, strict=True))]
