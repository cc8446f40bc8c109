"""Prometheus metrics of the stream, in addition to those of scoring (`fraud.metrics`)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram

from stream.messages import Record

MESSAGES = Counter("fraud_stream_messages_total", "Messages whose outcome is committed.")
BATCHES = Histogram("fraud_stream_batch_messages", "Messages of a transaction.",
                    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
LATENCY = Histogram("fraud_stream_latency_seconds",
                    "Seconds from the timestamp of a message to its committed outcome.",
                    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600))
LAG = Gauge("fraud_stream_lag_messages", "Messages not yet committed.", ["partition"])
DEAD_LETTERS = Counter("fraud_stream_dead_letters_total", "Messages that cannot be scored.",
                       ["reason"])
ABORTED = Counter("fraud_stream_aborted_total",
                  "Aborted transactions; their messages are scored again.", ["error"])
OUTAGES = Counter("fraud_stream_outages_total",
                  "Batches postponed because store or API was unavailable.")


def observe(records: Sequence[Record], reasons: Mapping[str, int]) -> None:
    """Count the messages of a committed batch, and its dead letters by reason."""
    if not records:
        return
    now = time.time()
    MESSAGES.inc(len(records))
    BATCHES.observe(len(records))
    for record in records:
        LATENCY.observe(now - record.timestamp / 1000)
    for reason, count in reasons.items():
        DEAD_LETTERS.labels(reason).inc(count)
