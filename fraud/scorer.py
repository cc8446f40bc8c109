"""Claim history, score, finish: the one operation that API and stream both call.

A payment is answered once. The answer is kept as bytes, and a repeat gets the same bytes, also
after a crash or a change of models. A crash may lose the log line of an answered payment, a late
reply of the store does not; concurrent scorers may log identical duplicate lines: readers take one
line per transaction_id.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from fraud import pending
from fraud.bundle import Bundle
from fraud.canary import Arm, Canary
from fraud.clock import now_ms
from fraud.decision import Answered, Decision, Refused, answered
from fraud.history import (
    AlreadyAnswered, Claim, ClaimResult, IdConflict, Store, StoreContractError, StoreUnavailable)
from fraud.inference import ModelResult
from fraud.pending import Pending
from fraud.rules.ruling import NO_RULES, Rules, Ruling, ScoredPayment
from fraud.settings import Settings
from fraud.shadow import ShadowScorer
from fraud.transaction import Transaction
from fraud.windows import WINDOWS

logger = logging.getLogger(__name__)
MINUTE_MS = 60_000


class Scorer:
    """Scores payments with a store and a bundle. Any thread may use it.

    It knows accounts by the names that payments have here: in a service, these are pseudonyms.

    `bundle`, `canary`, `rules` and `shadow` may be replaced at any time: a batch is finished with
    those it began with.

    Args:
        fallback_on_store_error: when the store is unavailable, answer without history and without
            keeping the answer, instead of raising `StoreUnavailable`.
    """

    def __init__(self, store: Store, bundle: Bundle, settings: Settings,
                 fallback_on_store_error: bool):
        self.bundle, self.rules = bundle, NO_RULES
        self.canary: Canary | None = None
        self.shadow: ShadowScorer | None = None
        self._store, self._fallback_on_store_error = store, fallback_on_store_error
        self._max_clock_skew_ms = round(settings.max_clock_skew_minutes * MINUTE_MS)
        self._replays = settings.clock == "event"
        # Answers of the last batch that the store may have kept, although it did not say so.
        self._unconfirmed: dict[str, Answered] = {}

    def score(self, payments: Sequence[Transaction]) -> list[Answered | Refused]:
        """Count and score payments in their order, and return one outcome each.

        Raises:
            StoreUnavailable: unless `fallback_on_store_error`. Nothing is lost: call it again.
            StoreContractError: the store has a defect.
        """
        now, bundle, rules = now_ms(), self.bundle, self.rules
        outcomes: dict[int, Answered | Refused] = {}        # by index in `payments`
        for index, payment in enumerate(payments):
            if payment.type not in bundle.features.type_codes:
                outcomes[index] = _unknown_type(payment, bundle)
            elif self._is_too_far_ahead(payment, now):
                outcomes[index] = _too_far_ahead(payment, now)
        accepted = [index for index in range(len(payments)) if index not in outcomes]
        claims = self._claim([payments[index] for index in accepted], now)
        to_score: dict[int, Claim | None] = {}
        for index, claim in zip(accepted, claims, strict=True):
            if isinstance(claim, AlreadyAnswered):
                outcomes[index] = self._already_answered(payments[index], claim.answer)
            elif isinstance(claim, IdConflict):
                outcomes[index] = _id_conflict(payments[index])
            else:
                to_score[index] = claim
        cases = pending.collect(payments, to_score)
        for case, outcome in zip(cases, self._answer(bundle, rules, cases), strict=True):
            outcomes[case.index] = outcome
            for repeat in case.repeats:
                outcomes[repeat] = Answered(outcome.body, None)
        return [outcomes[index] for index in range(len(payments))]

    def _is_too_far_ahead(self, payment: Transaction, now: int) -> bool:
        return not self._replays and payment.event_time > now + self._max_clock_skew_ms

    def _already_answered(self, payment: Transaction, answer: bytes) -> Answered:
        """Return a kept answer, with its decision if that was made here and never returned."""
        unconfirmed = self._unconfirmed.pop(payment.transaction_id, None)
        return unconfirmed if unconfirmed and unconfirmed.body == answer else Answered(answer, None)

    def _claim(self, payments: Sequence[Transaction], now: int) -> list[ClaimResult] | list[None]:
        """Return the store's result for each payment, or None each if the store is unavailable."""
        if not payments:
            return []
        recording_from = payments[0].event_time if self._replays else now
        try:
            claims = self._store.claim(payments, recording_from)
        except StoreUnavailable as error:
            if not self._fallback_on_store_error:
                raise
            logger.warning("scoring without history: %s", error)
            return [None] * len(payments)
        _check_count("claim", claims, len(payments))
        return claims

    def _answer(self, bundle: Bundle, rules: Rules, cases: list[Pending]) -> list[Answered]:
        """Decide on payments, and keep the answers in the store if it is available."""
        decisions = self._decide(bundle, rules, cases)
        outcomes = [answered(decision) for decision in decisions]
        claims = [case.claim for case in cases if case.claim]
        if not claims:                  # a batch is claimed as a whole: all or none
            return outcomes
        try:
            kept = self._store.finish(claims, [outcome.body for outcome in outcomes])
        except StoreUnavailable as error:
            if not self._fallback_on_store_error:
                self._unconfirmed = {claim.transaction_id: outcome
                                     for claim, outcome in zip(claims, outcomes, strict=True)}
                raise
            logger.warning("answers are not kept: %s", error)
            return [answered(replace(decision, idempotent=False)) for decision in decisions]
        _check_count("finish", kept, len(claims))
        self._unconfirmed = {}
        return [outcome if body == outcome.body else Answered(body, None)
                for body, outcome in zip(kept, outcomes, strict=True)]

    def _decide(self, bundle: Bundle, rules: Rules, cases: list[Pending]) -> list[Decision]:
        now, shadow = now_ms(), self.shadow
        if (canary := self.canary) is None:
            return self._decisions(Arm(bundle, cases, pending.score(bundle, cases)), rules, shadow,
                                   now)
        decisions: dict[int, Decision] = {}         # by index of a case
        for arm in canary.arms(bundle, cases):
            decided = self._decisions(arm, rules, shadow, now)
            decisions.update(zip((case.index for case in arm.cases), decided, strict=True))
        return [decisions[case.index] for case in cases]

    def _decisions(self, arm: Arm, rules: Rules, shadow: ShadowScorer | None, now: int
                   ) -> list[Decision]:
        bundle, cases = arm.bundle, arm.cases
        decisions = [self._decision(bundle, case, result, now)
                     for case, result in zip(cases, arm.results, strict=True)]
        if shadow:
            of_challenger = shadow.score(cases, bundle.features, arm.results)
            decisions = [replace(decision, shadow=of_challenger.get(case.index))
                         for case, decision in zip(cases, decisions, strict=True)]
        if not rules:
            return decisions
        scored = [ScoredPayment(case.payment, decision.origin, decision.destination,
                                decision.features, decision.decision, decision.reasons)
                  for case, decision in zip(cases, decisions, strict=True)]
        rulings = rules.rulings(scored, bundle.features.names, now)
        return [_ruled(decision, ruling, rules)
                for decision, ruling in zip(decisions, rulings, strict=True)]

    def _decision(self, bundle: Bundle, case: Pending, result: ModelResult, now: int) -> Decision:
        payment, claim, history = case.payment, case.claim, case.history
        return Decision(
            decided_at=now,
            transaction_id=payment.transaction_id,
            event_time=payment.event_time,
            type=payment.type,
            amount_cents=payment.amount_cents,
            origin=payment.origin,
            destination=payment.destination,
            origin_balance_cents=payment.origin_balance_cents,
            destination_balance_cents=payment.destination_balance_cents,
            history=case.history_known,
            unknown_windows=[*WINDOWS[history.windows:]] if history else [*WINDOWS],
            late=claim is not None and claim.late,
            store_sequence=claim.store_sequence if claim else None,
            recording_since=claim.recording_since if claim else None,
            counts=history.counts if history else None,
            features=[*result.features],
            score=result.score,
            decision=result.decision,
            reasons=result.reasons,
            idempotent=claim is not None,
            model_digest=bundle.digest,
            model_version=bundle.manifest.version,
            policy_digest=bundle.policy_digest,
            policy_version=bundle.policy.version,
            thresholds=bundle.policy.model if case.uses_history else bundle.policy.fallback,
        )


