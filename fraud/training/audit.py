"""The one look at the test period: both candidates and the standing champion, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fraud.bundle import Bundle, BundleError, Thresholds
from fraud.training import gate, judgement, paired_bootstrap, registry, splits
from fraud.training.gate import Comparison, Verdict
from fraud.training.judgement import Judgement
from fraud.training.paired_bootstrap import Model
from fraud.training.settings import Settings
from fraud.training.splits import Rows


@dataclass(frozen=True)
class Audited:
    """Everyone's judgement, the run's champion first, and what pictures of it need."""

    judgements: dict[str, Judgement]
    verdict: Verdict
    window_uses: int                  # how often this test period has been used for a gate, by now
    scores: dict[str, np.ndarray]
    rows: Rows
    importance: dict[str, float]      # of the run's champion
    thresholds: Thresholds            # of the run's champion


def audit(folder: str, transactions: str, ends: Mapping[str, int], bundles: Mapping[str, str],
          champion: str, standing_directory: Path, settings: Settings) -> Audited:
    """Judge bundles on the test period and decide whether the run's champion is promoted.

    Args:
        folder, transactions, ends: see `splits.read`.
        bundles: the directory of each candidate's bundle, by framework.
        champion: the framework that was selected; the first of `judgements`.
        standing_directory: receives the bundle of the champion that stands, if there is one.
    """
    rows = splits.read(folder, transactions, splits.TEST, ends)
    order = sorted(bundles, key=lambda framework: framework != champion)
    loaded = {framework: judgement.loaded(bundles[framework]) for framework in order}
    name, standing, obstacle = _standing(standing_directory)
    if standing:
        loaded[name] = standing
    scores = {key: judgement.scores(one, rows) for key, one in loaded.items()}
    judgements = {key: judgement.judge(key, scores[key], rows, one.policy.model, settings.seed)
                  for key, one in loaded.items()}
    models = {key: Model(scores[key], one.policy.model.decline) for key, one in loaded.items()}
    comparison = standing and _compared(
        models[champion], models[name], name, rows, standing.manifest.tuned_until, settings.seed)
    return Audited(
        judgements=judgements,
        verdict=Verdict(False, obstacle) if obstacle else gate.decide(
            judgements[champion], comparison, settings.floors, settings.gate),
        window_uses=registry.count_gate(rows.digest), scores=scores, rows=rows,
        importance=judgement.importance(loaded[champion], rows, settings.seed),
        thresholds=loaded[champion].policy.model)


def _compared(ours: Model, theirs: Model, name: str, rows: Rows, since: int,
              seed: int) -> Comparison:
    """A comparison on the payments that the other one has not been tuned on: those since a time."""
    later = rows.event_time >= since
    fraud = later & (rows.label == 1)
    if not fraud.any() or fraud.sum() == later.sum():
        return Comparison(name, 0, None)
    return Comparison(name, len(set(rows.incident[fraud])), paired_bootstrap.compare(
        Model(ours.score[later], ours.threshold), Model(theirs.score[later], theirs.threshold),
        rows.label[later], rows.incident[later], rows.event_time[later], seed))


def _standing(directory: Path) -> tuple[str, Bundle | None, str]:
    """The name and the bundle of the champion that stands, and why it cannot be judged."""
    version = registry.champion()
    if version is None:
        return "", None, ""
    name = f"champion {version.version}"
    registry.export(str(version.version), directory)
    try:
        standing = judgement.loaded(directory)
    except BundleError as error:      # trained on other features than this code computes
        return name, None, (f"{name} cannot be compared with ({error}); promote by hand if this "
                            "one is to replace it")
    if not standing.manifest.tuned_until:
        return name, standing, (f"{name} does not say until when it was tuned, so no payment is "
                                "sure to be new to it; promote by hand if this one is better")
    return name, standing, ""
