"""Choice of the decline and review thresholds."""

from __future__ import annotations

import numpy as np

BUSIEST_DAY = 1.5       # times the budget, at most
SEARCHED = 2.0          # times the budget: there are no more alerts than this


def decline_threshold(scores: np.ndarray, label: np.ndarray) -> float:
    """Return the threshold with the highest F1.

    Args:
        scores, label: of labelled payments, shape (n,).
    """
    return _between(np.sort(scores)[::-1], int(np.argmax(f1_curve(scores, label))))


def review_threshold(scores: np.ndarray, day: np.ndarray, days: int, budget: float) -> float:
    """Return the lowest threshold that holds an alert budget.

    The mean of the daily alerts plus their standard deviation is within the budget, as is the
    busiest day within `BUSIEST_DAY` times it: the days to come include busier ones, such as pay
    days. 1.0 if no threshold holds it.

    Args:
        scores: of all payments, labelled or not: frauds without a label yet are alerts too.
        day: of each payment, 0 to days - 1.
        budget: alerts a day.
    """
    searched = min(scores.size, int(SEARCHED * budget * days) + 1)
    order = np.argsort(-scores, kind="stable")
    alerts = np.zeros((searched, days), np.int64)
    alerts[np.arange(searched), day[order[:searched]]] = 1
    alerts = np.cumsum(alerts, axis=0)              # of each day, if the k+1 highest are alerts
    spread = alerts.std(axis=1, ddof=1) if days > 1 else 0.0
    holds = ((alerts.mean(axis=1) + spread <= budget)
             & (alerts.max(axis=1) <= BUSIEST_DAY * budget))
    allowed = searched if holds.all() else int(np.argmin(holds))
    descending = scores[order]
    beyond = descending[allowed] if allowed < scores.size else -np.inf
    # No threshold separates payments of one score: if not all of them fit, none is an alert.
    return _between(descending, int(np.count_nonzero(descending > beyond)) - 1)


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
