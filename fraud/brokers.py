"""The connection to Kafka's brokers, for every reader and writer of topics. Imports no client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, overload

from msgspec import Meta

from fraud.settings import Settings, from_environment

BROKERS = "KAFKA_BOOTSTRAP_SERVERS"     # the variable of every Kafka client
RECONNECT_MS = 1_000    # between attempts, at most: no start waits for one broker that is away
Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class BrokerSettings(Settings, frozen=True):
    """The settings of Kafka, added to those of scoring.

    Each field is the variable `FRAUD_` and its name in capitals; `KAFKA_BOOTSTRAP_SERVERS` names
    the brokers where `FRAUD_BROKERS` does not.
    """

    brokers: Annotated[str, Meta(description=(
        "addresses of the brokers, HOST:PORT, separated by commas; without it "
        "`KAFKA_BOOTSTRAP_SERVERS`"))] = "localhost:9092"
    kafka_security: Annotated[Security, Meta(description=(
        "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`"))] = "PLAINTEXT"
    kafka_ca_file: Annotated[str, Meta(description=(
        "a file with the certificate authority of the brokers; empty: those of the system"))] = ""
    kafka_mechanism: Annotated[Mechanism, Meta(description=(
        "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`: how a user logs in"))] = "SCRAM-SHA-512"
    kafka_user: Annotated[str, Meta(description="a user for SASL; empty: no login")] = ""
    kafka_password: Annotated[str, Meta(description="the password of that user")] = ""
    topic_labels: Annotated[str, Meta(description="topic of labels")] = "labels"


Kind = TypeVar("Kind", bound=BrokerSettings)


@overload
def read_broker_settings(environment: Mapping[str, str]) -> BrokerSettings: ...


@overload
def read_broker_settings(environment: Mapping[str, str], kind: type[Kind]) -> Kind: ...


def read_broker_settings(environment: Mapping[str, str], kind: type[Any] = BrokerSettings) -> Any:
    """Return the settings of Kafka from environment variables.

    Args:
        kind: `BrokerSettings`, or the subclass of a program.

    Raises:
        SettingsError: a value has the wrong type or is out of its range.
    """
    brokers = environment.get("FRAUD_BROKERS") or environment.get(BROKERS, "")
    return from_environment({**environment, "FRAUD_BROKERS": brokers}, kind)


def connection(settings: BrokerSettings) -> dict[str, Any]:
    """Return the options by which kafka-python's clients reach the brokers."""
    options: dict[str, Any] = {"bootstrap_servers": settings.brokers.split(","),
                               "security_protocol": settings.kafka_security,
                               "reconnect_backoff_max_ms": RECONNECT_MS}
    if settings.kafka_ca_file:
        options["ssl_cafile"] = settings.kafka_ca_file
    if settings.kafka_user:
        options |= {"sasl_mechanism": settings.kafka_mechanism,
                    "sasl_plain_username": settings.kafka_user,
                    "sasl_plain_password": settings.kafka_password}
    return options
