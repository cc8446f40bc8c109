"""What a bundle is worth on the test period: metrics, money, and what its model looks at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fraud import bundle
from fraud.bundle import Bundle
from fraud.training import evaluation, incidents
from fraud.training.splits import Rows

IMPORTANCE_ROWS = 50_000      # honest rows at most; every fraud is used
CHUNK = 100_000               # rows of one ONNX run


@dataclass(frozen=True)
class Judgement:
    """One bundle on the test period, at the decline threshold of its policy."""

    name: str
    metrics: dict[str, float]                         # names start with test_
    f1_interval: tuple[float, float]                  # 95 %, bootstrap by incident
    recall_by_type: dict[str, tuple[int, float]]      # payments, and the share that was declined
    outcome: incidents.Outcome
    confusion: tuple[int, int, int, int]              # tn, fp, fn, tp
    declined_per_day: float
    reviewed_per_day: float

    @property
    def all_metrics(self) -> dict[str, float]:
        """Every number of it, as MLflow wants them: a median that does not exist is left out."""
        low, high = self.f1_interval
        numbers = {**self.metrics, "test_f1_low": low, "test_f1_high": high,
                   "test_declined_per_day": self.declined_per_day,
                   "test_reviewed_per_day": self.reviewed_per_day,
                   **{f"test_{name}": float(value)
                      for name, value in self.outcome._asdict().items()},
                   **{f"test_recall_{name}": recall
                      for name, (_, recall) in self.recall_by_type.items()}}
        return {name: value for name, value in numbers.items() if np.isfinite(value)}


def loaded(directory: Path | str) -> Bundle:
    """A bundle that uses all cores.

    Raises:
        BundleError: see `fraud.bundle.load`.
    """
    return bundle.load(directory, threads=0)


def scores(of: Bundle, rows: Rows) -> np.ndarray:
    """Calibrated scores of a bundle's model: float64, shape (n,)."""
    parts = np.array_split(rows.features, max(1, len(rows.label) // CHUNK))
    return np.concatenate([of.model.scores(np.ascontiguousarray(part)) for part in parts])


def judge(name: str, score: np.ndarray, rows: Rows, thresholds: bundle.Thresholds,
          seed: int) -> Judgement:
    """Judge scores of the test period.

    Args:
        score: float64, shape (n,); rows: the same n payments, both classes present.
    """
    fraud, declined = rows.label == 1, score >= thresholds.decline
    reviewed = (score >= thresholds.review) & ~declined
    return Judgement(
        name=name,
        metrics=evaluation.metrics(score, rows.label, thresholds.decline, rows.days, "test_"),
        f1_interval=evaluation.f1_interval(declined, rows.label, rows.incident, seed),
        recall_by_type=evaluation.recall_by(rows.fraud_type[fraud], declined[fraud]),
        outcome=incidents.outcome(rows.incident[fraud], rows.event_time[fraud],
                                  rows.amount[fraud], declined[fraud]),
        confusion=tuple(int(np.count_nonzero((fraud == actual) & (declined == called)))
                        for actual in (False, True) for called in (False, True)),
        declined_per_day=float(np.count_nonzero(declined) / rows.days),
        reviewed_per_day=float(np.count_nonzero(reviewed) / rows.days),
    )


def importance(of: Bundle, rows: Rows, seed: int) -> dict[str, float]:
    """How much AUPRC is lost when a group of features is shuffled among the payments.

    Permutation importance (L. Breiman, "Random Forests", 2001) on every fraud and a sample of
    honest payments, by the groups that explanations use: works alike for both frameworks.

    Returns:
        the loss of each group, largest first.
    """
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(seed)
    frauds, honest = np.flatnonzero(rows.label == 1), np.flatnonzero(rows.label == 0)
    if honest.size > IMPORTANCE_ROWS:
        honest = np.sort(rng.choice(honest, IMPORTANCE_ROWS, replace=False))
    sample = np.concatenate([frauds, honest])
    values, label = rows.features[sample], rows.label[sample]
    whole = average_precision_score(label, of.model.logits(values))
    lost = {}
    for group, columns in of.model.groups.items():
        shuffled = values.copy()
        shuffled[:, columns] = values[rng.permutation(len(values))][:, columns]
        lost[group] = float(whole - average_precision_score(label, of.model.logits(shuffled)))
    return dict(sorted(lost.items(), key=lambda item: -item[1]))
