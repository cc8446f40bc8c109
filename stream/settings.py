"""Settings of the stream, in addition to those of scoring and Kafka (`fraud.brokers`)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from fraud import brokers
from fraud.brokers import BrokerSettings
from fraud.settings import Count, Positive, Settings


class StreamSettings(BrokerSettings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals."""

    topic_transactions: Annotated[str, Meta(description="topic of payments")] = "transactions"
    topic_decisions: Annotated[str, Meta(description="topic of decisions")] = "decisions"
    topic_decision_log: Annotated[str, Meta(description=(
        "topic of decision lines, written in the transaction of the decisions; empty: none"))] = ""
    topic_dead_letters: Annotated[str, Meta(description=(
        "topic of messages that cannot be scored"))] = "transactions.dead-letter"
    stream_group: Annotated[str, Meta(description=(
        "consumer group, whose members share the partitions; also the prefix of transactional ids"
        ))] = "fraud-scorer"
    label_group: Annotated[str, Meta(description=(
        "consumer group of `stream.labels`"))] = "fraud-labels"
    stream_instance: Annotated[str, Meta(description=(
        "stable name of one scorer: after a restart it aborts its open transaction at once; "
        "empty: a random one"))] = msgspec.field(default_factory=lambda: secrets.token_hex(4))
    stream_batch: Annotated[Count, Meta(description=(
        "messages of one transaction, at most"))] = 1_000
    session_ms: Annotated[Count, Meta(description=(
        "milliseconds of silence after which other scorers take over; also the longest that a "
        "transaction stays open"))] = 10_000
    backoff_seconds: Annotated[Positive, Meta(description=(
        "seconds between retries, at most, above 0"))] = 10.0
    metrics_host: Annotated[str, Meta(description=(
        "address of the program's metrics"))] = "127.0.0.1"
    metrics_port: Annotated[int, Meta(ge=0, le=65_535, description=(
        "port of the program's metrics; 0: any free one"))] = 9101
    stream_api_key: Annotated[str, Meta(description="API key, for `--api`")] = ""
    stream_api_seconds: Annotated[Positive, Meta(description=(
        "seconds for the API to answer a batch, above 0"))] = 10.0


class WebhookSettings(Settings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals."""

    webhook_url: Annotated[str, Meta(description=(
        "receiver of reviews and declines, `http://` or `https://`"))] = ""
    webhook_secret: Annotated[str, Meta(description=(
        "secrets of the signature from `python -m stream.webhook --new-secret`, separated by "
        "commas while one replaces another"))] = ""
    webhook_queue: Annotated[str, Meta(description=(
        "file of the queue, one for each webhook"))] = "webhook.db"
    webhook_queue_events: Annotated[Count, Meta(description=(
        "limit on the events that wait, at least 1; the decision log holds the rest"))] = 100_000
    webhook_seconds: Annotated[Positive, Meta(description=(
        "seconds for the receiver to answer, above 0"))] = 10.0
    webhook_backoff_seconds: Annotated[Positive, Meta(description=(
        "seconds between attempts, at most, above 0"))] = 60.0
    webhook_metrics_host: Annotated[str, Meta(description=(
        "address of the webhook's metrics"))] = "127.0.0.1"
    webhook_metrics_port: Annotated[int, Meta(ge=0, le=65_535, description=(
        "port of the webhook's metrics; 0: any free one"))] = 9102


def read_stream_settings(environment: Mapping[str, str]) -> StreamSettings:
    """Return the settings.

    Raises:
        SettingsError: one cannot be used.
    """
    return brokers.read_broker_settings(environment, StreamSettings)
