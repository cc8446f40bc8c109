"""Whether a candidate may replace the champion that stands.

The first champion has to reach absolute floors. A later one is held against the one that stands, on
payments that neither learned from or was tuned on; it has to be sure that it is not much worse.
"""

from __future__ import annotations

from dataclasses import dataclass

from fraud.training.judgement import Judgement
from fraud.training.paired_bootstrap import Differences
from fraud.training.settings import Floors, Gate

JUDGED_BY = ("test_f1", "test_auprc")


@dataclass(frozen=True)
class Verdict:
    """A decision and the sentence that goes on record with it."""

    promote: bool
    reason: str


@dataclass(frozen=True)
class Comparison:
    """A candidate and the champion that stands, on the same payments."""

    standing: str               # its name
    incidents: int              # among the payments that both may be judged on
    differences: Differences | None     # None where there is no incident


def decide(candidate: Judgement, comparison: Comparison | None, floors: Floors,
           gate: Gate) -> Verdict:
    """Judge a candidate by absolute floors, then against the champion that stands.

    Args:
        comparison: None where nothing stands.
    """
    for name in JUDGED_BY:
        value, floor = candidate.metrics[name], getattr(floors, name)
        if value < floor:
            return Verdict(False, f"{name} is {value:.4f}, below the floor of {floor:g} in "
                                  "flows/train_flow.toml")
    if comparison is None:
        return Verdict(True, "no champion stands, and " + ", ".join(
            f"{name} {candidate.metrics[name]:.4f} reaches its floor of {getattr(floors, name):g}"
            for name in JUDGED_BY))
    return _against(comparison, gate)


def _against(comparison: Comparison, gate: Gate) -> Verdict:
    if comparison.incidents < gate.incidents:
        return Verdict(False, f"insufficient evidence: {comparison.incidents:,} incidents are "
                              f"later than what {comparison.standing} and the candidate were "
                              f"tuned on, and {gate.incidents:,} are needed")
    found = comparison.differences
    bounds = {"F1": (found.f1, found.f1_bound), "AUPRC": (found.auprc, found.auprc_bound)}
    told = ", ".join(f"{name} {difference:+.4f} and at least {bound:+.4f}"
                     for name, (difference, bound) in bounds.items())
    unsure = [name for name, (_, bound) in bounds.items() if bound <= -gate.margin]
    if unsure:
        return Verdict(False, f"may be worse than {comparison.standing} by more than "
                              f"{gate.margin:g} in {' and '.join(unsure)}: {told}, with 95 % "
                              f"confidence, on {comparison.incidents:,} incidents")
    return Verdict(True, f"not worse than {comparison.standing} by more than {gate.margin:g}: "
                         f"{told}, with 95 % confidence, on {comparison.incidents:,} incidents")
