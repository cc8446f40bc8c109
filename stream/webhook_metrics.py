"""Prometheus metrics of the webhook."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

DELIVERED = Counter("fraud_webhook_delivered_total", "Events that the receiver accepted.")
REFUSED = Counter("fraud_webhook_refused_total", "Events that the receiver refused for good.")
FAILURES = Counter("fraud_webhook_failures_total", "Attempts that are repeated.", ["reason"])
SKIPPED = Counter("fraud_webhook_skipped_lines_total", "Lines of the log that are not decisions.")
SECONDS = Histogram("fraud_webhook_seconds", "Seconds of an attempt.",
                    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
QUEUE = Gauge("fraud_webhook_queue_events", "Events that wait for the receiver.")
QUEUE_LIMIT = Gauge("fraud_webhook_queue_limit_events", "Events that the queue holds at most.")
UNREAD = Gauge("fraud_webhook_unread_bytes", "Bytes of the decision log that are not read yet.")
