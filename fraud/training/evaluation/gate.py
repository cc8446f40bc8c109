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
    """Decide by the test period, see `decide_by`."""
    f1, auprc = (candidate.metrics[name] for name in ("test_f1", "test_auprc"))
    return decide_by("test", f1, auprc, comparison, floors, gate)


def decide_by(period: str, f1: float, auprc: float, comparison: Comparison | None, floors: Floors,
              gate: Gate) -> PromotionDecision:
    """Compare a candidate with the floors, then with the incumbent.

    Args:
        period: name of the payments that the candidate was measured on, such as `test`.
        f1, auprc: of the candidate on them.
        comparison: None without an incumbent.
    """
    reached = []
    for name, value, floor in (("F1", f1, floors.test_f1), ("AUPRC", auprc, floors.test_auprc)):
        if value < floor:
            return PromotionDecision(
                False, f"{period} {name} {value:.4f} is below its floor of {floor:g} in "
                       "flows/train_flow.toml")
        reached.append(f"{period} {name} {value:.4f} reaches its floor of {floor:g}")
    if comparison is None:
        return PromotionDecision(True, f"there is no champion yet, and {', '.join(reached)}")
    return decide_between(comparison, gate)


def decide_between(comparison: Comparison, gate: Gate) -> PromotionDecision:
    """Decide by a non-inferiority test alone."""
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
