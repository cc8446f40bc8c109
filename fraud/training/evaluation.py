"""How good scores are: calibration, thresholds, and metrics with their interval."""

from __future__ import annotations

import numpy as np

from fraud.bundle import Calibration, Thresholds
from fraud.training.errors import TrainingError

ALERT_BUDGETS = (50, 100, 200, 500)      # alerts a day at which recall is reported
RESAMPLES = 1_000


def fit_calibration(logits: np.ndarray, label: np.ndarray) -> Calibration:
    """Platt scaling of logits of shape (n,): undoes class weights and sampling, keeps the order.

    Raises:
        TrainingError: the logits do not rise with fraud, so no rising score can be made of them.
    """
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(logits[:, None].astype(np.float64), label)
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        raise TrainingError(
            f"the model learned nothing: its calibration has slope {slope:.3g} on the late "
            "validation period; give more data or other features")
    return Calibration(slope, intercept)


def choose_thresholds(scores: np.ndarray, label: np.ndarray, alerts: float) -> Thresholds:
    """Decline where F1 is highest; review down to at most as many alerts as can be looked at.

    Args:
        scores, label: shape (n,).
        alerts: how many of these n payments may be reviewed or declined.
    """
    descending = np.sort(scores)[::-1]
    decline = _between(descending, int(np.argmax(f1_curve(scores, label))))
    beyond = descending[int(alerts)] if alerts < descending.size else -np.inf
    # Payments of one score are told apart by no threshold: where not all fit, none is an alert.
    review = _between(descending, np.count_nonzero(descending > beyond) - 1)
    return Thresholds(review=min(review, decline), decline=decline)


def f1_curve(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    """F1 if the k+1 highest scores are called fraud, for each k: shape (n,); 0 within ties."""
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(label[order])
    f1 = 2 * found / (np.arange(1, order.size + 1) + label.sum())
    tied = np.append(np.diff(scores[order]) == 0, False)
    return np.where(tied, 0.0, f1)


def _between(descending: np.ndarray, last: int) -> float:
    """A threshold just below the score at `last`: midway to the next, so that rounding is safe."""
    if last < 0:
        return 1.0
    here = descending[last]
    lower = descending[descending < here]
    return float((here + (lower[0] if lower.size else 0.0)) / 2)


def metrics(scores: np.ndarray, label: np.ndarray, threshold: float, days: float,
            prefix: str) -> dict[str, float]:
    """The metrics of one period; names start with `prefix`.

    Args:
        scores, label: shape (n,); both classes present.
        threshold: scores from here on are called fraud.
        days: length of the period, for recall at a number of alerts a day.
    """
    from sklearn.metrics import (
        average_precision_score, brier_score_loss, precision_recall_fscore_support, roc_auc_score)

    precision, recall, f1, _ = precision_recall_fscore_support(
        label, scores >= threshold, average="binary", zero_division=0.0)
    ranked = label[np.argsort(-scores, kind="stable")]
    values = {
        "f1": f1, "precision": precision, "recall": recall,
        "auprc": average_precision_score(label, scores),
        "roc_auc": roc_auc_score(label, scores),
        "brier": brier_score_loss(label, scores),
        **{f"recall_at_{budget}_alerts_per_day": ranked[:int(budget * days)].sum() / label.sum()
           for budget in ALERT_BUDGETS},
    }
    return {prefix + name: float(value) for name, value in values.items()}


def f1_interval(flagged: np.ndarray, label: np.ndarray, incident: np.ndarray,
                seed: int) -> tuple[float, float]:
    """The 95 % percentile interval of F1, from a bootstrap by incident.

    Payments of one incident are found or missed together, so incidents are drawn, not payments;
    false alarms are independent and drawn as a binomial number.
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993).

    Args:
        flagged: bool; label: 0 or 1; incident: the incident's name where label is 1; shape (n,).
    """
    rng = np.random.default_rng(seed)
    fraud = label == 1
    names, which = np.unique(incident[fraud].astype(str), return_inverse=True)
    found = np.bincount(which, flagged[fraud], names.size)
    legs = np.bincount(which, minlength=names.size)
    drawn = rng.multinomial(names.size, np.full(names.size, 1 / names.size), RESAMPLES)
    honest = int((~fraud).sum())
    alarms = rng.binomial(honest, flagged[~fraud].mean(), RESAMPLES)
    true, frauds = drawn @ found, drawn @ legs
    low, high = np.quantile(2 * true / (true + alarms + frauds), [0.025, 0.975])
    return float(low), float(high)


def recall_by(kind: np.ndarray, flagged: np.ndarray) -> dict[str, tuple[int, float]]:
    """For each kind of fraud: how many payments, and the share of them that was flagged.

    Args:
        kind: names, or None where there is none; flagged: bool; of frauds only, shape (n,).
    """
    names = np.array([name or "fraud" for name in kind])
    return {str(name): (int((names == name).sum()), float(flagged[names == name].mean()))
            for name in np.unique(names)}
