"""Score payments with one model: feature rows, then score, decision and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fraud.bundle import OnnxModel, Thresholds
from fraud.features import FeatureTable
from fraud.history import Claim, counts_array
from fraud.reasons import Reason
from fraud.transaction import Transaction
from fraud.windows import counts_of

SCALAR_BATCH_MAX = 12       # up to this many payments, scalars are faster than arrays


class ModelResult(NamedTuple):
    """The result of a model for one payment."""

    features: list[float]       # NaN where not known
    score: float
    decision: str
    reasons: list[Reason]


class History(NamedTuple):
    """The history before one payment."""

    counts: list[int]           # in the order of `fraud.windows.COUNT_NAMES`
    windows: int                # number of `fraud.windows.WINDOWS` that are known


def score_rows(model: OnnxModel, thresholds: Thresholds, rows: np.ndarray,
               payments: Sequence[Transaction],
               histories: Sequence[History] | None) -> list[ModelResult]:
    """Return one result a payment.

    Args:
        rows: the payments' features, float32 of shape (payments, features).
        payments: their amounts decide too, and reasons have their exact numbers.
        histories: likewise; None for the fallback model.
    """
    results = []
    scores = model.scores(rows).tolist()
    for index, (row, score) in enumerate(zip(rows.tolist(), scores, strict=True)):
        decision = thresholds.decide(score, payments[index].amount_cents)
        reasons: list[Reason] = []
        if decision != "approve":
            before = None if histories is None else counts_of(*histories[index])
            exact = model.table.exact(payments[index], before)
            reasons = model.explain(rows[index:index + 1], exact)
        results.append(ModelResult(row, score, decision, reasons))
    return results


def counts_before(claims: Sequence[Claim]) -> list[list[int]]:
    """Return the counts before each payment, in the order of `fraud.windows.COUNT_NAMES`."""
    if len(claims) <= SCALAR_BATCH_MAX:
        return [claim.counts for claim in claims]
    counts: list[list[int]] = counts_array(claims).T.tolist()
    return counts


def rows_with_history(table: FeatureTable, payments: Sequence[Transaction],
                      histories: Sequence[History]) -> np.ndarray:
    """Return the model's input: float32, shape (payments, features)."""
    if len(payments) <= SCALAR_BATCH_MAX:
        return table.vectors(payments, [counts_of(*history) for history in histories])
    counts = np.array([history.counts for history in histories], np.int64).T
    windows = np.array([history.windows for history in histories], np.int64)
    return table.matrix(table.columns(payments), counts_of(list(counts), windows))


def rows_without_history(table: FeatureTable, payments: Sequence[Transaction]) -> np.ndarray:
    """Return the fallback model's input: float32, shape (payments, features)."""
    if len(payments) <= SCALAR_BATCH_MAX:
        return table.vectors(payments, [None] * len(payments))
    return table.matrix(table.columns(payments), None)
