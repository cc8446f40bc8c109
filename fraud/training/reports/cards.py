"""Metaflow cards of the steps: lists of components from plain values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from metaflow.cards import Image, Markdown, Table

from fraud import clock
from fraud.training.data.dataset import Prepared
from fraud.training.data.periods import TrainingPeriod
from fraud.training.data.validation import REASONS
from fraud.training.evaluation import decision_tables
from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.paired_bootstrap import RESAMPLES
from fraud.training.evaluation.test_report import TestReport
from fraud.training.features.splits import Rows
from fraud.training.leakage.checks import Leakage
from fraud.training.models.candidate import Candidate
from fraud.training.promotion.final_test import Contestant, FinalTest
from fraud.training.reports import figure_files, figures
from fraud.training.settings import Audit

METRICS = {"f1": "F1", "precision": "precision", "recall": "recall", "auprc": "AUPRC",
           "roc_auc": "ROC AUC", "brier": "Brier score"}


def data(prepared: Prepared, periods: list[TrainingPeriod]) -> list:
    """Show the data that was read, its periods, and the rows in quarantine."""
    facts = {
        "source": prepared.source, "sha256": prepared.digest,
        "valid rows": f"{prepared.rows:,}",
        "rows in quarantine": f"{prepared.bad:,}, {prepared.lost_frauds:,} of them fraud",
        "blank rows (skipped)": f"{prepared.blank:,}",
        "payments with money rounded to whole cents": f"{prepared.rounded:,}",
        "columns not used": ", ".join(prepared.ignored) or "none",
        "features left out, as nobody knows their values": ", ".join(prepared.left_out) or "none",
        "rows out of time order (sorted)": f"{prepared.out_of_order:,}",
        "rows after sampling": f"{prepared.sampled_rows:,}",
        "frauds": f"{prepared.frauds:,} in {prepared.incidents:,} incidents",
        "first payment": clock.utc_minute(prepared.first_time),
        "last payment": clock.utc_minute(prepared.last_time),
    }
    components = [
        Markdown("# Data"), _facts(facts), Markdown("## Periods"),
        Table([[period.name, clock.utc_minute(period.start), clock.utc_minute(period.end),
                *(f"{count:,}" for count in (period.payments, period.frauds, period.incidents,
                                             period.late, period.late_frauds,
                                             period.unlabelled))]
               for period in periods],
              headers=["period", "from", "to", "payments", "frauds", "incidents",
                       "left out: label too late", "frauds among these",
                       "left out: unlabelled"])]
    if prepared.sampled_rows < prepared.rows:
        components.insert(2, Markdown(
            "A sample cuts the history of the accounts that its origins pay: expect lower figures "
            "than on all payments."))
    if prepared.reasons:
        components += [
            Markdown(f"## Quarantine\nThese rows are in `{prepared.quarantine}`."),
            Table([[reason, REASONS[reason], f"{loss.lines:,}", f"{loss.frauds:,}",
                    f"{loss.amount:,.2f}"]
                   for reason, loss in prepared.reasons.items()],
                  headers=["reason", "meaning", "rows", "frauds", "amount"])]
    return components


def training(candidate: Candidate) -> list:
    """Show how a candidate learned, and its metrics in validation."""
    variants = {"model": candidate.model, "fallback": candidate.fallback}
    rows = [[name, f"{variant.seconds:.1f} s",
             *(f"{variant.manifest.metrics[f'validation_{metric}']:.4f}" for metric in METRICS)]
            for name, variant in variants.items()]
    curves = {name: variant.curves for name, variant in variants.items()}
    return [
        Markdown(f"# {candidate.framework}\nThe fallback is trained without history."),
        Table(rows, headers=["", "to fit", *METRICS.values()]),
        Image.from_matplotlib(figures.learning_curves(curves)),
        _facts({name: str(value) for name, value in candidate.parameters.items()}),
    ]


def selection(candidates: list[Candidate], selected: str, certainty: float) -> list:
    """Show both candidates in validation, and which one is selected.

    Args:
        certainty: from `selection.certainty`.
    """
    rows = []
    for candidate in candidates:
        suffix = " (selected)" if candidate.framework == selected else ""
        rows.append([candidate.framework + suffix,
                     *(f"{candidate.metrics[f'validation_{metric}']:.4f}" for metric in METRICS),
                     f"{candidate.metrics['training_seconds']:.1f} s"])
    return [Markdown(f"# {selected} is selected\nIt has the higher F1 in validation, the early "
                     "stopping and calibration periods as far as their labels are mature, and in "
                     f"{certainty:.0%} of {RESAMPLES:,} draws of its incidents and hours."),
            Table(rows, headers=["", *METRICS.values(), "to fit"])]


def leakage(result: Leakage, settings: Audit) -> list:
    """Show the leakage audit: findings, models that bound them, the best single features."""
    rule, best = next(iter(result.alone.items()))
    models = {"all features": result.without_leaks, f"one feature: {rule}": best}
    for trace in list(result.traces)[:1]:
        models[f"one trace of the data's making: {trace}"] = result.traces[trace]
    if result.with_post_event_columns:
        models["with post-event columns"] = result.with_post_event_columns
    allowed = {name: settings.allowed.get(name, "") for name in list(result.alone)[:10]}
    return [
        Markdown(f"# Leakage audit\n{_findings(result)}\n\nSmall trees on {result.rows:,} payments "
                 "of the train period, measured on its end, at the best threshold:"),
        Table([[name, f"{score.auprc:.4f}", f"{score.f1:.4f}"] for name, score in models.items()],
              headers=["", "AUPRC", "F1"]),
        Markdown("## Best single features"),
        Table([[name, f"{result.alone[name].auprc:.4f}", reason]
               for name, reason in allowed.items()],
              headers=["feature", "AUPRC", "allowed because"])]


def _findings(result: Leakage) -> str:
    if result.findings:
        return "\n".join(f"- {finding}" for finding in result.findings)
    low, high = result.interval
    return (f"Nothing leaks. Features of {result.compared_rows:,} payments are the same without "
            "later payments, labels and post-event columns. A model of shuffled labels reaches an "
            f"AUPRC of {result.shuffled:.4f}; chance gives {low:.4f} to {high:.4f}."
            + (f" But {result.doubt}." if result.doubt else ""))


def final_test(reports: list[TestReport], decision: PromotionDecision) -> list:
    """Show the contestants of the final test, the selected candidate first, and the decision."""
    word = "promoted" if decision.promote else "not promoted"
    rows = []
    for report in reports:
        low, high = report.f1_interval
        rows.append([report.name, *(f"{report.metrics[f'test_{metric}']:.4f}"
                                    for metric in METRICS), f"{low:.3f} to {high:.3f}"])
    return [Markdown(f"# Final test: {word}\n{_sentence(decision.reason)}."),
            Table(rows, headers=["", *METRICS.values(), "F1, 95 % interval"]),
            Markdown("## Money and workload"),
            Table([_money(report) for report in reports],
                  headers=["", "incidents stopped", "money missed", "money missed with reviews",
                           "money stopped", "median minutes to detection", "declined a day",
                           "reviewed a day", "alerts on the busiest day"])]


def decisions(test: FinalTest, alert_budget: float, directory: Path) -> list:
    """Show the selected candidate's decisions on the test period: outcomes, thresholds, days.

    Args:
        alert_budget: alerts a day that analysts can handle.
        directory: of the figures, from `figure_files.write`.
    """
    score, rows, policy = test.selected.scores, test.rows, test.selected.bundle.policy.model
    days = decision_tables.day_counts(score, rows, policy)
    return [
        Markdown("## Decisions\nBy payment, with money in currency units."),
        Table([[name, f"{frauds:,}", f"{legitimate:,}", f"{lost:,.0f}", f"{money:,.0f}"]
               for name, frauds, legitimate, lost, money
               in decision_tables.decision_counts(score, rows, policy)],
              headers=["", "fraud", "legitimate", "money of fraud", "money of legitimate"]),
        Markdown(f"## Thresholds\nThe budget is {alert_budget:,.0f} alerts a day. Money missed is "
                 "that of the frauds below the threshold."),
        *_thresholds(test.selected, rows),
        _file(directory / figure_files.GAIN),
        Markdown("## Days"),
        Table([[clock.utc_minute(day.start), f"{day.payments:,}", f"{day.reviews:,}",
                f"{day.declines:,}", f"{day.alerts:,} of {alert_budget:,.0f}", f"{day.frauds:,}",
                f"{day.caught:,}"] for day in days],
              headers=["24 hours from", "payments", "reviews", "declines", "alerts of the budget",
                       "frauds", "caught"]),
        _file(directory / figure_files.ALERTS_BY_DAY)]


def _thresholds(selected: Contestant, rows: Rows) -> list[Table]:
    """Return a table of scores, and one of expected losses where these decide on reviews."""
    scores, policy = selected.scores, selected.bundle.policy.model
    decline, review = {policy.decline: "decline"}, {policy.review: "review"}
    if policy.review_by == "score":
        return [_levels("score", scores, rows, review | decline)]
    return [_levels("score", scores, rows, decline),
            _levels("expected loss", policy.priorities(scores, rows.amount), rows,
                    review)]


def _levels(kind: str, ranks: np.ndarray, rows: Rows, names: dict[float, str]) -> Table:
    measured = decision_tables.threshold_rows(ranks, rows, list(names))
    return Table([[f"{row.threshold:,.4f} {names.get(row.threshold, '')}".rstrip(),
                   f"{row.alerts_per_day:,.1f}", f"{row.precision:.3f}", f"{row.recall:.3f}",
                   f"{row.money_missed:,.0f}"] for row in measured],
                 headers=[kind, "alerts a day", "precision", "recall", "money missed"])


def diagnosis(directory: Path) -> list:
    """Show figures of the selected candidate on the test period.

    Args:
        directory: see `decisions`.
    """
    return [_file(directory / name) for name in figure_files.DIAGNOSIS]


def _money(report: TestReport) -> list[str]:
    outcomes = report.outcomes
    return [report.name, f"{outcomes.stopped:,} of {outcomes.incidents:,}",
            f"{outcomes.money_missed:,.0f}",
            f"{report.outcomes_with_reviews.money_missed:,.0f}", f"{outcomes.money_stopped:,.0f}",
            f"{outcomes.median_minutes_to_detection:.1f}", f"{report.declined_per_day:,.1f}",
            f"{report.reviewed_per_day:,.1f}", f"{report.busiest_day:,}"]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _facts(facts: dict[str, str]) -> Table:
    return Table([[name, value] for name, value in facts.items()])


def _file(path: Path) -> Image:
    return Image(path.read_bytes())
