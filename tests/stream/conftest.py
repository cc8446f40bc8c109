"""Topics, and who writes and scores them, on a real broker."""

import msgspec
import pytest

from fraud.bundle import CanaryPointer, sha256
from fraud.rules.rule_set import Condition, Rule, RuleSet, RulesPointer
from fraud.training.registry import publication
from stream.broker import Broker, free_port
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


@pytest.fixture
def moving(own_broker, make_stream, redis_url, tmp_path):
    """A stream on a broker of its own, and a call that moves the broker to another port."""
    other, moved = free_port(), []
    stream = make_stream(f"{own_broker.address},127.0.0.1:{other}", FRAUD_HISTORY=redis_url,
                         FRAUD_HISTORY_DEADLINE_MS="2000")

    def move() -> None:
        own_broker.stop()
        moved.append(Broker(tmp_path / "kafka", other))
        stream.renew_producer()

    yield stream, move
    for broker in moved:
        broker.kill()


@pytest.fixture
def busy_folder(tmp_path, make_bundle) -> str:
    """Champion 1 with challenger and canary 2 and a rule, which declines what is approved."""
    folder = str(tmp_path / "busy")
    for version, file in (("1", "champion.json"), ("2", "challenger.json")):
        make_bundle(tmp_path / f"busy-{version}", version)
        pointer = publication.publish(tmp_path / f"busy-{version}", "fraud-detector", folder, file)
    publication.write_pointer(CanaryPointer(**msgspec.structs.asdict(pointer), share=30, since=0),
                              folder, "canary.json")
    rule = Rule("nothing", "decline", "why", "ana", (Condition("amount", "==", 0.0),))
    content = msgspec.json.encode(RuleSet(1, 0, "ana", "why", (rule,)))
    publication.write_files(folder, {"rules-1.json": content, "rules.json": msgspec.json.encode(
        RulesPointer(1, "rules-1.json", sha256(content)))})
    return folder
