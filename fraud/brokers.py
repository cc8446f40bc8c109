"""How Kafka's brokers are reached, by whoever reads or writes a topic. Imports no client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from fraud.settings import Settings, from_environment

BROKERS = "KAFKA_BOOTSTRAP_SERVERS"     # as every Kafka client calls it


class BrokerSettings(Settings, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals; the brokers may
    come from `KAFKA_BOOTSTRAP_SERVERS` too.
    """

    brokers: str = "localhost:9092"             # HOST:PORT, separated by commas
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ca_file: str = ""                     # the authority of the brokers, if not a known one
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_user: str = ""
    kafka_password: str = ""
    topic_labels: str = "labels"                # verdicts, for monitoring


Kind = TypeVar("Kind", bound=BrokerSettings)


def read(environment: Mapping[str, str], kind: type[Kind] = BrokerSettings) -> Kind:
    """The settings.

    Raises:
        SettingsError: one cannot be used.
    """
    brokers = environment.get("FRAUD_BROKERS") or environment.get(BROKERS, "")
    return from_environment({**environment, "FRAUD_BROKERS": brokers}, kind)


def connection(settings: BrokerSettings) -> dict[str, Any]:
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
