"""What the stream is told by its environment, beside what scoring is told (`fraud.settings`)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from fraud.settings import Count, Positive, Settings, from_environment

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
BROKERS = "KAFKA_BOOTSTRAP_SERVERS"     # as every Kafka client calls it


class StreamSettings(Settings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals; the brokers may
    come from `KAFKA_BOOTSTRAP_SERVERS` too.
    """

    brokers: str = "localhost:9092"             # HOST:PORT, separated by commas
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: str = ""                     # the authority of the brokers, if not a known one
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_user: str = ""
    kafka_password: str = ""

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
    brokers = environment.get("FRAUD_BROKERS") or environment.get(BROKERS, "")
    return from_environment({**environment, "FRAUD_BROKERS": brokers}, StreamSettings)


def connection(settings: StreamSettings) -> dict[str, Any]:
    """How kafka-python's clients reach the brokers."""
    options: dict[str, Any] = {"bootstrap_servers": settings.brokers.split(","),
                               "security_protocol": settings.kafka_security}
    if settings.kafka_ca_file:
        options["ssl_cafile"] = settings.kafka_ca_file
    if settings.kafka_user:
        options |= {"sasl_mechanism": settings.kafka_mechanism,
                    "sasl_plain_username": settings.kafka_user,
                    "sasl_plain_password": settings.kafka_password}
    return options
