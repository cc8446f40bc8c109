"""Figures of the final test as PNG files, for MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from fraud.training.evaluation import decision_tables
from fraud.training.models.candidate import Candidate
from fraud.training.promotion.final_test import FinalTest
from fraud.training.reports import figures
from fraud.training.settings import Alerts


def diagnosis(test: FinalTest, review_cost: float) -> dict[str, Figure]:
    """Plot the selected candidate on the test period; figures by name."""
    score, report, rows = test.selected.scores, test.selected.report, test.rows
    scores = {contestant.name: contestant.scores for contestant in test.contestants}
    policy = test.selected.bundle.policy.model
    return {
        "precision-recall": figures.precision_recall(scores, rows.label, "Test period"),
        "thresholds": figures.thresholds(score, rows.label, rows.amount, review_cost,
                                         policy.decline),
        "calibration": figures.calibration(score, rows.label, policy),
        "importance": figures.importance(test.importance),
        "confusion": figures.confusion(report.confusion),
        "recall-by-type": figures.recall_by_type(report.recall_by_type)}


def write(test: FinalTest, candidates: Iterable[Candidate], alerts: Alerts,
          directory: Path) -> None:
    """Write all figures of the final test, and the learning curves, into a directory."""
    score, rows = test.selected.scores, test.rows
    policy = test.selected.bundle.policy.model
    plots = diagnosis(test, alerts.review_cost) | {
        "gain": figures.gain(score, rows.label, rows.amount, rows.days, policy),
        "alerts-by-day": figures.alerts_by_day(
            decision_tables.day_counts(score, rows, policy), alerts.alerts_per_day)}
    for candidate in candidates:
        plots[f"learning-{candidate.framework}"] = figures.learning_curves(
            {"model": candidate.model.curves, "fallback": candidate.fallback.curves})
    directory.mkdir(parents=True, exist_ok=True)
    for name, figure in plots.items():
        figure.savefig(directory / f"{name}.png")
