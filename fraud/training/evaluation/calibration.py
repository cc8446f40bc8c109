"""Calibration of logits into probabilities."""

from __future__ import annotations

import numpy as np

from fraud.bundle import Calibration
from fraud.training.errors import TrainingError


def fit_calibration(logits: np.ndarray, label: np.ndarray) -> Calibration:
    """Fit Platt scaling to logits of shape (n,): corrects for class weights and sampling.

    The order of scores is that of the logits.

    Raises:
        TrainingError: the logits do not rise with fraud, so the model learned nothing.
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(logits[:, None].astype(np.float64), label)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        raise TrainingError(
            f"the model learned nothing: the slope of its calibration is {slope:.3g} in "
            "validation; give more data or other features")
    return Calibration(slope, intercept)
