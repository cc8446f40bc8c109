"""One real broker for all tests of the stream: that of KAFKA_BOOTSTRAP_SERVERS, or our own."""

import os

import pytest

from stream.broker import Broker
from stream.settings import BROKERS
from tests.stream.running import Stream


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """The address of a broker."""
    if address := os.environ.get(BROKERS):
        yield address
        return
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    yield broker.address
    broker.stop()


@pytest.fixture
def stream(broker, tmp_path, make_bundle, redis_url):
    """Topics of its own, a bundle and a Redis without data."""
    make_bundle(tmp_path / "bundle")
    stream = Stream(broker, tmp_path, FRAUD_HISTORY=redis_url, FRAUD_HISTORY_DEADLINE_MS="2000")
    yield stream
    stream.close()
