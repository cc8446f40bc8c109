"""Payments of a batch that wait for their answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from fraud.bundle import Bundle
from fraud.history import Claim
from fraud.inference import (
    ModelResult, counts_before, rows_with_history, rows_without_history, score_rows)
from fraud.transaction import Transaction


class Pending(msgspec.Struct, gc=False):
    """A payment that waits for its answer."""

    index: int                          # in its batch
    payment: Transaction
    claim: Claim | None                 # None where the store is unavailable
    repeats: list[int] = []             # indexes of the same payment, later in the batch
    counts: list[int] | None = None     # before the payment; None without a claim
    is_complete: bool = False           # the store recorded the whole window before the payment


def collect(payments: Sequence[Transaction], claims: Mapping[int, Claim | None]) -> list[Pending]:
    """Return the payments to score, each once, however often its batch repeats it.

    Args:
        claims: by index in `payments`.
    """
    pending: dict[str | int, Pending] = {}
    for index, claim in claims.items():
        key = claim.transaction_id if claim else index
        if key in pending:
            pending[key].repeats.append(index)
        else:
            pending[key] = Pending(index, payments[index], claim)
    _add_counts(pending.values())
    return list(pending.values())


def score(bundle: Bundle, pending: Sequence[Pending]) -> list[ModelResult]:
    """Score with the model where history is complete, with the fallback model elsewhere."""
    results = (_with_history(bundle, [case for case in pending if case.is_complete])
               | _without_history(bundle, [case for case in pending if not case.is_complete]))
    return [results[case.index] for case in pending]


def _add_counts(pending: Iterable[Pending]) -> None:
    claimed = [(case, case.claim) for case in pending if case.claim]
    counts = counts_before([claim for _, claim in claimed])
    for (case, claim), before in zip(claimed, counts, strict=True):
        case.counts = before
        case.is_complete = claim.is_complete(case.payment.event_time)


def _with_history(bundle: Bundle, cases: Sequence[Pending]) -> dict[int, ModelResult]:
    if not cases:
        return {}
    payments = [case.payment for case in cases]
    counts = [case.counts for case in cases if case.counts is not None]
    rows = rows_with_history(bundle.features, payments, counts)
    results = score_rows(bundle.model, bundle.policy.model, rows, payments, counts)
    return {case.index: result for case, result in zip(cases, results, strict=True)}


def _without_history(bundle: Bundle, cases: Sequence[Pending]) -> dict[int, ModelResult]:
    if not cases:
        return {}
    payments = [case.payment for case in cases]
    rows = rows_without_history(bundle.features, payments)
    results = score_rows(bundle.fallback, bundle.policy.fallback, rows, payments, None)
    return {case.index: result for case, result in zip(cases, results, strict=True)}
