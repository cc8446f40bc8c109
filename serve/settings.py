"""Settings of the API, in addition to those of scoring (`fraud.settings`)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fraud.settings import Settings

SHARED_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"   # prometheus-client's variable: workers' metrics


class ServeSettings(Settings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals."""

    api_keys: Annotated[str, msgspec.Meta(
        description="sha256 of each API key, separated by commas, or a JSON array of entries that "
                    "`python -m serve.keys` prints; empty: loopback only, and no start on Lambda"
        )] = ""
    batch_payments: Annotated[int, msgspec.Meta(
        ge=1, description="payments of a batch request, at most")] = 1_000
    body_bytes: Annotated[int, msgspec.Meta(
        ge=1, description="bytes of a request body, at most")] = 1_048_576
    request_seconds: Annotated[float, msgspec.Meta(
        gt=0, le=1e6, description="seconds to receive a request, and to answer it")] = 10.0
