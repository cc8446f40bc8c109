"""Choice of the decline and review thresholds."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from fraud.bundle import HIGHEST_RANK, Thresholds
from fraud.training.features.splits import Traffic

BUSIEST_DAY = 1.5       # times the budget, at most
MARGIN = 0.5            # standard deviations of the daily alerts, kept free of the budget
SEARCHED = 2.0          # times the budget: there are no more alerts than this


def decline_threshold(scores: np.ndarray) -> float:
    """Return the threshold with the highest expected F1.

    A calibrated score is the expected value of its label, and a less noisy one than the label of
    one payment. Z. Lipton, C. Elkan, B. Naryanaswamy, "Optimal Thresholding of Classifiers to
    Maximize F1 Measure" (2014).

    Args:
        scores: calibrated, of all payments, labelled or not, shape (n,).
    """
    return _between(np.sort(scores)[::-1], int(np.argmax(f1_curve(scores, scores))))


def with_review(thresholds: Thresholds, scores: np.ndarray, traffic: Traffic,
                budget: float) -> Thresholds:
    """Return thresholds with the review threshold that holds an alert budget.

    Args:
        thresholds: their own review threshold is ignored.
        scores: of all payments, labelled or not: frauds without a label yet are alerts too.
        budget: alerts a day.
    """
    review = review_threshold(
        thresholds.priorities(scores, traffic.amount), traffic.day, traffic.days, budget,
        HIGHEST_RANK[thresholds.review_by])
    if thresholds.review_by == "score":
        review = min(review, thresholds.decline)
    return replace(thresholds, review=review)


def review_threshold(ranks: np.ndarray, day: np.ndarray, days: int, budget: float,
                     highest: float) -> float:
    """Return the lowest threshold that holds an alert budget.

    The mean of the daily alerts is within the budget, with a margin of `MARGIN` times their
    standard deviation, and the busiest day is within `BUSIEST_DAY` times the budget: the days to
    come include busier ones, such as pay days. `highest` if no threshold holds it.

    Args:
        ranks: see `Thresholds.priorities`.
        day: of each payment, 0 to days - 1.
        budget: alerts a day.
        highest: the highest possible rank.
    """
    searched = min(ranks.size, int(SEARCHED * budget * days) + 1)
    order = np.argsort(-ranks, kind="stable")
    alerts = np.zeros((searched, days), np.int64)
    alerts[np.arange(searched), day[order[:searched]]] = 1
    alerts = np.cumsum(alerts, axis=0)              # of each day, if the k+1 highest are alerts
    spread = alerts.std(axis=1, ddof=1) if days > 1 else 0.0
    holds = ((alerts.mean(axis=1) + MARGIN * spread <= budget)
             & (alerts.max(axis=1) <= BUSIEST_DAY * budget))
    allowed = searched if holds.all() else int(np.argmin(holds))
    descending = ranks[order]
    beyond = descending[allowed] if allowed < ranks.size else -np.inf
    # No threshold separates payments of one rank: if not all of them fit, none is an alert.
    last = int(np.count_nonzero(descending > beyond)) - 1
    return _between(descending, last) if last >= 0 else highest


def f1_curve(scores: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return F1 if the k+1 highest scores count as fraud, for each k: shape (n,); 0 within ties.

    Args:
        label: 0 or 1, or its expected value for the expected F1; shape (n,).
    """
    order = np.argsort(-scores, kind="stable")
    true_positives = np.cumsum(label[order])
    f1 = 2 * true_positives / (np.arange(1, order.size + 1) + label.sum())
    tied = np.append(np.diff(scores[order]) == 0, False)
    return np.where(tied, 0.0, f1)


def _between(descending: np.ndarray, last: int) -> float:
    """Return a threshold midway between the score at `last` and the next lower one.

    Rounding cannot move either score across it.
    """
    score = descending[last]
    lower = descending[descending < score]
    next_lower = lower[0] if lower.size else 0.0
    return float((score + next_lower) / 2)
