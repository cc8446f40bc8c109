"""The scoring service that API and stream both run: champion, store, decision log and metrics."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

import msgspec
from msgspec.structs import replace

from fraud import metrics
from fraud.bundle import Bundle
from fraud.caller import UNKNOWN, Caller
from fraud.canary import Canary
from fraud.champion import CanaryBundle, Challenger, Champion
from fraud.clock import now_ms
from fraud.decision import Answered, Refused, kept_decision
from fraud.history import StoreUnavailable
from fraud.label_recorder import LabelOutcome, LabelRecorder
from fraud.labels import Label
from fraud.logs import DecisionLog, encode_line
from fraud.pseudonym import with_pseudonyms
from fraud.rules.active import ActiveRules
from fraud.scorer import Scorer
from fraud.settings import Settings, check_account_key
from fraud.shadow import ShadowScorer
from fraud.stores import open_store
from fraud.transaction import Transaction

MEASURE_SECONDS = 10.0
GC_ALLOCATIONS = 10_000     # containers of many batches: reference counts free those


def limit_garbage_collection() -> None:
    """Exempt all objects so far from garbage collection, and make it rare.

    Call it when a program has started: full collections of a store in memory stopped scoring for
    0.1 s, young ones took a tenth of the time of large batches.
    """
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)


class Service:
    """Scores with the champion, rules and store that the settings name. Any thread may use it.

    Decisions are logged and counted as soon as the store keeps them: from then on they are final,
    even if the caller is gone.

    Args:
        fallback_on_store_error: see `Scorer`.

    Raises:
        BundleError: there is no model that may be served.
        RulesError, PublishedError: there are rules, but they cannot be used or read.
        SettingsError: a setting cannot be used.
    """

    def __init__(self, settings: Settings, fallback_on_store_error: bool):
        check_account_key(settings)
        self._champion = Champion(settings.model)
        self._rules = ActiveRules(settings.rules or settings.model, settings.account_key)
        self._store = metrics.TimedStore(open_store(settings))
        self._scorer = Scorer(self._store, self._champion.bundle, settings, fallback_on_store_error)
        self._scorer.rules = self._rules.rules
        self._canary = CanaryBundle(settings.model)
        self._scorer.canary = _canary(self._canary)
        self._challenger = Challenger(settings.model)
        self._scorer.shadow = _shadow(self._challenger)
        self._key = settings.account_key.encode() or secrets.token_bytes(32)
        self._log = DecisionLog(settings.decision_log)
        self._recorder = LabelRecorder(self._store, self._key, settings)
        self._measured = monotonic()

    @property
    def bundle(self) -> Bundle:
        """The bundle that serves."""
        return self._champion.bundle

    def connect(self) -> None:
        """Connect to the store, so that the first payment need not wait for that."""
        with suppress(StoreUnavailable):
            self._store.answer("")

    def name_model(self) -> None:
        """Publish models and rules as metrics; call it in the process that serves."""
        metrics.name_model(self.bundle)
        metrics.name_rules(self._rules.rules)
        metrics.name_challenger(self._challenger.bundle)
        self._name_canary()

    def score(self, payments: Sequence[Transaction],
              callers: Sequence[Caller] | None = None) -> list[Answered | Refused]:
        """Score payments, log and count the decisions. Returns and raises as `Scorer.score`.

        Args:
            callers: of the payments, for the log; None: unknown.
        """
        outcomes = self._scorer.score([with_pseudonyms(self._key, payment) for payment in payments])
        if callers:
            outcomes = [_called(outcome, caller) for outcome, caller
                        in zip(outcomes, callers, strict=True)]
        metrics.LOG_WAITING.set(self._log.write([
            outcome.decision for outcome in outcomes
            if isinstance(outcome, Answered) and outcome.decision]))
        metrics.observe(outcomes)
        return outcomes

    def log_line(self, payment: Transaction, outcome: Answered) -> bytes:
        """Return the line of the decision log, or `kept_decision` of an answer kept earlier."""
        return encode_line(outcome.decision or kept_decision(
            with_pseudonyms(self._key, payment), outcome.body, now_ms()))

    def answer(self, transaction_id: str) -> bytes | None:
        """Return the kept answer of a payment, if it has one."""
        return self._store.answer(transaction_id)

    def parse_label(self, body: bytes | msgspec.Raw) -> Label:
        """Return the label in one JSON object. Raises as `LabelRecorder.parse`."""
        return self._recorder.parse(body)

    def label(self, labels: Sequence[Label]) -> LabelOutcome:
        """Count known frauds and keep labels. Returns and raises as `LabelRecorder.record`."""
        return self._recorder.record(labels)

    def refresh(self) -> None:
        """Use the bundles and the rules that their pointers name now, if they have changed.

        Also measures the memory of the store, if that was not done for `MEASURE_SECONDS`.
        """
        if monotonic() >= self._measured + MEASURE_SECONDS:
            self._measured = monotonic()
            metrics.measure_memory(self._store)
        before = self.bundle
        if self._champion.refresh():
            self._scorer.bundle = self.bundle
            metrics.name_model(self.bundle, before)
        if self._canary.refresh():
            self._scorer.canary = _canary(self._canary)
            self._name_canary()
        challenger = self._challenger.bundle
        if self._challenger.refresh():
            self._scorer.shadow = _shadow(self._challenger)
            metrics.name_challenger(self._challenger.bundle, challenger)
        if self._rules.refresh():
            self._scorer.rules = self._rules.rules
            metrics.name_rules(self._rules.rules)

    def _name_canary(self) -> None:
        bundle, pointer = self._canary.bundle, self._canary.pointer
        if bundle and pointer:
            metrics.name_canary(pointer.share, self.bundle.manifest.version, pointer.version)
        else:
            metrics.name_canary(0.0)

    def close(self) -> None:
        """Close connections and files."""
        self._store.close()
        self._log.close()


def _called(outcome: Answered | Refused, caller: Caller) -> Answered | Refused:
    if caller is UNKNOWN or isinstance(outcome, Refused) or not outcome.decision:
        return outcome
    return outcome._replace(decision=replace(
        outcome.decision, owner=caller.owner, request_id=caller.request_id,
        traceparent=caller.traceparent))


def _canary(source: CanaryBundle) -> Canary | None:
    if source.bundle is None or source.pointer is None:
        return None
    return Canary(source.bundle, source.pointer.share, metrics.ModelCalls())


def _shadow(challenger: Challenger) -> ShadowScorer | None:
    if challenger.bundle is None:
        return None
    return ShadowScorer(challenger.bundle, metrics.count_dropped_challenger)
