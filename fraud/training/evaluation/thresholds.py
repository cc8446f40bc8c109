"""Choice of the decline and review thresholds."""

from __future__ import annotations

import numpy as np

from fraud.bundle import Thresholds


def choose_thresholds(scores: np.ndarray, label: np.ndarray, alerts: float) -> Thresholds:
    """Choose the decline threshold with the highest F1, and review down to an alert budget.

    Args:
        scores, label: shape (n,).
        alerts: how many of these n payments may be reviewed or declined.
    """
    descending = np.sort(scores)[::-1]
    decline = _between(descending, int(np.argmax(f1_curve(scores, label))))
    beyond = descending[int(alerts)] if alerts < descending.size else -np.inf
    # No threshold separates payments of one score: if not all of them fit, none is an alert.
    review = _between(descending, int(np.count_nonzero(descending > beyond)) - 1)
    return Thresholds(review=min(review, decline), decline=decline)


def f1_curve(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return F1 if the k+1 highest scores count as fraud, for each k: shape (n,); 0 within ties."""
    order = np.argsort(-scores, kind="stable")
    true_positives = np.cumsum(label[order])
    f1 = 2 * true_positives / (np.arange(1, order.size + 1) + label.sum())
    tied = np.append(np.diff(scores[order]) == 0, False)
    return np.where(tied, 0.0, f1)


def _between(descending: np.ndarray, last: int) -> float:
    """Return a threshold midway between the score at `last` and the next lower one.

    Rounding cannot move either score across it.
    """
    if last < 0:
        return 1.0
    score = descending[last]
    lower = descending[descending < score]
    next_lower = lower[0] if lower.size else 0.0
    return float((score + next_lower) / 2)
