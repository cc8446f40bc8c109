"""Claim history, score, finish: the one operation that API and stream both call.

The answer to a payment is made once and kept as bytes: it holds no clock, request or latency, and
who asks again gets the same bytes, also after a crash or a change of models. What is known beside
the answer goes into the decision log (`Decision`), enough to replay a decision and to learn from
it. A decision whose line was lost in a crash has its answer all the same; one that was made by
several at once has several lines, alike: readers take one line for each transaction_id.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np

from fraud import features
from fraud.bundle import Bundle, Model, Reason, Thresholds
from fraud.history import (Claim, Finished, Reused, Store, StoreUnavailable, counts_array,
                           counts_of)
from fraud.settings import Settings
from fraud.transaction import TYPES, Transaction

logger = logging.getLogger(__name__)

FEW = 12        # up to so many payments, one by one is faster than as arrays

History = Literal["full", "partial", "unavailable"]


class Answer(msgspec.Struct, frozen=True):
    """What the caller gets, as JSON."""

    transaction_id: str
    score: float                # probability of fraud
    decision: str               # approve, review or decline
    reasons: list[Reason]       # of a review or decline, most important first
    history: History            # not full: the fallback model scored, which needs none
    late: bool                  # one of its accounts had a payment with a later event_time before
    idempotent: bool            # false where the answer could not be kept
    model_version: str
    policy_version: str


class Decision(msgspec.Struct, frozen=True):
    """One line of the decision log, as JSON."""

    decided_at: int                     # ms since the epoch, by the wall clock
    transaction_id: str
    event_time: int
    type: str
    amount_cents: int
    origin: str                         # HMAC of the account's name
    destination: str
    origin_balance_cents: int
    destination_balance_cents: int
    history: History
    late: bool
    sequence: int | None                # of the store, if it has an order
    recording_since: int | None         # of the store; None where it is unavailable
    counts: list[int] | None            # in the order of `fraud.history.NAMES`
    features: list[float]               # what the model saw, in its order: float32
    score: float
    decision: str
    reasons: list[Reason]
    idempotent: bool
    model_digest: str                   # sha256 of bundle.json
    model_version: str
    policy_digest: str                  # sha256 of policy.json
    policy_version: str
    thresholds: Thresholds              # of the policy, for the model that scored


class Answered(NamedTuple):
    """A payment that has an answer."""

    body: bytes                 # `Answer` as JSON
    decision: Decision | None   # None where the answer was there before


class Refused(NamedTuple):
    """A payment that is not scored."""

    code: str                   # id-reused, event-time-ahead
    message: str


class Verdict(NamedTuple):
    """What a model makes of one payment."""

    features: list[float]
    score: float
    decision: str
    reasons: list[Reason]


def judge(model: Model, thresholds: Thresholds, rows: np.ndarray) -> list[Verdict]:
    """Verdicts of a model on float32 feature rows of shape (payments, features)."""
    verdicts = []
    for place, (row, score) in enumerate(zip(rows.tolist(), model.scores(rows).tolist())):
        decision = thresholds.decide(score)
        reasons = [] if decision == "approve" else model.explain(rows[place:place + 1])
        verdicts.append(Verdict(row, score, decision, reasons))
    return verdicts


def counts_before(claims: Sequence[Claim]) -> list[list[int]]:
    """What came before each payment, in the order of `NAMES`."""
    if len(claims) <= FEW:
        return [claim.counts for claim in claims]
    return counts_array(claims).T.tolist()


def rows_with_history(payments: Sequence[Transaction], counts: list[list[int]]) -> np.ndarray:
    """What the model sees: float32, shape (payments, features)."""
    if len(payments) <= FEW:
        return np.concatenate([features.vector(payment, counts_of(its))
                               for payment, its in zip(payments, counts)])
    return features.matrix(_columns(payments), counts_of(np.array(counts, np.int64).T))


def rows_without_history(payments: Sequence[Transaction]) -> np.ndarray:
    """What the fallback model sees: float32, shape (payments, features)."""
    if len(payments) <= FEW:
        return np.concatenate([features.vector(payment, None) for payment in payments])
    return features.matrix(_columns(payments), None)


def _columns(payments: Sequence[Transaction]) -> features.Payments:
    return features.Payments(*(
        np.array([getattr(payment, name) for payment in payments], np.int64)
        for name in features.Payments._fields))


class Scorer:
    """Scores payments with a store and a bundle. Any thread may use it.

    `bundle` may be replaced at any time: what is being scored is finished with the old one.

    Args:
        degrade: what to do when the store is unavailable: answer without history and without
            keeping the answer, or else raise `StoreUnavailable`.
    """

    def __init__(self, store: Store, bundle: Bundle, settings: Settings, degrade: bool):
        self.bundle = bundle
        self._store, self._degrade = store, degrade
        self._max_ahead_ms = round(settings.max_ahead_minutes * 60_000)
        self._replays = settings.clock == "event"
        self._key = settings.account_key.encode() or secrets.token_bytes(32)

    def score(self, payments: Sequence[Transaction]) -> list[Answered | Refused]:
        """Outcomes of payments, in their order, in which they are counted too.

        Raises:
            StoreUnavailable: where it does not degrade. Nothing is lost: call it again.
        """
        told = self._claim(payments)
        places: dict[str | int, int] = {}       # of those to be scored: of each payment the first
        for place, outcome in enumerate(told):
            if outcome is None:
                places[place] = place
            elif isinstance(outcome, Claim):
                places.setdefault(outcome.transaction_id, place)
        scored = dict(zip(places.values(), self._scored(
            [payments[place] for place in places.values()],
            [told[place] for place in places.values()])))
        return [scored.get(place) or (
            Answered(scored[places[outcome.transaction_id]].body, None)
            if isinstance(outcome, Claim) else outcome) for place, outcome in enumerate(told)]

    def _claim(self, payments: Sequence[Transaction]) -> list[Claim | Answered | Refused | None]:
        """What is to be scored, on a claim or, where the store is unavailable, on nothing; and
        the outcomes of the others.
        """
        now = _now()
        ahead = [not self._replays and payment.event_time > now + self._max_ahead_ms
                 for payment in payments]
        asked = [payment for payment, is_ahead in zip(payments, ahead) if not is_ahead]
        began = asked[0].event_time if self._replays and asked else now
        try:
            told = iter(self._store.claim(asked, began) if asked else ())
        except StoreUnavailable as error:
            if not self._degrade:
                raise
            logger.warning("scoring without history: %s", error)
            told = iter([None] * len(asked))
        return [_too_far_ahead(payment, now) if is_ahead else _outcome(payment, next(told))
                for payment, is_ahead in zip(payments, ahead)]

    def _scored(self, payments: list[Transaction], claims: list[Claim | None]) -> list[Answered]:
        """Answers to payments, kept in the store if it is available."""
        decisions = self._decided(payments, claims)
        bodies = [_encode(_answer(decision)) for decision in decisions]
        if None in claims:                      # then all are
            return list(map(Answered, bodies, decisions))
        try:
            kept = self._store.finish(claims, bodies)
        except StoreUnavailable as error:
            if not self._degrade:
                raise
            logger.warning("answers are not kept: %s", error)
            decisions = [msgspec.structs.replace(decision, idempotent=False)
                         for decision in decisions]
            return [Answered(_encode(_answer(decision)), decision) for decision in decisions]
        return [Answered(its, decision if its == ours else None)
                for its, ours, decision in zip(kept, bodies, decisions)]

    def _decided(self, payments: list[Transaction],
                 claims: list[Claim] | list[None]) -> list[Decision]:
        bundle = self.bundle
        counts = counts_before(claims) if claims and claims[0] else [None] * len(claims)
        complete = [claim is not None and claim.is_complete(payment.event_time)
                    for payment, claim in zip(payments, claims)]
        verdicts: dict[int, Verdict] = {}
        if whole := [place for place, its in enumerate(complete) if its]:
            rows = rows_with_history([payments[place] for place in whole],
                                     [counts[place] for place in whole])
            verdicts |= zip(whole, judge(bundle.model, bundle.policy.model, rows))
        if other := [place for place, its in enumerate(complete) if not its]:
            rows = rows_without_history([payments[place] for place in other])
            verdicts |= zip(other, judge(bundle.fallback, bundle.policy.fallback, rows))
        return [self._decision(bundle, *case, verdicts[place])
                for place, case in enumerate(zip(payments, claims, counts, complete))]

    def _decision(self, bundle: Bundle, payment: Transaction, claim: Claim | None,
                  counts: list[int] | None, complete: bool, verdict: Verdict) -> Decision:
        return Decision(
            decided_at=_now(),
            transaction_id=payment.transaction_id,
            event_time=payment.event_time,
            type=TYPES[payment.type_code],
            amount_cents=payment.amount_cents,
            origin=self._pseudonym(payment.origin),
            destination=self._pseudonym(payment.destination),
            origin_balance_cents=payment.origin_balance_cents,
            destination_balance_cents=payment.destination_balance_cents,
            history="full" if complete else "partial" if claim else "unavailable",
            late=claim is not None and claim.late,
            sequence=claim and claim.sequence,
            recording_since=claim and claim.recording_since,
            counts=counts,
            features=verdict.features,
            score=verdict.score,
            decision=verdict.decision,
            reasons=verdict.reasons,
            idempotent=claim is not None,
            model_digest=bundle.digest,
            model_version=bundle.manifest.version,
            policy_digest=bundle.policy_digest,
            policy_version=bundle.policy.version,
            thresholds=bundle.policy.model if complete else bundle.policy.fallback,
        )

    def _pseudonym(self, account: str) -> str:
        return hmac.digest(self._key, account.encode(), "sha256")[:16].hex()


def _outcome(payment: Transaction,
             told: Claim | Finished | Reused | None) -> Claim | Answered | Refused | None:
    if isinstance(told, Finished):
        return Answered(told.answer, None)
    if isinstance(told, Reused):
        return Refused("id-reused", f"transaction_id {payment.transaction_id!r} is that of another "
                       "payment; give each payment an id of its own, and repeat one unchanged")
    return told


def _too_far_ahead(payment: Transaction, now: int) -> Refused:
    return Refused("event-time-ahead", f"event_time is {payment.event_time}, "
                   f"{(payment.event_time - now) / 1000:.0f} s ahead of the clock here; give ms "
                   "since the epoch, UTC, from a clock that is right")


def _answer(decision: Decision) -> Answer:
    return Answer(*(getattr(decision, name) for name in Answer.__struct_fields__))


def _now() -> int:
    return time.time_ns() // 1_000_000


_encode = msgspec.json.Encoder().encode
