"""Topics as code: create missing ones, and report differences of existing ones.

    python -m stream.topics                             three replicas, as in production
    python -m stream.topics --replication 1             one broker

Existing topics are never changed: partitions decide where the payments of an account are.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from fraud import clock
from fraud.brokers import connection
from fraud.command_line import Arguments, command, parser
from fraud.errors import FraudError
from stream.settings import StreamSettings, read_stream_settings

PARTITIONS = 6
REPLICATION = 3
MIB = 1_048_576
MESSAGE_BYTES = 4 * MIB         # of a message of transactions, as the broker stores it
DEAD_LETTER_BYTES = 5 * MIB     # such a message with its reason


class Topic(NamedTuple):
    """The desired configuration of a topic."""

    name: str
    partitions: int
    replication: int
    configuration: dict[str, str]


def wanted(settings: StreamSettings, partitions: int, replication: int) -> list[Topic]:
    """Return the topics. All have the same number of partitions, since the outcome of a message
    keeps the number of its partition. Labels are kept for long: point-in-time data needs labels
    that were replaced since.
    """
    return [Topic(name, partitions, replication, {
        "cleanup.policy": "delete",
        "max.message.bytes": str(size),
        "min.insync.replicas": str(2 if replication > 2 else 1),
        "retention.ms": str(days * clock.DAY_MS)}) for name, size, days in (
            (settings.topic_transactions, MESSAGE_BYTES, 7),
            (settings.topic_decisions, MIB, 30),
            (settings.topic_dead_letters, DEAD_LETTER_BYTES, 30),
            (settings.topic_labels, MIB, 400),
            (settings.topic_decision_log, MIB, 30)) if name]


def create(admin: KafkaAdminClient, topics: list[Topic]) -> list[str]:
    """Create missing topics, and return their names.

    Raises:
        KafkaError: the broker refuses.
    """
    created = []
    for topic in topics:
        try:
            admin.create_topics([NewTopic(topic.name, topic.partitions, topic.replication,
                                          topic_configs=topic.configuration)])
            created.append(topic.name)
        except TopicAlreadyExistsError:
            pass
    admin.wait_for_topics([topic.name for topic in topics])
    return created


def differences(admin: KafkaAdminClient, topics: list[Topic]) -> list[str]:
    """Return a line for each difference of an existing topic."""
    lines = []
    described = {topic["name"]: topic["partitions"]
                 for topic in admin.describe_topics([topic.name for topic in topics])}
    configured = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics],
        config_filter="all")["topic"]
    for topic in topics:
        partitions = described[topic.name]
        values = {name: entry["value"] for name, entry in configured[topic.name].items()}
        is_now = {"partitions": str(len(partitions)),
                  "replication": str(len(partitions[0]["replica_nodes"])), **values}
        to_be = {"partitions": str(topic.partitions), "replication": str(topic.replication),
                 **topic.configuration}
        lines += [f"{topic.name}: {name} is {is_now[name]}, not {value}"
                  for name, value in to_be.items() if is_now[name] != value]
    return lines


class TopicsError(FraudError):
    """Topics that cannot be created, or that differ. The message names them and the fix."""


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m stream.topics", __doc__)
    options.add_argument("--partitions", type=int, default=PARTITIONS,
                         help="of each topic (default %(default)s)")
    options.add_argument("--replication", type=int, default=REPLICATION,
                         help="copies of each partition (default %(default)s)")
    chosen = options.parse_args(arguments)
    settings = read_stream_settings(os.environ)
    topics = wanted(settings, chosen.partitions, chosen.replication)
    try:
        with KafkaAdminClient(**connection(settings), bootstrap_timeout_ms=5_000) as admin:
            created = create(admin, topics)
            different = differences(admin, topics)
    except KafkaError as error:
        raise TopicsError(f"topics cannot be created on {settings.brokers} ({error}); check "
                          "KAFKA_BOOTSTRAP_SERVERS and --replication") from error
    for topic in topics:
        print(f"{topic.name}: {'created' if topic.name in created else 'exists'}")
    if different:
        raise TopicsError("\n".join(different) + "\nchange them with kafka-configs or kafka-topics")


if __name__ == "__main__":
    main()
