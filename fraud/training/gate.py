"""Whether a candidate may replace the champion that stands."""

from __future__ import annotations

from dataclasses import dataclass

from fraud.training.judgement import Judgement
from fraud.training.settings import Floors, Gate

JUDGED_BY = ("test_f1", "test_auprc")


@dataclass(frozen=True)
class Verdict:
    """A decision and the sentence that goes on record with it."""

    promote: bool
    reason: str


def decide(candidate: Judgement, standing: Judgement | None, floors: Floors,
           gate: Gate) -> Verdict:
    """Judge a candidate by absolute floors, then against the standing champion.

    Args:
        candidate, standing: judged on the same test period; None where nothing stands.
    """
    for name in JUDGED_BY:
        value, floor = candidate.metrics[name], getattr(floors, name)
        if value < floor:
            return Verdict(False, f"{name} is {value:.4f}, below the floor of {floor:g} in "
                                  "flows/train_flow.toml")
    if standing is None:
        return Verdict(True, "no champion stands, and " + ", ".join(
            f"{name} {candidate.metrics[name]:.4f} reaches its floor of {getattr(floors, name):g}"
            for name in JUDGED_BY))
    compared = [(name, candidate.metrics[name], standing.metrics[name]) for name in JUDGED_BY]
    told = ", ".join(f"{name} {ours:.4f} against {theirs:.4f}" for name, ours, theirs in compared)
    worse = [name for name, ours, theirs in compared if ours < theirs - gate.max_fall]
    if worse:
        return Verdict(False, f"worse in {' and '.join(worse)} than {standing.name} on the same "
                              f"test period: {told}")
    return Verdict(True, f"not worse than {standing.name} on the same test period: {told}")
