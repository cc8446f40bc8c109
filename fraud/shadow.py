"""Shadow scores: a challenger sees what the champion sees, and changes no answer.

It is scored in the same call, on the same payments and counts. If it fails, or is slow several
times in a row, it is dropped until another challenger is published.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from fraud.bundle import Bundle, Thresholds
from fraud.features import FeatureTable
from fraud.inference import ModelResult, rows_with_history, rows_without_history
from fraud.pending import Pending

log = logging.getLogger(__name__)
SLOW_SECONDS = 0.02             # of a call, and for each payment:
SLOW_SECONDS_EACH = 0.001
SLOW_CALLS = 3                  # in a row; the first call after a load may be slow


class ShadowDecision(msgspec.Struct, frozen=True):
    """The decision of the challenger alone, without lists and rules."""

    model_version: str
    model_digest: str           # sha256 of bundle.json
    policy_digest: str          # sha256 of policy.json
    thresholds: Thresholds      # of that policy, for the model that scored
    score: float
    decision: str


class ShadowScorer:
    """Scores with a challenger. Any thread may use it.

    Args:
        on_drop: called with `error` or `slow` when the challenger is dropped.
    """

    def __init__(self, bundle: Bundle, on_drop: Callable[[str], None]):
        self._bundle, self._on_drop = bundle, on_drop
        self._slow_calls, self._is_dropped = 0, False

    def score(self, cases: Sequence[Pending], table: FeatureTable, results: Sequence[ModelResult]
              ) -> dict[int, ShadowDecision]:
        """Return decisions by the index of a case; nothing for types that it does not know.

        Args:
            table: of the model that decided on the cases.
            results: of that model, one a case.
        """
        if self._is_dropped:
            return {}
        started = time.perf_counter()
        try:
            decisions = self._scored(cases, table, results)
        except Exception as error:      # whatever it is: it must not fail an answer
            self._drop("error", f"failed ({type(error).__name__}: {error})")
            return {}
        seconds = time.perf_counter() - started
        bound = SLOW_SECONDS + SLOW_SECONDS_EACH * len(cases)
        self._slow_calls = self._slow_calls + 1 if seconds > bound else 0
        if self._slow_calls >= SLOW_CALLS:
            self._drop("slow", f"took {seconds:.3f} s for {len(cases)} payments, and more than "
                               f"its bound {SLOW_CALLS} times in a row")
        return decisions

    def _scored(self, cases: Sequence[Pending], table: FeatureTable,
                results: Sequence[ModelResult]) -> dict[int, ShadowDecision]:
        bundle = self._bundle
        decisions: dict[int, ShadowDecision] = {}
        for uses_history, model, thresholds in (
                (True, bundle.model, bundle.policy.model),
                (False, bundle.fallback, bundle.policy.fallback)):
            part = [(case, result) for case, result in zip(cases, results, strict=True)
                    if case.uses_history is uses_history
                    and case.payment.type in bundle.features.type_codes]
            if not part:
                continue
            rows = self._rows([case for case, _ in part], [result for _, result in part], table)
            for (case, _), score in zip(part, model.scores(rows).tolist(), strict=True):
                decisions[case.index] = ShadowDecision(
                    bundle.manifest.version, bundle.digest, bundle.policy_digest, thresholds, score,
                    thresholds.decide(score, case.payment.amount_cents))
        return decisions

    def _rows(self, cases: Sequence[Pending], results: Sequence[ModelResult], table: FeatureTable
              ) -> np.ndarray:
        """Return feature rows: those of the other model where it has the same features."""
        ours = self._bundle.features
        if (ours.types, ours.names) == (table.types, table.names):
            return np.array([result.features for result in results], np.float32)
        payments = [case.payment for case in cases]
        histories = [case.history for case in cases if case.history is not None]
        return (rows_with_history(ours, payments, histories) if cases[0].uses_history
                else rows_without_history(ours, payments))

    def _drop(self, reason: str, problem: str) -> None:
        self._is_dropped = True
        log.error("challenger %s is dropped: it %s; publish another version, or end the challenge",
                  self._bundle.manifest.version, problem)
        self._on_drop(reason)
