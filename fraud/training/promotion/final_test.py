"""The final test: both candidates and the incumbent on the test period, which is read only here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fraud.bundle import Bundle, BundleError
from fraud.training.evaluation import gate, paired_bootstrap, test_report
from fraud.training.evaluation.gate import Comparison, PromotionDecision
from fraud.training.evaluation.importance import permutation_importance
from fraud.training.evaluation.paired_bootstrap import ScoredModel
from fraud.training.evaluation.test_report import TestReport
from fraud.training.features import splits
from fraud.training.features.splits import Rows
from fraud.training.registry import Registry
from fraud.training.settings import TrainingSettings

BY_HAND = "promote the version by hand (registry promote) to replace it"


@dataclass(frozen=True)
class Contestant:
    """A bundle with its scores (float64, shape (n,)) and report on the test period."""

    bundle: Bundle
    scores: np.ndarray
    report: TestReport

    @property
    def name(self) -> str:
        return self.report.name


@dataclass(frozen=True)
class Incumbent:
    """The champion at the time of the test."""

    name: str
    bundle: Bundle | None       # None if it cannot be compared
    obstacle: str               # why no comparison is possible; empty if one is


@dataclass(frozen=True)
class FinalTest:
    """The contestants, the selected candidate first, and the decision."""

    contestants: list[Contestant]
    fallback: TestReport            # of the selected candidate, without history
    decision: PromotionDecision
    window_uses: int                # how often the gate has used this test period, including now
    rows: Rows
    importance: dict[str, float]    # of the selected candidate's groups of features

    @property
    def selected(self) -> Contestant:
        return self.contestants[0]

    @property
    def reports(self) -> dict[str, TestReport]:
        return {contestant.name: contestant.report for contestant in self.contestants}


def final_test(folder: str, transactions: str, ends: Mapping[str, int], bundles: Mapping[str, str],
               selected: str, incumbent_directory: Path, settings: TrainingSettings) -> FinalTest:
    """Test bundles on the test period and decide whether the selected candidate is promoted.

    Args:
        folder, transactions, ends: see `splits.read_split`.
        bundles: the directory of each candidate's bundle, by framework.
        selected: the framework of the selected candidate.
        incumbent_directory: receives the bundle of the incumbent, if there is one.
    """
    registry = Registry()
    rows = splits.read_split(folder, transactions, splits.TEST, ends)
    contestants = [
        _contestant(framework, test_report.load_bundle(bundles[framework]), rows, settings)
        for framework in sorted(bundles, key=lambda framework: framework != selected)]
    incumbent = _incumbent(registry, incumbent_directory, contestants[0].bundle, rows)
    if incumbent and incumbent.bundle:
        contestants.append(_contestant(incumbent.name, incumbent.bundle, rows, settings))
    return FinalTest(
        contestants=contestants,
        fallback=_fallback(contestants[0], rows, settings),
        decision=_decision(contestants, incumbent, rows, settings),
        window_uses=registry.count_gate_use(rows.digest), rows=rows,
        importance=permutation_importance(contestants[0].bundle, rows, settings.seed))


def _contestant(name: str, bundle: Bundle, rows: Rows, settings: TrainingSettings) -> Contestant:
    scores = test_report.score_all(bundle.model, rows)
    report = test_report.report(name, scores, rows, bundle.policy.model, settings.seed)
    return Contestant(bundle, scores, report)


def _fallback(selected: Contestant, rows: Rows, settings: TrainingSettings) -> TestReport:
    bundle = selected.bundle
    return test_report.report(f"{selected.name}, fallback",
                              test_report.score_all(bundle.fallback, rows), rows,
                              bundle.policy.fallback, settings.seed)


def _decision(contestants: list[Contestant], incumbent: Incumbent | None, rows: Rows,
              settings: TrainingSettings) -> PromotionDecision:
    if incumbent and incumbent.obstacle:
        return PromotionDecision(False, incumbent.obstacle)
    comparison = None
    if incumbent:
        comparison = _comparison(contestants[0], contestants[-1], rows, settings.seed)
    return gate.decide(contestants[0].report, comparison, settings.floors, settings.gate)


def _comparison(candidate: Contestant, incumbent: Contestant, rows: Rows, seed: int) -> Comparison:
    """Compare on the payments that are later than the incumbent's tuning data."""
    later = rows.event_time >= incumbent.bundle.manifest.tuned_until
    fraud = later & (rows.label == 1)
    if not fraud.any() or fraud.sum() == later.sum():
        return Comparison(incumbent.name, 0, 0, 0, None)
    ours, theirs = (
        ScoredModel(contestant.scores[later], contestant.bundle.policy.model.decline)
        for contestant in (candidate, incumbent))
    differences = paired_bootstrap.compare(
        ours, theirs, rows.label[later], rows.incident[later], rows.event_time[later], seed)
    times = rows.event_time[later]
    return Comparison(incumbent.name, len(set(rows.incident[fraud])), int(times[0]),
                      int(times[-1]), differences)


def _incumbent(registry: Registry, directory: Path, candidate: Bundle, rows: Rows
               ) -> Incumbent | None:
    champion = registry.champion()
    if champion is None:
        return None
    name = f"champion {champion.number}"
    registry.export(champion.number, directory)
    try:
        bundle = test_report.load_bundle(directory)
    except BundleError as error:      # it was trained on other features than this code computes
        return Incumbent(name, None, f"{name} cannot be compared ({error}); {BY_HAND}")
    difference = _other_payments(bundle, candidate)
    if difference:
        return Incumbent(name, None, f"{name} cannot be compared: {difference}; {BY_HAND}")
    difference = _other_times(bundle, candidate, rows)
    return Incumbent(name, bundle, f"{name} cannot be compared: {difference}; {BY_HAND}"
                     if difference else "")


def _other_payments(incumbent: Bundle, candidate: Bundle) -> str:
    """Return why the incumbent cannot score these payments; empty if it can."""
    theirs, ours = incumbent.manifest, candidate.manifest
    if theirs.types != ours.types:
        return (f"it scores payments of the types {', '.join(theirs.types)}, these are of "
                f"{', '.join(ours.types)}")
    if incumbent.features.names != candidate.features.names:
        return "it was trained on other features, as other balances or destinations were known"
    return ""


def _other_times(incumbent: Bundle, candidate: Bundle, rows: Rows) -> str:
    """Return why these payments are no evidence about the incumbent; empty if they may be."""
    theirs, ours = incumbent.manifest, candidate.manifest
    if theirs.time_base != ours.time_base:
        return ("its times and those of these payments have different origins, as one of the files "
                "counts steps and the other has dates")
    if not theirs.tuned_until:
        return "it does not say until when it was tuned, so no payment is certain to be new to it"
    if theirs.tuned_until > rows.event_time[-1]:
        return "all of these payments are older than the data that it was tuned on"
    return ""
