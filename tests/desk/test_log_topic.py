import time
from contextlib import suppress
from types import SimpleNamespace

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from desk.log_topic import LogTopic
from desk.settings import read_desk_settings
from fraud.brokers import BROKERS
from fraud.topics import TopicError
from stream.broker import Broker, free_port


def send(address: str, *values: bytes) -> None:
    with KafkaProducer(bootstrap_servers=address) as producer:
        for value in values:
            producer.send("decision-log", value)


def lines(topic: LogTopic, positions: dict[str, int]) -> list[bytes]:
    """Read a topic until it has lines after the positions, and return them."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(TopicError):
            if values := [line for part in topic.read(positions) for line in part.lines]:
                return values
    raise AssertionError("there are no lines")


class BusyConsumer:
    """A consumer of a topic that gets a message between any two polls."""

    def __init__(self):
        self.read = 0

    def assignment(self):
        return {TopicPartition("decision-log", 0)}

    def end_offsets(self, partitions, timeout_ms):
        return dict.fromkeys(partitions, 2)

    def position(self, partition):
        return self.read

    def poll(self, timeout_ms):
        self.read += 1
        return {TopicPartition("decision-log", 0): [SimpleNamespace(
            value=b"%d" % self.read, offset=self.read - 1)]}


def test_a_topic_that_is_written_to_all_the_time_leaves_time_for_other_sources(monkeypatch):
    monkeypatch.setattr("desk.log_topic.open_reader", lambda *_: BusyConsumer())
    topic = LogTopic("decision-log", read_desk_settings({BROKERS: "kafka:9092"}))
    assert [part.lines for part in topic.read({})] == [[b"1"], [b"2"]]


@pytest.mark.system
def test_a_broker_that_returns_at_another_address_is_found(tmp_path):
    other = free_port()
    broker = Broker(tmp_path / "kafka")
    try:
        with KafkaAdminClient(bootstrap_servers=broker.address) as admin:
            admin.create_topics([NewTopic("decision-log", 1, 1)])
        topic = LogTopic("decision-log", read_desk_settings(
            {BROKERS: f"{broker.address},127.0.0.1:{other}"}))
        send(broker.address, b"a", b"b")
        assert lines(topic, {}) == [b"a", b"b"]
        broker.stop()
        broker = Broker(tmp_path / "kafka", other)
        send(broker.address, b"c")
        assert lines(topic, {"decision-log/0": 2}) == [b"c"]
        topic.close()
    finally:
        broker.kill()
