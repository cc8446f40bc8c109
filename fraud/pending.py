"""Payments of a batch that wait for their answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from fraud.bundle import Bundle
from fraud.feature_definitions import DAY
from fraud.history import Claim
from fraud.inference import (
    History, ModelResult, counts_before, rows_with_history, rows_without_history, score_rows)
from fraud.transaction import Transaction
from fraud.windows import ALL_WINDOWS


class Pending(msgspec.Struct, gc=False):
    """A payment that waits for its answer."""

    index: int                          # in its batch
    payment: Transaction
    claim: Claim | None                 # None where the store is unavailable
    repeats: list[int] = []             # indexes of the same payment, later in the batch
    history: History | None = None      # before the payment; None without a claim

    @property
    def history_known(self) -> Literal["full", "partial", "short", "unavailable"]:
        """The part of the history that is known, as answers and log lines name it."""
        if self.history is None:
            return "unavailable"
        if self.history.windows == ALL_WINDOWS:
            return "full"
        return "partial" if self.uses_history else "short"

    @property
    def uses_history(self) -> bool:
        """True if the store recorded the day before the payment: enough for the model."""
        return self.history is not None and self.history.windows >= DAY


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
    _add_history(pending.values())
    return list(pending.values())


def score(bundle: Bundle, pending: Sequence[Pending]) -> list[ModelResult]:
    """Score with the model where the day is known, with the fallback model elsewhere."""
    results = (_with_history(bundle, [case for case in pending if case.uses_history])
               | _without_history(bundle, [case for case in pending if not case.uses_history]))
    return [results[case.index] for case in pending]


def _add_history(pending: Iterable[Pending]) -> None:
    claimed = [(case, case.claim) for case in pending if case.claim]
    counts = counts_before([claim for _, claim in claimed])
    for (case, claim), before in zip(claimed, counts, strict=True):
        case.history = History(before, claim.known_windows(case.payment.event_time))


def _with_history(bundle: Bundle, cases: Sequence[Pending]) -> dict[int, ModelResult]:
    if not cases:
        return {}
    payments = [case.payment for case in cases]
    histories = [case.history for case in cases if case.history is not None]
    rows = rows_with_history(bundle.features, payments, histories)
    results = score_rows(bundle.model, bundle.policy.model, rows, payments, histories)
    return {case.index: result for case, result in zip(cases, results, strict=True)}


def _without_history(bundle: Bundle, cases: Sequence[Pending]) -> dict[int, ModelResult]:
    if not cases:
        return {}
    payments = [case.payment for case in cases]
    rows = rows_without_history(bundle.features, payments)
    results = score_rows(bundle.fallback, bundle.policy.fallback, rows, payments, None)
    return {case.index: result for case, result in zip(cases, results, strict=True)}
