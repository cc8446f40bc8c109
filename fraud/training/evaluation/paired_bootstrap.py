"""The difference between two models on the same payments, and its lower bound.

Payments are not independent: those of one incident are found or missed together, and the traffic of
an hour affects all legitimate payments in it. So the bootstrap draws incidents and hours, and both
models see the same draws.
B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.windows import hour_of

RESAMPLES = 2_000
CONFIDENCE = 0.95       # of the one-sided bounds


class ScoredModel(NamedTuple):
    """A model's scores of payments, shape (n,), and the threshold from which it flags fraud."""

    score: np.ndarray
    threshold: float


class Differences(NamedTuple):
    """Differences of one model from another, and their one-sided 95 % lower bounds."""

    f1: float
    auprc: float
    f1_bound: float
    auprc_bound: float
    f1_wins: float          # the share of draws with a higher F1; a tie counts half


class _Resamples(NamedTuple):
    """Draws of incidents and hours; the first draw is the payments unchanged."""

    fraud: np.ndarray                # bool, of each payment
    incidents: np.ndarray            # of each fraud, its incident
    hours: np.ndarray                # of each other payment, its hour
    incident_weights: np.ndarray     # (incidents, draws)
    hour_weights: np.ndarray         # (hours, draws)


def compare(ours: ScoredModel, theirs: ScoredModel, label: np.ndarray, incident: np.ndarray,
            event_time: np.ndarray, seed: int) -> Differences:
    """Return the metrics of `ours` minus those of `theirs`.

    Args:
        label: 0 or 1; incident: its name where label is 1; event_time: ms; shape (n,) each, both
            classes present.
    """
    resamples = _resample(label == 1, incident, event_time, np.random.default_rng(seed))
    our_f1, our_auprc = _metrics(ours, resamples)
    their_f1, their_auprc = _metrics(theirs, resamples)
    f1, auprc = our_f1 - their_f1, our_auprc - their_auprc
    wins = float(np.mean((f1[1:] > 0) + 0.5 * (f1[1:] == 0)))
    return Differences(float(f1[0]), float(auprc[0]), _lower_bound(f1), _lower_bound(auprc), wins)


def _lower_bound(draws: np.ndarray) -> float:
    return float(np.quantile(draws[1:], 1 - CONFIDENCE))


def _resample(fraud: np.ndarray, incident: np.ndarray, event_time: np.ndarray,
              rng: np.random.Generator) -> _Resamples:
    names, incidents = np.unique(incident[fraud].astype(str), return_inverse=True)
    hours = np.unique(hour_of(event_time[~fraud]), return_inverse=True)[1]
    incident_weights = _draw(names.size, rng)
    hour_weights = _draw(int(hours.max()) + 1, rng)
    return _Resamples(fraud, incidents, hours, incident_weights, hour_weights)


def _draw(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return how often each item is drawn: once, then at random; (size, 1 + RESAMPLES)."""
    drawn = rng.multinomial(size, np.full(size, 1 / size), RESAMPLES).T
    return np.column_stack([np.ones(size, np.int64), drawn]).astype(np.float64)


def _metrics(model: ScoredModel, resamples: _Resamples) -> tuple[np.ndarray, np.ndarray]:
    """Return F1 and AUPRC of each draw: shape (1 + RESAMPLES,) each.

    Counts suffice for other payments: how many of an hour score at least as high as a fraud.
    """
    fraud, hours, hour_weights = resamples.fraud, resamples.hours, resamples.hour_weights
    positive, negative = model.score[fraud], model.score[~fraud]
    order = np.argsort(-positive, kind="stable")
    weights = resamples.incident_weights[resamples.incidents[order]]    # (frauds, draws)
    descending = positive[order]
    # Frauds of one score come together, at the rank of the last of them.
    last = np.searchsorted(-descending, -descending, side="right") - 1
    higher = np.searchsorted(-descending, -negative, side="left")   # frauds above each payment
    shape = order.size + 1, hour_weights.shape[0]
    above = np.bincount(higher * shape[1] + hours, minlength=shape[0] * shape[1]).reshape(shape)
    false = (np.cumsum(above[:-1], axis=0) @ hour_weights)[last]
    true = np.cumsum(weights, axis=0)[last]
    frauds = weights.sum(axis=0)
    with np.errstate(invalid="ignore"):         # a fraud that is not drawn has no weight
        precision = np.where(weights > 0, true / (true + false), 0.0)
    auprc = (weights * precision).sum(axis=0) / frauds
    flagged = descending >= model.threshold
    alarms = np.bincount(hours, negative >= model.threshold, shape[1]) @ hour_weights
    true_positives = weights[flagged].sum(axis=0)
    return 2 * true_positives / (true_positives + alarms + frauds), auprc
