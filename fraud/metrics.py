"""What Prometheus is told of scoring, by the API and by the stream alike."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prometheus_client import Counter, Gauge, Histogram

from fraud.bundle import Bundle
from fraud.history import Store, StoreUnavailable
from fraud.scorer import Answered, Refused

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

DECISIONS = Counter("fraud_decisions_total", "Payments decided, once each.",
                    ["decision", "history", "model_version"])
AMOUNTS = Counter("fraud_amount_total", "Currency units of payments decided, once each.",
                  ["decision"])
REPEATS = Counter("fraud_repeats_total", "Payments that had their answer already.")
REFUSALS = Counter("fraud_refusals_total", "Payments that were not scored.", ["code"])
SCORES = Histogram("fraud_score", "Scores, calibrated probabilities of fraud.",
                   buckets=(0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99))
REASONS = Counter("fraud_reasons_total", "Reasons of reviews and declines.", ["code"])
HISTORY_SECONDS = Histogram("fraud_history_seconds", "Time of a trip to the history store.",
                            ["trip"], buckets=SECONDS)
HISTORY_ERRORS = Counter("fraud_history_errors_total", "Trips that failed or missed the deadline.",
                         ["trip"])
MODEL = Gauge("fraud_model_info", "1 for the model and policy that serve, 0 for earlier ones.",
              ["model_version", "model_digest", "policy_version", "policy_digest", "framework"],
              multiprocess_mode="livemax")
TRAINED = Gauge("fraud_model_trained_timestamp_seconds",
                "When the training of the model that serves began; 0 where it does not say.",
                multiprocess_mode="livemostrecent")
ALL = (DECISIONS, AMOUNTS, REPEATS, REFUSALS, SCORES, REASONS, HISTORY_SECONDS, HISTORY_ERRORS,
       MODEL, TRAINED)


class TimedStore:
    """A store of history whose trips are timed."""

    def __init__(self, store: Store):
        self.claim, self.finish = _timed("claim", store.claim), _timed("finish", store.finish)
        self.answer, self.fill, self.close = store.answer, store.fill, store.close


def _timed(trip: str, call):
    seconds, errors = HISTORY_SECONDS.labels(trip), HISTORY_ERRORS.labels(trip)

    def timed(*arguments):
        started = time.perf_counter()
        try:
            return call(*arguments)
        except StoreUnavailable:
            errors.inc()
            raise
        finally:
            seconds.observe(time.perf_counter() - started)

    return timed


def observe(outcomes: Sequence[Answered | Refused]) -> None:
    """Count what became of payments."""
    for outcome in outcomes:
        if isinstance(outcome, Refused):
            REFUSALS.labels(outcome.code).inc()
        elif outcome.decision is None:
            REPEATS.inc()
        else:
            decision = outcome.decision
            DECISIONS.labels(decision.decision, decision.history, decision.model_version).inc()
            AMOUNTS.labels(decision.decision).inc(decision.amount_cents / 100)
            SCORES.observe(decision.score)
            for reason in decision.reasons:
                REASONS.labels(reason.code).inc()


def name_model(bundle: Bundle, before: Bundle | None = None) -> None:
    """Say which model and policy serve now, and that the ones before no longer do."""
    if before:
        MODEL.labels(*_labels(before)).set(0)
    MODEL.labels(*_labels(bundle)).set(1)
    TRAINED.set(bundle.manifest.trained_at / 1_000)


def _labels(bundle: Bundle) -> tuple[str, ...]:
    return (bundle.manifest.version, bundle.digest, bundle.policy.version, bundle.policy_digest,
            bundle.manifest.framework)
