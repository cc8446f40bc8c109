"""Decision logs as a Kafka topic; positions are kept in the desk's database, not by the brokers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from desk.log_files import LogPart
from fraud.brokers import BROKERS, BrokerSettings, connection
from fraud.topics import BOOTSTRAP_MS, POLL_MS, TopicError


class LogTopic:
    """A topic whose messages are decision lines."""

    def __init__(self, topic: str, settings: BrokerSettings):
        self._topic, self._settings = topic, settings
        self._consumer: Any = None

    def read(self, positions: dict[str, int]) -> Iterator[LogPart]:
        """Yield the committed messages after the positions, until there are none.

        Raises:
            TopicError: the topic is missing, or the brokers do not answer.
        """
        from kafka.errors import KafkaError

        try:
            if self._consumer is None:
                self._consumer = self._open(positions)
            while batches := self._consumer.poll(timeout_ms=POLL_MS):
                for partition, records in batches.items():
                    yield LogPart(self._source(partition.partition),
                                  f"topic {self._topic}, partition {partition.partition}",
                                  [record.value or b"" for record in records],
                                  records[-1].offset + 1)
        except KafkaError as error:
            self.close()
            raise TopicError(f"topic {self._topic!r} cannot be read from {self._settings.brokers} "
                             f"({error}); check that the brokers run and that {BROKERS} names them"
                             ) from error
        except BaseException:
            self.close()       # also when the reader fails: it asks again from its position
            raise

    def _open(self, positions: dict[str, int]) -> Any:
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(**connection(self._settings), isolation_level="read_committed",
                                 enable_auto_commit=False, auto_offset_reset="earliest",
                                 allow_auto_create_topics=False, bootstrap_timeout_ms=BOOTSTRAP_MS)
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            consumer.close()
            raise TopicError(f"topic {self._topic!r} is missing on {self._settings.brokers}; "
                             "create it, or take it out of FRAUD_DESK_DECISIONS")
        consumer.assign([TopicPartition(self._topic, number) for number in sorted(numbers)])
        for number in numbers:
            partition = TopicPartition(self._topic, number)
            if position := positions.get(self._source(number)):
                consumer.seek(partition, position)
            else:
                consumer.seek_to_beginning(partition)
        return consumer

    def _source(self, number: int) -> str:
        return f"{self._topic}/{number}"

    def close(self) -> None:
        """Close the connection to the brokers."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
