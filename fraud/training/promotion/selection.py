"""Certainty of a selection: how often the selected candidate wins if incidents are drawn anew."""

from __future__ import annotations

from collections.abc import Mapping

from fraud.training.evaluation import paired_bootstrap, test_report
from fraud.training.evaluation.paired_bootstrap import ScoredModel
from fraud.training.features.splits import Rows


def certainty(bundles: Mapping[str, str], selected: str, rows: Rows, seed: int) -> float:
    """Return the share of draws in which the selected candidate has the higher F1, 0 to 1.

    A selection among few incidents is partly luck; the draws say how much.

    Args:
        bundles: the directories of two candidates' bundles, by framework.
        rows: those of `splits.read_validation`, by which the candidate was selected.
    """
    [other] = set(bundles) - {selected}
    ours, theirs = (_scored(bundles[framework], rows) for framework in (selected, other))
    return paired_bootstrap.compare(
        ours, theirs, rows.label, rows.incident, rows.event_time, seed).f1_wins


def _scored(directory: str, rows: Rows) -> ScoredModel:
    bundle = test_report.load_bundle(directory)
    return ScoredModel(test_report.score_all(bundle.model, rows), bundle.policy.model.decline)
