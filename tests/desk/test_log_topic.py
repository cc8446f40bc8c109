import time
from contextlib import suppress

import pytest
from kafka import KafkaAdminClient, KafkaProducer
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
