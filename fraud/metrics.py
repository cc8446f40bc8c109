"""Prometheus metrics for scoring, the same for API and stream."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import product
from typing import TypeVar, get_args

from prometheus_client import Counter, Gauge, Histogram

from fraud.bundle import Bundle
from fraud.decision import Answered, History, Refused
from fraud.history import (
    AccountSnapshot, Claim, ClaimResult, KnownFraud, PaymentAccounts, Store, StoreMemory,
    StoreUnavailable)
from fraud.rules.ruling import STRICTNESS, Rules
from fraud.transaction import Transaction

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

DECISIONS = Counter("fraud_decisions_total", "Payments decided, once each.",
                    ["decision", "history", "model_version"])
AMOUNTS = Counter("fraud_amount_total", "Currency units of payments decided, once each.",
                  ["decision"])
REPEATS = Counter("fraud_repeats_total", "Repeated payments: answered before.")
REFUSALS = Counter("fraud_refusals_total", "Payments that were not scored.", ["code"])
SCORES = Histogram("fraud_score", "Scores, calibrated probabilities of fraud.",
                   buckets=(0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99))
RULES = Counter("fraud_rules_total", "Payments to which a rule or list applied.",
                ["name", "dry_run"])
RULES_VERSION = Gauge("fraud_rules_version", "Version of the rules in force; 0: none.",
                      multiprocess_mode="livemostrecent")
DECIDED_BY = Counter("fraud_decided_by_total", "Payments decided, by what decided.",
                     ["decided_by", "decision"])
SHADOW = Counter("fraud_shadow_decisions_total", "Payments that a challenger scored in shadow.",
                 ["model_version", "decision", "champion_decision"])
DROPPED = Counter("fraud_shadow_dropped_total", "Challengers that failed or were slow.", ["reason"])
CHALLENGER = Gauge("fraud_challenger_info", "1 for the version that scores in shadow.",
                   ["model_version"], multiprocess_mode="livemax")
CANARY = Gauge("fraud_canary_share", "Percent of the accounts for which a canary decides; 0: none.",
               multiprocess_mode="livemostrecent")
MODEL_SECONDS = Histogram("fraud_model_seconds",
                          "Seconds of a call of a model, measured while there is a canary.",
                          ["model_version"], buckets=SECONDS)
MODEL_ERRORS = Counter("fraud_model_errors_total",
                       "Calls of a model that failed, counted while there is a canary.",
                       ["model_version"])
LABELS = Counter("fraud_labels_total",
                 "Labels: frauds that were counted now, counted before or of unknown accounts, "
                 "legitimate payments, invalid messages of the topic.", ["outcome"])
REASONS = Counter("fraud_reasons_total", "Reasons of reviews and declines.", ["code"])
HISTORY_SECONDS = Histogram("fraud_history_seconds", "Seconds of a trip to the history store.",
                            ["trip"], buckets=SECONDS)
HISTORY_ERRORS = Counter("fraud_history_errors_total", "Trips that failed or missed the deadline.",
                         ["trip"])
HISTORY_MEMORY = Gauge("fraud_history_memory_bytes",
                       "Memory in use by the history store; 0: not Redis.",
                       multiprocess_mode="livemostrecent")
HISTORY_MEMORY_LIMIT = Gauge("fraud_history_memory_limit_bytes",
                             "Memory at which Redis refuses payments (maxmemory); 0: no limit.",
                             multiprocess_mode="livemostrecent")
LOG_WAITING = Gauge("fraud_decision_log_waiting_lines",
                    "Decisions that wait in memory, because the log cannot be written.",
                    multiprocess_mode="livesum")
MODEL = Gauge("fraud_model_info", "1 for the model and policy that serve, 0 for earlier ones.",
              ["model_version", "model_digest", "policy_version", "policy_digest", "framework"],
              multiprocess_mode="livemax")
TRAINED = Gauge("fraud_model_trained_timestamp_seconds",
                "Start of the training of the model that serves; 0: unknown.",
                multiprocess_mode="livemostrecent")
ALERT_BUDGET = Gauge("fraud_alert_budget_per_day",
                     "Reviews and declines a day that the policy allows; 0: unknown.",
                     multiprocess_mode="livemostrecent")
ALL = (DECISIONS, AMOUNTS, REPEATS, REFUSALS, SCORES, REASONS, HISTORY_SECONDS, HISTORY_ERRORS,
       HISTORY_MEMORY, HISTORY_MEMORY_LIMIT, MODEL, TRAINED, ALERT_BUDGET, RULES, RULES_VERSION,
       DECIDED_BY, SHADOW, DROPPED, CHALLENGER, LOG_WAITING, CANARY, MODEL_SECONDS, MODEL_ERRORS,
       LABELS)


Metric = TypeVar("Metric", Counter, Histogram)


@cache
def child(metric: Metric, *labels: object) -> Metric:
    """Return the series of a metric with these labels, faster than `metric.labels`."""
    return metric.labels(*labels)


class TimedStore:
    """A `Store` whose claims and finishes are timed."""

    def __init__(self, store: Store):
        self._store = store

    def claim(self, payments: Sequence[Transaction], now: int) -> list[ClaimResult]:
        with _Timer("claim"):
            return self._store.claim(payments, now)

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        with _Timer("finish"):
            return self._store.finish(claims, answers)

    def answer(self, transaction_id: str) -> bytes | None:
        return self._store.answer(transaction_id)

    def label(self, frauds: Sequence[KnownFraud]) -> list[bool]:
        with _Timer("label"):
            return self._store.label(frauds)

    def accounts(self, transaction_ids: Sequence[str]) -> list[PaymentAccounts | None]:
        with _Timer("accounts"):
            return self._store.accounts(transaction_ids)

    def forget(self, accounts: Sequence[str]) -> list[bool]:
        return self._store.forget(accounts)

    def fill(self, snapshots: Iterable[AccountSnapshot], since: int, until: int) -> None:
        self._store.fill(snapshots, since, until)

    def memory(self) -> StoreMemory | None:
        return self._store.memory()

    def close(self) -> None:
        self._store.close()


class _Timer:
    """Observes the seconds of a trip to the store, and counts it if it fails."""

    def __init__(self, trip: str):
        self._trip = trip

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        child(HISTORY_SECONDS, self._trip).observe(time.perf_counter() - self._started)
        if kind is not None and issubclass(kind, StoreUnavailable):
            HISTORY_ERRORS.labels(self._trip).inc()


def observe(outcomes: Sequence[Answered | Refused]) -> None:
    """Count the outcomes of payments."""
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            child(REFUSALS, outcome.code).inc()
        elif outcome.decision is None:
            REPEATS.inc()
        else:
            decision = outcome.decision
            child(DECISIONS, decision.decision, decision.history, decision.model_version).inc()
            child(AMOUNTS, decision.decision).inc(decision.amount_cents / 100)
            SCORES.observe(decision.score)
            child(DECIDED_BY, decision.decided_by, decision.decision).inc()
            for reason in decision.reasons:
                child(REASONS, reason.code.partition(":")[0]).inc()     # without names of rules
            if shadow := decision.shadow:
                child(SHADOW, shadow.model_version, shadow.decision,
                      decision.model_decision or decision.decision).inc()
            for dry_run, names in (("false", decision.applied), ("true", decision.dry_run)):
                for name in names:
                    child(RULES, name, dry_run).inc()


def measure_memory(store: Store) -> None:
    """Publish the memory of a store; a store that does not answer keeps its last figures."""
    with suppress(StoreUnavailable):
        if memory := store.memory():
            HISTORY_MEMORY.set(memory.used)
            HISTORY_MEMORY_LIMIT.set(memory.limit)


def name_model(bundle: Bundle, before: Bundle | None = None) -> None:
    """Publish the model and policy that serve now, in place of the ones before."""
    if before:
        MODEL.labels(*_labels(before)).set(0)
    MODEL.labels(*_labels(bundle)).set(1)
    TRAINED.set(bundle.manifest.trained_at / 1_000)
    ALERT_BUDGET.set(bundle.policy.alerts_per_day)


def name_rules(rules: Rules) -> None:
    """Publish the version of the rules in force."""
    RULES_VERSION.set(int(rules.version or 0))


def name_challenger(bundle: Bundle | None, before: Bundle | None = None) -> None:
    """Publish the version that scores in shadow now, in place of the one before."""
    for reason in ("error", "slow"):
        DROPPED.labels(reason)          # from zero on: Prometheus sees no increase to a first value
    for challenger, value in ((before, 0), (bundle, 1)):
        if challenger:
            CHALLENGER.labels(challenger.manifest.version).set(value)


def name_canary(share: float, *versions: str) -> None:
    """Publish the share of the canary; 0 without one.

    Args:
        versions: of the champion and the canary. Their counts begin at zero: Prometheus sees no
            increase up to the first value of a series.
    """
    CANARY.set(share)
    for version in versions:
        MODEL_ERRORS.labels(version)
        MODEL_SECONDS.labels(version)
        for decision, history in product(STRICTNESS, get_args(History)):
            DECISIONS.labels(decision, history, version)


class ModelCalls:
    """A `fraud.canary.CallObserver`: calls of both versions as metrics."""

    def scored(self, version: str, seconds: float) -> None:
        MODEL_SECONDS.labels(version).observe(seconds)

    def failed(self, version: str) -> None:
        MODEL_ERRORS.labels(version).inc()


def count_dropped_challenger(reason: str) -> None:
    """Count a challenger that was dropped, because of an `error` or as `slow`."""
    DROPPED.labels(reason).inc()


def count_labels(outcomes: Mapping[str, int]) -> None:
    """Count labels by their outcome."""
    for outcome, number in outcomes.items():
        LABELS.labels(outcome).inc(number)


def _labels(bundle: Bundle) -> tuple[str, ...]:
    return (bundle.manifest.version, bundle.digest, bundle.policy.version, bundle.policy_digest,
            bundle.manifest.framework)
