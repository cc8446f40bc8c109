"""The last screen of a training run: data, candidates, decision, next commands."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from fraud.training.data.dataset import Prepared
from fraud.training.data.periods import TrainingPeriod
from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.incidents import IncidentOutcomes
from fraud.training.evaluation.test_report import TestReport
from fraud.training.leakage.checks import Leakage
from fraud.training.models.candidate import Candidate
from fraud.training.promotion.registration import Registered
from fraud.training.registry import publication, tracking

WIDTH = 100
AS_GOOD = 0.02      # F1 by which a single feature may fall short and do as well as all of them
HEADINGS = "validation F1  test F1   AUPRC  precision  recall  to fit"


def of_run(prepared: Prepared, candidates: Mapping[str, Candidate], selected: str,
           certainty: float, leakage: Leakage, reports: Mapping[str, TestReport],
           decision: PromotionDecision, registered: Registered, alert_budget: float) -> str:
    """Return the summary of a run, in lines of at most `WIDTH` characters.

    Args:
        certainty: from `selection.certainty`.
        alert_budget: alerts a day that analysts can handle.
    """
    report, version = reports[selected], registered.version
    outcomes, (low, high) = report.outcomes, report.f1_interval
    word = "is promoted" if registered.promoted else "is registered, but not promoted"
    lines = [
        f"Data      {prepared.sampled_rows:,} payments from {prepared.source}",
        f"          {prepared.frauds:,} frauds in {prepared.incidents:,} incidents, "
        f"{prepared.bad:,} rows in quarantine{_lost(prepared)}",
        "",
        f"            {HEADINGS}",
        *_rows(candidates, reports),
        "",
        *_baseline(leakage),
        f"Selected  {selected}, for the higher F1 in validation, and in "
        f"{certainty:.0%} of bootstrap draws",
        f"          test F1 {report.metrics['test_f1']:.3f} (95 % {low:.3f} to {high:.3f})",
        f"          declines stop {outcomes.stopped:,} of {outcomes.incidents:,} incidents and "
        f"miss {_missed(outcomes):.0%} of the money, with reviews "
        f"{_missed(report.outcomes_with_reviews):.0%}",
        f"          {report.declined_per_day:.1f} declines and {report.reviewed_per_day:.1f} "
        f"reviews a day: {report.alerts_per_day:.0f} alerts of a budget of {alert_budget:.0f},",
        f"          {report.busiest_day:,} on the busiest day",
        f"Decision  version {version} {word}:",
        *_wrapped(decision.reason),
    ]
    if registered.promoted:
        lines.append(f"          published in {publication.target()}")
    lines += ["", *_next(version)]
    return "\n".join(line.rstrip() for line in lines)


def of_data(prepared: Prepared, periods: Sequence[TrainingPeriod]) -> str:
    """Return what `start` found: payments, quarantine by reason, and periods."""
    lines = [f"{prepared.sampled_rows:,} payments, {prepared.frauds:,} of them fraud, "
             f"{prepared.bad:,} rows in quarantine{_lost(prepared)}"]
    lines += [f"  {reason}: {loss.lines:,} rows (frauds: {loss.frauds:,}, money: "
              f"{loss.amount:,.2f})" for reason, loss in prepared.reasons.items()]
    if prepared.rounded:
        lines.append(f"{prepared.rounded:,} payments have money that was rounded to whole cents")
    if prepared.blank:
        lines.append(f"{prepared.blank:,} blank rows are skipped")
    if prepared.ignored:
        lines.append(f"columns not used: {', '.join(prepared.ignored)}")
    if prepared.sampled_rows < prepared.rows:
        lines.append("a sample cuts the history of the accounts that its origins pay: expect lower "
                     "figures than on all payments")
    if prepared.left_out:
        lines.append(f"features left out, as nobody knows their values: "
                     f"{', '.join(prepared.left_out)}")
    return "\n".join([*lines, *map(str, periods)])


def _baseline(leakage: Leakage) -> list[str]:
    """Return the best single feature: figures that it reaches alone are no achievement."""
    name, score = next(iter(leakage.alone.items()))
    lines = [f"Baseline  {name} alone: F1 {score.f1:.3f}, AUPRC {score.auprc:.3f} at the end of "
             "the train period"]
    together = leakage.without_leaks
    if score.f1 > together.f1 - AS_GOOD:
        lines.append(f"          all features together: F1 {together.f1:.3f}, so that one rule on "
                     f"{name} does as well")
    return lines


def _lost(prepared: Prepared) -> str:
    return f", {prepared.lost_frauds:,} of them fraud" if prepared.bad else ""


def _next(version: str) -> list[str]:
    commands = {
        ".venv/bin/python flows/train_flow.py card view final_test": "figures, in a browser",
        "make serve": "serve this model",
        f".venv/bin/python -m fraud.training.registry show {version}": "its lineage",
        f".venv/bin/mlflow ui --backend-store-uri {tracking.uri()}": "all runs",
    }
    lines = [f"{command:<60}  {meaning}" for command, meaning in commands.items()]
    return [f"Next      {lines[0]}", *(f"          {line}" for line in lines[1:])]


def _rows(candidates: Mapping[str, Candidate], reports: Mapping[str, TestReport]) -> list[str]:
    lines = []
    for name, report in reports.items():
        metrics = report.metrics
        validation, seconds = f"{'':>13}", f"{'':>8}"
        if name in candidates:
            of_candidate = candidates[name].metrics
            validation = f"{of_candidate['validation_f1']:>13.3f}"
            seconds = f"{of_candidate['training_seconds']:>6.1f} s"
        lines.append(
            f"{name:<12}{validation} {metrics['test_f1']:>8.3f} {metrics['test_auprc']:>7.3f}"
            f" {metrics['test_precision']:>10.3f} {metrics['test_recall']:>7.3f} {seconds}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 10)


def _missed(outcomes: IncidentOutcomes) -> float:
    total = outcomes.money_missed + outcomes.money_stopped
    return outcomes.money_missed / total if total else 0.0
