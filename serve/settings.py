"""What the server is told by its environment, beside what scoring is told (`fraud.settings`)."""

from __future__ import annotations

from fraud.settings import Count, Positive, Settings

SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"   # prometheus-client's own variable: workers' metrics


class ServeSettings(Settings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals."""

    api_keys: str = ""                      # sha256 of each key, separated by commas
    batch_payments: Count = 1_000           # in a batch request at most
    body_bytes: Count = 1_048_576           # of a request at most
    request_seconds: Positive = 10.0        # to receive a request, and to answer it
