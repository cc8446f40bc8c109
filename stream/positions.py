"""Positions of a consumer in its partitions: rewound, committed past markers, and the lag."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaConnectionError, KafkaTimeoutError

from stream import clients, metrics

LAG_MS = 1_000          # for the broker to say where partitions end
log = logging.getLogger(__name__)


def rewind(consumer: KafkaConsumer) -> None:
    """Continue reading after the last commit."""
    for partition in consumer.assignment():
        committed = consumer.committed(partition, timeout_ms=clients.REQUEST_MS)
        if committed is None:
            consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, committed)
    consumer.resume(*consumer.paused())


def moved(consumer: KafkaConsumer, committed: Mapping[TopicPartition, int]
          ) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the positions that moved since the last commit although nothing was polled.

    They pass markers of transactions, such as those of replayed dead letters, which would look
    like a lag to others.
    """
    positions = {partition: consumer.position(partition, timeout_ms=clients.REQUEST_MS)
                 for partition in consumer.assignment()}
    return {partition: OffsetAndMetadata(position) for partition, position in positions.items()
            if position is not None and position > committed.get(partition, -1)}


def measure_lag(consumer: KafkaConsumer) -> bool:
    """Publish the lag of each partition, or keep the last figures.

    Returns:
        False if the broker is silent. Other errors, whatever they are, must not cost a batch.
    """
    partitions = consumer.assignment()
    try:
        ends = consumer.end_offsets(partitions, timeout_ms=LAG_MS)
        positions = {partition: consumer.position(partition, timeout_ms=LAG_MS) or 0
                     for partition in partitions}
    except Exception as error:
        log.warning("the lag cannot be measured: %s", error)
        return not isinstance(error, (KafkaTimeoutError, KafkaConnectionError))
    metrics.LAG.clear()             # of partitions that moved to others
    for partition in partitions:
        metrics.LAG.labels(partition.partition).set(ends[partition] - positions[partition])
    return True
