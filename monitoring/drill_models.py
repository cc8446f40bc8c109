"""The models of the drill: boosted trees, trained on what was known at a moment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud import bundle
from fraud.training import settings as training_settings
from fraud.training.evaluation.calibration import fit_calibration
from fraud.training.evaluation.thresholds import decline_threshold
from fraud.training.models import boosted_trees
from fraud.training.models.samples import LabelledSample
from fraud.training.simulate.simulator import START
from monitoring.concept_drift import DAY, DAYS, Month

CALIBRATION_DAYS = 3        # days before a retraining, which set its threshold
SEED = 7
TREES = training_settings.BoostedTrees(
    max_depth=6, learning_rate=0.15, rounds=200, early_stopping_rounds=25, min_child_weight=5.0,
    subsample=0.8, colsample_bytree=0.8, reg_lambda=1.0, max_bin=256)


class Parts(NamedTuple):
    """Payments in order of time: for fitting, early stopping and calibration."""

    fit: LabelledSample
    early_stopping: LabelledSample
    calibration: LabelledSample


class DrillModel(NamedTuple):
    """A booster with its calibration and decline threshold."""

    booster: object
    calibration: bundle.Calibration
    decline: float

    def declined(self, matrix: np.ndarray) -> np.ndarray:
        """Return a mask of the payments that it declines."""
        logits = boosted_trees.logits(self.booster, matrix)
        return bundle.calibrated(logits, self.calibration) >= self.decline


def train(parts: Parts) -> DrillModel:
    """Fit, calibrate, and choose the decline threshold as the flow does."""
    booster, _ = boosted_trees.fit(parts.fit, parts.early_stopping, TREES, SEED)
    logits = boosted_trees.logits(booster, parts.calibration.features)
    calibration = fit_calibration(logits, parts.calibration.label)
    scores = bundle.calibrated(logits, calibration)
    return DrillModel(booster, calibration, decline_threshold(scores))


def parts_before(before: Month) -> Parts:
    """Return the parts of a month whose labels are all known."""
    return Parts(*(before.labelled(before.days(DAYS * first, DAYS * last))
                   for first, last in ((0.03, 0.65), (0.65, 0.75), (0.75, 1.0))))


def parts_at(day: int, before: Month, month: Month) -> Parts:
    """Return the parts of the month before and of the labels known on a day of this month."""
    old, known = parts_before(before), month.known_by(START + day * DAY)
    new = month.labelled(known & month.days(0, day - CALIBRATION_DAYS))
    calibration = month.labelled(known & month.days(day - CALIBRATION_DAYS, day))
    return Parts(_joined(old.fit, new), old.calibration, calibration)


def parts_of_all(before: Month, month: Month, learned: np.ndarray) -> Parts:
    """Return the parts of the month before and of payments whose labels are all known.

    Three in ten of the latter calibrate.

    Args:
        learned: a mask of payments of the month.
    """
    old, calibrates = parts_before(before), _share(month, 0.3)
    return Parts(_joined(old.fit, month.labelled(learned & ~calibrates)), old.calibration,
                 month.labelled(learned & calibrates))


def half(month: Month) -> np.ndarray:
    """Return a mask of half of the incidents and half of all other payments."""
    return _share(month, 0.5)


def _share(month: Month, share: float) -> np.ndarray:
    rng = np.random.default_rng([SEED, round(100 * share)])
    codes, names = month.table["incident_id"].factorize()
    return np.where(codes >= 0, rng.random(len(names) + 1)[codes] < share,
                    rng.random(len(codes)) < share)


def _joined(first: LabelledSample, second: LabelledSample) -> LabelledSample:
    return LabelledSample(np.concatenate([first.features, second.features]),
                          np.concatenate([first.label, second.label]))
