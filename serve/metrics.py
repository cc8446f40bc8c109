"""Prometheus metrics of HTTP, and the text of /metrics.

Several workers share their metrics through files.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from fraud import metrics
from serve.settings import SHARED_DIRECTORY

REQUESTS = Histogram("fraud_http_request_seconds", "Seconds to answer a request.",
                     ["route", "status"], buckets=metrics.SECONDS)
OWNED_REQUESTS = Counter("fraud_owner_requests_total", "Requests with a key that has an owner.",
                         ["owner", "status"])
BATCHES = Histogram("fraud_batch_payments", "Payments of a batch request.",
                    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
RESTARTS = Counter("fraud_worker_restarts_total", "Worker processes that ended and were replaced.")
ALL = (REQUESTS, OWNED_REQUESTS, BATCHES, RESTARTS, *metrics.ALL)


def exposition() -> tuple[bytes, str]:
    """Return the text for Prometheus, of all workers, and its content type."""
    registry = REGISTRY
    if os.environ.get(SHARED_DIRECTORY):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)     # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def forget_worker(pid: int) -> None:
    """Remove the gauges of a worker that ended; its counters stay."""
    mark_process_dead(pid)      # type: ignore[no-untyped-call]
