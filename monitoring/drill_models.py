"""The models of the drill: trained as the flow does, on what was known at a moment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud import bundle
from fraud.training import boosted_trees, evaluation
from fraud.training import settings as training_settings
from fraud.training.simulate import START
from monitoring.changing_fraud import DAY, DAYS, Month

LATE = 3                # days before a retraining, which set its threshold
SEED = 7
TREES = training_settings.BoostedTrees(
    max_depth=6, learning_rate=0.15, rounds=200, early_stopping_rounds=25, min_child_weight=5.0,
    subsample=0.8, colsample_bytree=0.8, max_bin=256)


class Parts(NamedTuple):
    """Features and labels in order of time: what to fit, when to stop, where to set thresholds."""

    fit: tuple[np.ndarray, np.ndarray]
    early: tuple[np.ndarray, np.ndarray]
    late: tuple[np.ndarray, np.ndarray]


class Model(NamedTuple):
    """A booster with its calibration and decline threshold."""

    booster: object
    calibration: bundle.Calibration
    decline: float

    def declined(self, matrix: np.ndarray) -> np.ndarray:
        """Which payments it declines: bool."""
        logits = boosted_trees.logits(self.booster, matrix)
        return bundle.calibrated(logits, self.calibration) >= self.decline


def train(parts: Parts) -> Model:
    """Train as the flow does, on parts of its own."""
    booster, _ = boosted_trees.fit(*parts.fit, *parts.early, TREES, SEED)
    matrix, label = parts.late
    logits = boosted_trees.logits(booster, matrix)
    calibration = evaluation.fit_calibration(logits, label)
    scores = bundle.calibrated(logits, calibration)
    return Model(booster, calibration, evaluation.choose_thresholds(scores, label, 100).decline)


def parts_before(before: Month) -> Parts:
    """Of a month of which everything is known."""
    return Parts(*(before.labelled(before.days(DAYS * first, DAYS * last))
                   for first, last in ((0.03, 0.65), (0.65, 0.75), (0.75, 1.0))))


def parts_at(day: int, before: Month, of: Month) -> Parts:
    """Of the month before and of what is known on a day: its last days set the threshold."""
    old, known = parts_before(before), of.known_by(START + day * DAY)
    new, late = (of.labelled(known & of.days(*days)) for days in ((0, day - LATE),
                                                                  (day - LATE, day)))
    return Parts(_joined(old.fit, new), old.late, late)


def parts_of_all(before: Month, of: Month, learned: np.ndarray) -> Parts:
    """Of the month before and of payments whose verdicts are all given, three in ten of which set
    the threshold.

    Args:
        learned: which payments of the month: bool.
    """
    old, late = parts_before(before), _share(of, 0.3)
    return Parts(_joined(old.fit, of.labelled(learned & ~late)), old.late,
                 of.labelled(learned & late))


def half(of: Month) -> np.ndarray:
    """Half of the incidents and half of all other payments: bool."""
    return _share(of, 0.5)


def _share(of: Month, share: float) -> np.ndarray:
    rng, incident = np.random.default_rng([SEED, round(100 * share)]), of.table["incident_id"]
    codes, names = incident.factorize()
    return np.where(codes >= 0, rng.random(len(names) + 1)[codes] < share,
                    rng.random(len(codes)) < share)


def _joined(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
            ) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])
