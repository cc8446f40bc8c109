"""Kafka clients, configured for exactly-once."""

from __future__ import annotations

import re
from typing import Any

from kafka import (
    ConsumerGroupMetadata, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition)
from kafka.errors import CorruptRecordError, KafkaTimeoutError
from kafka.producer.transaction_manager import TransactionalRequestResult

from fraud import clock
from fraud.brokers import connection
from fraud.settings import SettingsError
from stream.messages import CorruptRecord
from stream.settings import StreamSettings
from stream.topics import DEAD_LETTER_BYTES

BOOTSTRAP_MS = 10_000           # to find the brokers
REQUEST_MS = 10_000             # for one answer
BATCH_BYTES = 262_144           # of one partition in a request
ABANDON_SECONDS = 1.0           # for the thread of a producer to end
RETRY_MS = 10                   # while the broker ends the transaction before; it takes a few ms
PRODUCER = {
    "allow_auto_create_topics": False,
    "batch_size": BATCH_BYTES,
    "max_request_size": DEAD_LETTER_BYTES,
    "max_block_ms": REQUEST_MS,
    "request_timeout_ms": REQUEST_MS,
    "bootstrap_timeout_ms": BOOTSTRAP_MS,
    "metrics_enabled": False,
}
CORRUPT = re.compile(r"partition=(?P<partition>\d+)\) at offset \d+ failed crc check")


class TransactionalProducer(KafkaProducer):     # type: ignore[misc]
    """A producer whose transactions end within `max_block_ms`, as those of Kafka's Java client.

    The base class waits for ever: it may lose the request of a broker that goes away and returns.
    """

    def send_offsets_to_transaction(self, offsets: dict[TopicPartition, OffsetAndMetadata],
                                    group_metadata: ConsumerGroupMetadata) -> None:
        """Add the offsets of a group to the transaction.

        Raises:
            KafkaError: they were not added, or the broker does not answer.
        """
        self._wait(self._transaction_manager.send_offsets_to_transaction(offsets, group_metadata))

    def commit_transaction(self) -> None:
        """Commit the transaction.

        Raises:
            KafkaError: it is not committed. KafkaTimeoutError: nobody knows; `init_transactions` of
                another producer with the same name aborts it unless it is.
        """
        self._wait(self._transaction_manager.begin_commit())

    def _wait(self, result: TransactionalRequestResult) -> None:
        self._sender.wakeup()
        limit_ms = self.config["max_block_ms"]
        if not result.wait(timeout_ms=limit_ms):
            raise KafkaTimeoutError(f"the broker has not answered for {limit_ms} ms")


def consumer(settings: StreamSettings, **changes: Any) -> KafkaConsumer:
    """Return a member of the scorers' group."""
    return group_member(settings, settings.stream_group, settings.topic_transactions, **changes)


def group_member(settings: StreamSettings, group: str, topic: str, **changes: Any
                 ) -> KafkaConsumer:
    """Return a consumer of a topic: it reads committed messages and commits nothing by itself."""
    reader = KafkaConsumer(**connection(settings), **{
        "group_id": group,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "session_timeout_ms": settings.session_ms,
        "heartbeat_interval_ms": max(settings.session_ms // 4, 1),
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "metrics_enabled": False,
        **changes})
    reader.subscribe([topic])
    return reader


def transactional(settings: StreamSettings, name: str) -> TransactionalProducer:
    """Return a transactional producer; `init_transactions` aborts what its name left open."""
    return TransactionalProducer(**connection(settings), **{
        **PRODUCER,
        "transactional_id": f"{settings.stream_group}-{name}",
        "transaction_timeout_ms": settings.session_ms,
        "retry_backoff_ms": RETRY_MS,
        "delivery_timeout_ms": settings.session_ms + REQUEST_MS})


def producer(settings: StreamSettings, **changes: Any) -> KafkaProducer:
    """Return an idempotent producer, for messages of any size that topics accept."""
    return KafkaProducer(**connection(settings), **{**PRODUCER, **changes})


def abandon(producer: KafkaProducer) -> None:
    """Close a producer without sending what is left, also while the broker does not answer.

    `close` leaves its thread behind then.
    """
    producer._sender.force_close()
    producer._sender.join(ABANDON_SECONDS)
    producer.close(timeout=0)


def missing_topic(topic: str, settings: StreamSettings) -> SettingsError:
    """Return the error of a topic that does not exist."""
    return SettingsError(f"topic {topic!r} is missing on {settings.brokers}; create it with "
                         "python -m stream.topics")


def check_topics(reader: KafkaConsumer, settings: StreamSettings) -> None:
    """Check that the topics exist and fit together.

    Raises:
        SettingsError: a topic is missing or has too few partitions.
    """
    names = (settings.topic_transactions, settings.topic_decisions, settings.topic_dead_letters,
             settings.topic_decision_log)
    counts = {name: len(reader.partitions_for_topic(name) or ()) for name in names if name}
    for name, count in counts.items():
        if not count:
            raise missing_topic(name, settings)
        if count < counts[settings.topic_transactions]:
            raise SettingsError(f"topic {name!r} has {count} partitions and "
                                f"{settings.topic_transactions!r} has "
                                f"{counts[settings.topic_transactions]}; give it at least as many")


def skip_corrupt(reader: KafkaConsumer, error: CorruptRecordError
                 ) -> dict[TopicPartition, list[CorruptRecord]]:
    """Move a reader past the record at which a batch failed its checksum, and return that record.

    The client names the batch, not how many records it has: the next poll fails at the next one,
    until the batch is behind.
    """
    named = CORRUPT.search(str(error))
    if not named:
        raise error
    [partition] = [partition for partition in reader.assignment()
                   if partition.partition == int(named["partition"])]
    offset = reader.position(partition, timeout_ms=REQUEST_MS)
    if offset is None:
        raise error
    reader.seek(partition, offset + 1)
    return {partition: [CorruptRecord(
        partition.topic, partition.partition, offset, clock.now_ms(),
        f"the record fails its checksum on the broker ({error}); send the payment again")]}
