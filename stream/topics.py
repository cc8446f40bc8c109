"""The topics, as code: makes those that are missing, and says where others differ.

    python -m stream.topics                             three replicas, as in production
    python -m stream.topics --replication 1             one broker

Nothing that exists is changed: a topic's partitions decide where an account's payments lie.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import NamedTuple

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from fraud.brokers import connection
from fraud.settings import SettingsError
from stream.settings import StreamSettings, read

PARTITIONS = 6
REPLICATION = 3
DAY_MS = 86_400_000
MIB = 1_048_576
MESSAGE_BYTES = 4 * MIB         # of a message of transactions, as the broker stores it
DEAD_LETTER_BYTES = 5 * MIB     # such a message and why it is dead


class Topic(NamedTuple):
    """What a topic is to be."""

    name: str
    partitions: int
    replication: int
    configuration: dict[str, str]


def wanted(settings: StreamSettings, partitions: int, replication: int) -> list[Topic]:
    """The topics. All have as many partitions: what becomes of a message gets the number of its
    partition. Labels are kept for longer than payments take to be judged: what is built as of a
    moment asks for verdicts that were replaced since.
    """
    return [Topic(name, partitions, replication, {
        "cleanup.policy": "delete",
        "max.message.bytes": str(size),
        "min.insync.replicas": str(2 if replication > 2 else 1),
        "retention.ms": str(days * DAY_MS)}) for name, size, days in (
            (settings.topic_transactions, MESSAGE_BYTES, 7),
            (settings.topic_decisions, MIB, 30),
            (settings.topic_dead_letters, DEAD_LETTER_BYTES, 30),
            (settings.topic_labels, MIB, 400))]


def create(admin: KafkaAdminClient, topics: list[Topic]) -> list[str]:
    """Make those topics that are missing; their names.

    Raises:
        KafkaError: the broker refuses.
    """
    made = []
    for topic in topics:
        try:
            admin.create_topics([NewTopic(topic.name, topic.partitions, topic.replication,
                                          topic_configs=topic.configuration)])
            made.append(topic.name)
        except TopicAlreadyExistsError:
            pass
    admin.wait_for_topics([topic.name for topic in topics])
    return made


def differences(admin: KafkaAdminClient, topics: list[Topic]) -> list[str]:
    """Where existing topics are not what is wanted, a line each."""
    found = []
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
        found += [f"{topic.name}: {name} is {is_now[name]}, not {value}"
                  for name, value in to_be.items() if is_now[name] != value]
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stream.topics", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=PARTITIONS,
                        help="of each topic (default %(default)s)")
    parser.add_argument("--replication", type=int, default=REPLICATION,
                        help="copies of each partition (default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        settings = read(os.environ)
        topics = wanted(settings, options.partitions, options.replication)
        with KafkaAdminClient(**connection(settings), bootstrap_timeout_ms=5_000) as admin:
            made = create(admin, topics)
            different = differences(admin, topics)
    except SettingsError as error:
        sys.exit(f"error: {error}")
    except KafkaError as error:
        sys.exit(f"error: the topics cannot be made on {settings.brokers}: {error}")
    for topic in topics:
        print(f"{topic.name}: {'made' if topic.name in made else 'was there'}")
    if different:
        sys.exit("\n".join(different) + "\nchange them with kafka-configs or kafka-topics")


if __name__ == "__main__":
    main()
