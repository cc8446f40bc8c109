"""Figures of the final test as PNG files, for its card and for MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from fraud.training.evaluation import decision_tables
from fraud.training.models.candidate import Candidate
from fraud.training.promotion.final_test import FinalTest
from fraud.training.reports import figures
from fraud.training.settings import Alerts

GAIN, ALERTS_BY_DAY = "gain.png", "alerts-by-day.png"
DIAGNOSIS = ("precision-recall.png", "thresholds.png", "calibration.png", "importance.png",
             "confusion.png", "recall-by-type.png")


def _diagnosis(test: FinalTest, review_cost: float) -> list[Figure]:
    """Plot the selected candidate on the test period, in the order of `DIAGNOSIS`."""
    score, report, rows = test.selected.scores, test.selected.report, test.rows
    scores = {contestant.name: contestant.scores for contestant in test.contestants}
    policy = test.selected.bundle.policy.model
    return [
        figures.precision_recall(scores, rows.label, "Test period"),
        figures.thresholds(score, rows.label, rows.amount, review_cost, policy.decline),
        figures.calibration(score, rows.label, policy),
        figures.importance(test.importance),
        figures.confusion(report.confusion),
        figures.recall_by_type(report.recall_by_type)]


def write(test: FinalTest, candidates: Iterable[Candidate], alerts: Alerts,
          directory: Path) -> None:
    """Write all figures of the final test, and the learning curves, into a directory.

    Drawing takes a third of a second for each: once is enough.
    """
    score, rows = test.selected.scores, test.rows
    policy = test.selected.bundle.policy.model
    plots = dict(zip(DIAGNOSIS, _diagnosis(test, alerts.review_cost), strict=True)) | {
        GAIN: figures.gain(score, rows.label, rows.amount, rows.days, policy),
        ALERTS_BY_DAY: figures.alerts_by_day(
            decision_tables.day_counts(score, rows, policy), alerts.alerts_per_day)}
    for candidate in candidates:
        plots[f"learning-{candidate.framework}.png"] = figures.learning_curves(
            {"model": candidate.model.curves, "fallback": candidate.fallback.curves})
    directory.mkdir(parents=True, exist_ok=True)
    for name, figure in plots.items():
        figure.savefig(directory / name)
