"""Read a Kafka topic from its beginning to its end.

The client library is imported only where a topic is read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from fraud.brokers import BROKERS, BrokerSettings, connection
from fraud.errors import FraudError

if TYPE_CHECKING:
    from kafka import KafkaConsumer
    from kafka.consumer.fetcher import ConsumerRecord

BOOTSTRAP_MS = 10_000       # limit on finding the brokers
POLL_MS = 500
SILENCE_MS = 5_000          # for a broker to answer


class TopicError(FraudError):
    """A topic that cannot be read to its end. The message names topic, brokers and fix."""


def read_to_end(topic: str, settings: BrokerSettings,
                silence_seconds: float = 30.0) -> Iterator[ConsumerRecord]:
    """Yield the committed records of all partitions, up to the ends when reading began.

    Nothing is committed for a consumer group: re-reading yields the same records.

    Args:
        silence_seconds: limit on the time without a record or progress while some are outstanding.

    Raises:
        TopicError: the topic is missing, the brokers cannot be reached or have become silent.
    """
    from kafka.errors import KafkaError

    try:
        with open_reader(topic, settings) as consumer:
            yield from _records(consumer, settings, silence_seconds)
    except KafkaError as error:
        raise unreachable(topic, settings, error) from error


def open_reader(topic: str, settings: BrokerSettings,
                positions: Mapping[int, int] | None = None) -> KafkaConsumer:
    """Return a reader of the committed records of all partitions, which belongs to no group.

    Args:
        positions: the offset to begin at, by number of the partition; others begin at their start.

    Raises:
        TopicError: the topic is missing.
        KafkaError: the brokers cannot be reached.
    """
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(**connection(settings), isolation_level="read_committed",
                             enable_auto_commit=False, auto_offset_reset="earliest",
                             allow_auto_create_topics=False, bootstrap_timeout_ms=BOOTSTRAP_MS)
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        consumer.close()
        raise TopicError(f"topic {topic!r} is missing on {settings.brokers}; make it with "
                         "python -m stream.topics")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    for number, position in (positions or {}).items():
        consumer.seek(TopicPartition(topic, number), position)
    return consumer


def check_broker(consumer: KafkaConsumer, topic: str) -> None:
    """Raise KafkaError if the broker does not answer. Connect anew then: it may have moved.

    Kafka's client polls nothing meanwhile, and tries the addresses that it knows for ever.
    """
    from kafka import TopicPartition

    consumer.end_offsets([TopicPartition(topic, 0)], timeout_ms=SILENCE_MS)


def unreachable(topic: str, settings: BrokerSettings, error: Exception) -> TopicError:
    """Return the error of brokers that do not answer."""
    return TopicError(f"topic {topic!r} cannot be read from {settings.brokers} ({error}); "
                      f"check that the brokers run and that {BROKERS} names them")


def _records(consumer: KafkaConsumer, settings: BrokerSettings,
             silence_seconds: float) -> Iterator[ConsumerRecord]:
    partitions = sorted(consumer.assignment())
    ends = consumer.end_offsets(partitions)
    positions: list[int] = []
    last_progress = time.monotonic()
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        batches = consumer.poll(timeout_ms=POLL_MS)
        for partition, records in batches.items():
            yield from (record for record in records if record.offset < ends[partition])
        before, positions = positions, [consumer.position(partition) for partition in partitions]
        if batches or positions != before:
            last_progress = time.monotonic()
        elif time.monotonic() - last_progress >= silence_seconds:
            raise TopicError(f"topic {partitions[0].topic!r}: {settings.brokers} sent nothing for "
                             f"{silence_seconds:g} s before the end; check the brokers and read "
                             "again")
