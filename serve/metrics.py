"""What Prometheus is told of HTTP, and the text that it reads from /metrics.

With several workers, the text is that of files that they share.
"""

from __future__ import annotations

import os

from prometheus_client import (
    CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest)
from prometheus_client.multiprocess import MultiProcessCollector

from fraud import metrics
from serve.settings import SHARED_DIRECTORY

REQUESTS = Histogram("fraud_http_request_seconds", "Time to answer a request.",
                     ["route", "status"], buckets=metrics.SECONDS)
BATCHES = Histogram("fraud_batch_payments", "Payments in a batch request.",
                    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
ALL = (REQUESTS, BATCHES, *metrics.ALL)


def exposition() -> tuple[bytes, str]:
    """The text for Prometheus, of all workers, and its content type."""
    registry = REGISTRY
    if os.environ.get(SHARED_DIRECTORY):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    return generate_latest(registry), CONTENT_TYPE_LATEST
