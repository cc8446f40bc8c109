"""How much better one model is than another on the same payments, and how sure that is.

Payments are not independent: those of one incident are found or missed together, and what an hour
is like touches all legitimate payments in it. So the bootstrap draws incidents and hours, and both
models see the same draws.
B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.history import bucket_of

RESAMPLES = 2_000
CONFIDENCE = 0.95       # of the one-sided bounds


class Model(NamedTuple):
    """What a model makes of payments: scores of shape (n,), and from where on it calls fraud."""

    score: np.ndarray
    threshold: float


class Differences(NamedTuple):
    """Of one model to another, and what they are at least with a confidence of 95 %."""

    f1: float
    auprc: float
    f1_bound: float
    auprc_bound: float


def compare(ours: Model, theirs: Model, label: np.ndarray, incident: np.ndarray,
            event_time: np.ndarray, seed: int) -> Differences:
    """Ours less theirs.

    Args:
        label: 0 or 1; incident: its name where label is 1; event_time: ms; shape (n,) each, both
            classes present.
    """
    rng = np.random.default_rng(seed)
    fraud = label == 1
    names, incidents = np.unique(incident[fraud].astype(str), return_inverse=True)
    hours = np.unique(bucket_of(event_time[~fraud]), return_inverse=True)[1]
    # The first column is the payments as they are.
    of_incidents = _draws(names.size, rng)
    of_hours = _draws(int(hours.max()) + 1, rng)
    f1, auprc = zip(*(_measured(model, fraud, incidents, hours, of_incidents, of_hours)
                      for model in (ours, theirs)))
    differences = f1[0] - f1[1], auprc[0] - auprc[1]
    bounds = [float(np.quantile(one[1:], 1 - CONFIDENCE)) for one in differences]
    return Differences(*(float(one[0]) for one in differences), *bounds)


def _draws(size: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of some things is drawn: once, then at random; (size, 1 + RESAMPLES)."""
    drawn = rng.multinomial(size, np.full(size, 1 / size), RESAMPLES).T
    return np.column_stack([np.ones(size, np.int64), drawn]).astype(np.float64)


def _measured(model: Model, fraud: np.ndarray, incidents: np.ndarray, hours: np.ndarray,
              of_incidents: np.ndarray, of_hours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F1 and AUPRC of each draw: shape (1 + RESAMPLES,) each.

    Of payments only counts are needed: how many an hour has with scores as high as a fraud's.
    """
    positive, negative = model.score[fraud], model.score[~fraud]
    order = np.argsort(-positive, kind="stable")
    weights = of_incidents[incidents[order]]                    # (frauds, draws)
    descending = positive[order]
    # Frauds of one score come together, at the rank of the last of them.
    last = np.searchsorted(-descending, -descending, side="right") - 1
    higher = np.searchsorted(-descending, -negative, side="left")   # frauds above each payment
    shape = order.size + 1, of_hours.shape[0]
    above = np.bincount(higher * shape[1] + hours, minlength=shape[0] * shape[1]).reshape(shape)
    false = (np.cumsum(above[:-1], axis=0) @ of_hours)[last]
    true = np.cumsum(weights, axis=0)[last]
    frauds = weights.sum(axis=0)
    with np.errstate(invalid="ignore"):         # a fraud that is not drawn has no weight
        precision = np.where(weights > 0, true / (true + false), 0.0)
    auprc = (weights * precision).sum(axis=0) / frauds
    called = descending >= model.threshold
    alarms = np.bincount(hours, negative >= model.threshold, shape[1]) @ of_hours
    found = weights[called].sum(axis=0)
    return 2 * found / (found + alarms + frauds), auprc
