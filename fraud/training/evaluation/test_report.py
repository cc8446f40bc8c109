"""The report of a bundle on the test period: metrics, money, workload."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fraud import bundle
from fraud.bundle import Bundle, OnnxModel, Thresholds
from fraud.clock import DAY_MS
from fraud.training.evaluation import metrics
from fraud.training.evaluation.incidents import IncidentOutcomes, incident_outcomes
from fraud.training.features.splits import Rows


@dataclass(frozen=True)
class TestReport:
    """One bundle on the test period, with the decisions of its policy.

    Metrics are those of the score alone, at the decline threshold.
    """

    name: str
    metrics: dict[str, float]                         # names start with test_
    f1_interval: tuple[float, float]                  # 95 %, bootstrap by incident
    recall_by_type: dict[str, tuple[int, float]]      # payments, and the share that was declined
    outcomes: IncidentOutcomes                        # if only declines stop an incident
    outcomes_with_reviews: IncidentOutcomes           # if reviews stop it too
    confusion: tuple[int, int, int, int]              # tn, fp, fn, tp
    declined_per_day: float
    reviewed_per_day: float
    busiest_day: int                                  # its declines and reviews

    @property
    def alerts_per_day(self) -> float:
        """Declines and reviews a day."""
        return self.declined_per_day + self.reviewed_per_day

    @property
    def all_metrics(self) -> dict[str, float]:
        """Every number as MLflow wants it; a median that does not exist is left out."""
        low, high = self.f1_interval
        numbers = {**self.metrics, "test_f1_low": low, "test_f1_high": high,
                   "test_declined_per_day": self.declined_per_day,
                   "test_reviewed_per_day": self.reviewed_per_day,
                   "test_alerts_on_busiest_day": float(self.busiest_day)}
        numbers |= {f"test_{name}": float(value)
                    for name, value in self.outcomes._asdict().items()}
        numbers["test_money_missed_with_reviews"] = self.outcomes_with_reviews.money_missed
        numbers |= {f"test_recall_{name}": recall
                    for name, (_, recall) in self.recall_by_type.items()}
        return {name: value for name, value in numbers.items() if np.isfinite(value)}


def load_bundle(directory: Path | str) -> Bundle:
    """Load a bundle that scores with all cores.

    Raises:
        BundleError: see `fraud.bundle.load`.
    """
    return bundle.load(directory, threads=0)


def score_all(model: OnnxModel, rows: Rows) -> np.ndarray:
    """Return the calibrated scores of a bundle's model or fallback: float64, shape (n,)."""
    return rows.features.scored(model.features, model.scores)


def report(name: str, scores: np.ndarray, rows: Rows, thresholds: Thresholds,
           seed: int) -> TestReport:
    """Report scores of the test period.

    Args:
        scores: float64, shape (n,); rows: the same n payments, both classes present.
    """
    fraud = rows.label == 1
    reviewed, declined = thresholds.alerts(scores, rows.amount)
    incidents = rows.incident[fraud], rows.event_time[fraud], rows.amount[fraud]
    return TestReport(
        name=name,
        metrics=metrics.period_metrics(scores, rows.label, thresholds.decline, rows.days, "test_"),
        f1_interval=metrics.f1_interval(scores >= thresholds.decline, rows.label, rows.incident,
                                        seed),
        recall_by_type=metrics.recall_by(rows.fraud_type[fraud], declined[fraud]),
        outcomes=incident_outcomes(*incidents, declined[fraud]),
        outcomes_with_reviews=incident_outcomes(*incidents, (declined | reviewed)[fraud]),
        confusion=_confusion(fraud, declined),
        declined_per_day=float(np.count_nonzero(declined) / rows.days),
        reviewed_per_day=float(np.count_nonzero(reviewed) / rows.days),
        busiest_day=_busiest_day(rows.event_time, declined | reviewed),
    )


def _confusion(fraud: np.ndarray, declined: np.ndarray) -> tuple[int, int, int, int]:
    """Return the numbers of true negatives, false positives, false negatives, true positives."""
    return (int(np.count_nonzero(~fraud & ~declined)), int(np.count_nonzero(~fraud & declined)),
            int(np.count_nonzero(fraud & ~declined)), int(np.count_nonzero(fraud & declined)))


def _busiest_day(event_time: np.ndarray, alert: np.ndarray) -> int:
    """Return the most alerts of any 24 hours, counted from the first payment on."""
    return int(np.bincount((event_time[alert] - event_time[0]) // DAY_MS, minlength=1).max())
