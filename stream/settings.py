"""What the stream is told by its environment, beside what scoring is told (`fraud.settings`)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated

import msgspec

from fraud import brokers
from fraud.brokers import BrokerSettings
from fraud.settings import Count, Positive

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class StreamSettings(BrokerSettings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals."""

    topic_transactions: str = "transactions"
    topic_decisions: str = "decisions"
    topic_dead_letters: str = "transactions.dead-letter"

    stream_group: str = "fraud-scorer"          # consumer group: its members share the partitions
    stream_instance: str = msgspec.field(default_factory=lambda: secrets.token_hex(4))
    # of one scorer alone: who starts again under the same name ends at once what it left open
    stream_batch: Count = 1_000             # messages scored and committed at once, at most
    session_ms: Count = 10_000                  # silence after which others take its partitions,
    # and a transaction that is open so long is aborted: it must not outlive the session
    backoff_seconds: Positive = 10.0            # at most, between attempts while something is away

    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 9101                   # 0: any that is free
    stream_api_key: str = ""                    # for --api
    stream_api_seconds: Positive = 10.0         # to answer a batch


def read(environment: Mapping[str, str]) -> StreamSettings:
    """The settings.

    Raises:
        SettingsError: one cannot be used.
    """
    return brokers.read(environment, StreamSettings)
