"""The promotion gate: whether a candidate may become champion.

The first champion has to reach absolute floors. A later candidate is compared with the incumbent on
payments that neither was fitted or tuned on, and has to pass a non-inferiority test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fraud.clock import DAY_MS, utc_day
from fraud.training.evaluation.paired_bootstrap import Differences
from fraud.training.evaluation.test_report import TestReport
from fraud.training.settings import Floors, Gate

FLOOR_METRICS = {"test_f1": "test F1", "test_auprc": "test AUPRC"}


@dataclass(frozen=True)
class PromotionDecision:
    """A decision, and the sentence that is recorded with it."""

    promote: bool
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A candidate and the incumbent on the same payments."""

    incumbent: str                      # its name
    incidents: int                      # among the payments that are new to both
    since: int                          # event_time of the first and the last of those, ms
    until: int
    differences: Differences | None     # None without incidents


def decide(candidate: TestReport, comparison: Comparison | None, floors: Floors,
           gate: Gate) -> PromotionDecision:
    """Compare a candidate with the floors, then with the incumbent.

    Args:
        comparison: None without an incumbent.
    """
    reached = []
    for name, title in FLOOR_METRICS.items():
        value, floor = candidate.metrics[name], getattr(floors, name)
        if value < floor:
            return PromotionDecision(
                False, f"{title} {value:.4f} is below its floor of {floor:g} in "
                       "flows/train_flow.toml")
        reached.append(f"{title} {value:.4f} reaches its floor of {floor:g}")
    if comparison is None:
        return PromotionDecision(True, f"there is no champion yet, and {', '.join(reached)}")
    return _compared(comparison, gate)


def _compared(comparison: Comparison, gate: Gate) -> PromotionDecision:
    incumbent, incidents = comparison.incumbent, comparison.incidents
    differences = comparison.differences
    if differences is None or incidents < gate.incidents:
        return PromotionDecision(
            False, f"insufficient evidence: {incidents:,} incidents are later than the tuning data "
                   f"of {incumbent} and the candidate; {gate.incidents:,} are needed"
                   f"{_expected(comparison, gate.incidents)}")
    margin = gate.margin_of(incidents)
    bounds = {"F1": (differences.f1, differences.f1_bound),
              "AUPRC": (differences.auprc, differences.auprc_bound)}
    evidence = ", ".join(f"{name} {difference:+.4f} and at least {bound:+.4f}"
                         for name, (difference, bound) in bounds.items())
    evidence += f", with 95 % confidence, on {incidents:,} incidents"
    inferior = [name for name, (_, bound) in bounds.items() if bound <= -margin]
    if inferior:
        return PromotionDecision(
            False, f"may be worse than {incumbent} by more than {margin:g} in "
                   f"{' and '.join(inferior)}: {evidence}")
    return PromotionDecision(
        True, f"not worse than {incumbent} by more than {margin:g}: {evidence}")


def _expected(comparison: Comparison, needed: int) -> str:
    """Return when the missing incidents will have happened if they come as fast as these did."""
    missing, span = needed - comparison.incidents, comparison.until - comparison.since
    if not comparison.incidents or span <= 0 or missing <= 0:
        return ""
    pace = comparison.incidents * DAY_MS / span
    date = utc_day(comparison.until + math.ceil(missing / pace) * DAY_MS)
    return f", {missing:,} more: at {pace:.1f} a day they will have happened by {date}"
