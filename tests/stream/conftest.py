"""Topics, and who writes and scores them, on a real broker."""

import pytest

from stream.broker import Broker
from tests.stream.running import Stream


@pytest.fixture
def own_broker(tmp_path):
    """A broker to be killed."""
    broker = Broker(tmp_path / "kafka")
    yield broker
    broker.kill()


@pytest.fixture
def make_stream(tmp_path, make_bundle):
    """Makes topics on a broker, with a bundle for those who score."""
    streams = []
    make_bundle(tmp_path / "bundle")

    def make(address: str, **settings: str) -> Stream:
        streams.append(Stream(address, tmp_path, **settings))
        return streams[-1]

    yield make
    for stream in streams:
        stream.close()


@pytest.fixture
def stream(broker, make_stream, redis_url):
    """Topics of its own, a bundle and a Redis without data."""
    return make_stream(broker, FRAUD_HISTORY=redis_url, FRAUD_HISTORY_DEADLINE_MS="2000")
