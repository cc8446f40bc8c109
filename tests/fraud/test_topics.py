from collections.abc import Iterable
from typing import NamedTuple

import kafka
import pytest
from kafka.errors import KafkaTimeoutError

from fraud.brokers import BrokerSettings
from fraud.topics import TopicError, read_to_end

SETTINGS = BrokerSettings(brokers="kafka:9092")


class Record(NamedTuple):
    partition: int
    offset: int


class FakeConsumer:
    """A consumer of two partitions, with three and one records when reading begins."""

    partitions: Iterable[int] | None = (1, 0)
    polls = (
        {0: [Record(0, 0), Record(0, 1)]},
        {},
        {0: [Record(0, 2), Record(0, 3)], 1: [Record(1, 0)]},
    )

    def __init__(self, **options):
        assert options["isolation_level"] == "read_committed"
        assert not options["enable_auto_commit"]
        self.pending = list(self.polls)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None

    def partitions_for_topic(self, topic):
        return self.partitions

    def assign(self, partitions):
        self.positions = dict.fromkeys(partitions, 0)

    def assignment(self):
        return set(self.positions)

    def close(self):
        """Nothing is open."""

    def seek_to_beginning(self, *partitions):
        assert set(partitions) == set(self.positions)

    def end_offsets(self, partitions):
        return dict(zip(partitions, (3, 1), strict=True))

    def position(self, partition):
        return self.positions[partition]

    def poll(self, timeout_ms):
        batch = self.pending.pop(0) if self.pending else {}
        records = {kafka.TopicPartition("labels", number): batch[number] for number in batch}
        for partition, of_partition in records.items():
            self.positions[partition] = of_partition[-1].offset + 1
        return records


@pytest.fixture
def consumer(monkeypatch):
    """Replaces Kafka's consumer by a class."""
    return lambda kind: monkeypatch.setattr(kafka, "KafkaConsumer", kind)


def test_every_record_before_the_end_at_the_start_is_read(consumer):
    consumer(FakeConsumer)
    assert list(read_to_end("labels", SETTINGS)) == [
        Record(0, 0), Record(0, 1), Record(0, 2), Record(1, 0)]


def test_an_empty_topic_has_no_records(consumer):
    class Empty(FakeConsumer):
        def end_offsets(self, partitions):
            return dict.fromkeys(partitions, 0)

    consumer(Empty)
    assert list(read_to_end("labels", SETTINGS)) == []


@pytest.mark.parametrize("partitions", [None, set()])
def test_a_missing_topic_is_an_error_that_names_the_command_that_makes_it(consumer, partitions):
    class Missing(FakeConsumer):
        pass

    Missing.partitions = partitions
    consumer(Missing)
    with pytest.raises(TopicError, match=r"'labels' is missing on kafka:9092.* stream\.topics"):
        list(read_to_end("labels", SETTINGS))


def test_silence_before_the_end_is_an_error(consumer):
    class Silent(FakeConsumer):
        polls = FakeConsumer.polls[:1]

    consumer(Silent)
    records = read_to_end("labels", SETTINGS, silence_seconds=0)
    assert [next(records), next(records)] == [Record(0, 0), Record(0, 1)]
    with pytest.raises(TopicError, match="kafka:9092 sent nothing for 0 s before the end"):
        next(records)


def test_progress_over_records_that_are_not_delivered_is_not_silence(consumer):
    class Aborted(FakeConsumer):
        """Four polls that bring nothing, but pass over records of aborted transactions."""

        polls = ()

        def poll(self, timeout_ms):
            for partition in self.positions:
                self.positions[partition] += 1
            return {}

    consumer(Aborted)
    assert list(read_to_end("labels", SETTINGS, silence_seconds=0)) == []


def test_an_error_of_the_client_is_an_error_of_the_topic(consumer):
    class Unreachable(FakeConsumer):
        def __init__(self, **options):
            raise KafkaTimeoutError("no brokers")

    consumer(Unreachable)
    with pytest.raises(TopicError, match="KAFKA_BOOTSTRAP_SERVERS names them") as caught:
        list(read_to_end("labels", SETTINGS))
    assert isinstance(caught.value.__cause__, KafkaTimeoutError)
