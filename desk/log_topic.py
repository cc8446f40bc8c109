"""Decision logs as a Kafka topic; positions are kept in the desk's database, not by the brokers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from desk.log_files import LogPart
from fraud.brokers import BrokerSettings
from fraud.topics import POLL_MS, SILENCE_MS, open_reader, unreachable


class LogTopic:
    """A topic whose messages are decision lines."""

    def __init__(self, topic: str, settings: BrokerSettings):
        self._topic, self._settings = topic, settings
        self._consumer: Any = None

    def read(self, positions: dict[str, int]) -> Iterator[LogPart]:
        """Yield the committed messages after the positions, up to the ends when reading began.

        Raises:
            TopicError: the topic is missing, or the brokers do not answer.
        """
        from kafka.errors import KafkaError

        try:
            if self._consumer is None:
                self._consumer = open_reader(self._topic, self._settings, {
                    int(number): position for source, position in positions.items()
                    for topic, _, number in [source.rpartition("/")] if topic == self._topic})
            ends = self._consumer.end_offsets(self._consumer.assignment(), timeout_ms=SILENCE_MS)
            while any(self._consumer.position(partition) < end for partition, end in ends.items()
                      ) and (batches := self._consumer.poll(timeout_ms=POLL_MS)):
                for partition, records in batches.items():
                    yield LogPart(f"{self._topic}/{partition.partition}",
                                  f"topic {self._topic}, partition {partition.partition}",
                                  [record.value or b"" for record in records],
                                  records[-1].offset + 1)
        except KafkaError as error:
            self.close()
            raise unreachable(self._topic, self._settings, error) from error
        except BaseException:
            self.close()       # also when the reader fails: it asks again from its position
            raise

    def close(self) -> None:
        """Close the connection to the brokers."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
