"""Prometheus metrics of the desk."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from fraud.metrics import SECONDS

LINES = Counter("fraud_desk_lines_total", "Lines of decision logs that were read.")
INVALID_LINES = Counter("fraud_desk_invalid_lines_total", "Lines that are not decisions.")
OPEN_CASES = Gauge("fraud_desk_open_cases", "Reviews that wait for a person.")
OVERDUE_CASES = Gauge("fraud_desk_overdue_cases", "Reviews that were to be decided before now.")
OUTBOX = Gauge("fraud_desk_outbox_waiting", "Labels and events whose time to leave has come.",
               ["kind"])
SENT = Counter("fraud_desk_sent_total", "Labels and events that have left.", ["kind"])
FAILURES = Counter("fraud_desk_send_failures_total", "Attempts to send that failed.", ["kind"])
OUTCOMES = Counter("fraud_desk_outcomes_total", "Decisions of people.", ["outcome"])
REQUESTS = Histogram("fraud_desk_request_seconds", "Seconds to answer a request.", ["status"],
                     buckets=SECONDS)