def _ruled(decision: Decision, ruling: Ruling, rules: Rules) -> Decision:
    return replace(decision, decision=ruling.decision, decided_by=ruling.decided_by,
                   reasons=ruling.reasons, model_decision=decision.decision,
                   applied=ruling.applied, dry_run=ruling.dry_run,
                   rules_version=rules.version, rules_digest=rules.digest)


def _check_count(call: str, results: Sequence[object], expected: int) -> None:
    if len(results) != expected:
        raise StoreContractError(f"the store's `{call}` returned {len(results)} results for "
                                 f"{expected} payments; it must return one each, in their order")


def _id_conflict(payment: Transaction) -> Refused:
    return Refused("id-reused", f"transaction_id {payment.transaction_id!r} belongs to another "
                   "payment; give each payment a unique id, and repeat a payment unchanged")


def _unknown_type(payment: Transaction, bundle: Bundle) -> Refused:
    return Refused("unknown-type", f"type is {payment.type!r}, which the model does not know; "
                   f"one of {', '.join(bundle.features.types)}")


def _too_far_ahead(payment: Transaction, now: int) -> Refused:
    return Refused("event-time-ahead", f"event_time is {payment.event_time}, "
                   f"{(payment.event_time - now) / 1000:.0f} s ahead of the clock here; give ms "
                   "since the epoch, UTC, from a synchronized clock")
