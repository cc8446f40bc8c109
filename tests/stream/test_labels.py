"""Labels by a real broker into a real Redis, with programs that are killed."""

import random
import signal
from pathlib import Path

import msgspec
import pytest

from fraud.history import KnownFraud
from fraud.labels import Label
from fraud.pseudonym import with_pseudonyms
from fraud.settings import Settings, SettingsError
from fraud.stores import open_store
from fraud.training.label_table import read_label_table
from fraud.training.parity.recount import recounted
from fraud.windows import COUNT_NAMES
from stream import labels
from stream.settings import StreamSettings
from tests.factories import NOON, payment
from tests.stream.running import ACCOUNT_KEY, eventually

INVALID = (b"fraud!", None, b'{"transaction_id": "t-1", "is_fraud": 2, "label_time": 1}')


@pytest.fixture
def recorded(make_stream, broker, redis_url):
    return make_stream(broker, FRAUD_HISTORY=redis_url, FRAUD_HISTORY_DEADLINE_MS="5000",
                       FRAUD_STREAM_BATCH="25")


@pytest.fixture
def store(redis_url):
    store = open_store(Settings(history=redis_url, history_deadline_ms=10_000.0))
    yield store
    store.close()


def encoded(transaction_id: str, is_fraud: int = 1, **changes) -> bytes:
    return msgspec.json.encode(Label(transaction_id, is_fraud, NOON, **changes))


def test_each_fraud_counts_once_though_programs_are_killed(recorded, store):
    chance = random.Random(3)
    payments = [with_pseudonyms(ACCOUNT_KEY.encode(), payment(
        f"t-{index}", NOON + index, origin=f"C{chance.randrange(20)}",
        destination=f"C{chance.randrange(20)}")) for index in range(200)]
    claims = store.claim(payments, NOON)
    given = [encoded(each.transaction_id, int(index % 10 > 0))
             for index, each in enumerate(payments)]
    messages = [*given, *chance.sample(given, 50), *INVALID]
    chance.shuffle(messages)
    recorded.send_labels(*messages)
    for step in ("after-label", "after-record"):
        dying = recorded.recorder("SIGKILL", step, "2", module="tests.stream.dying")
        assert dying.process.wait(60) == -signal.SIGKILL, recorded.log()
    program = recorded.recorder()
    eventually(lambda: recorded.committed_labels() == len(messages), 60)
    assert program.stop() == 0, recorded.log()

    last = [with_pseudonyms(ACCOUNT_KEY.encode(), payment(
        f"last-{index}", NOON + 10 ** 6, origin=f"C{index}", destination=f"C{(index + 1) % 20}"))
        for index in range(20)]
    frauds = [KnownFraud(each.transaction_id, NOON, each.origin, each.destination)
              for index, each in enumerate(payments) if index % 10]
    claims += store.claim(last, NOON)
    assert [each.counts for each in claims] == list(recounted([*payments, *frauds, *last]))
    assert claims[-1].counts[COUNT_NAMES.index("origin_frauds_sent_month")] > 0
    table = read_label_table(Path(recorded.settings.label_log))
    assert set(table["transaction_id"]) == {each.transaction_id for each in payments}
    assert program.said("partition") and program.said("left out: labels-")


def test_a_store_that_is_away_delays_labels_and_loses_none(make_stream, broker, own_redis):
    redis = own_redis("--appendonly", "yes", "--appendfsync", "always")
    stream = make_stream(broker, FRAUD_HISTORY=redis.url, FRAUD_HISTORY_DEADLINE_MS="2000",
                         FRAUD_BACKOFF_SECONDS="0.5")
    program = stream.recorder()
    stream.send_labels(encoded("a", origin="C1"))
    eventually(lambda: stream.committed_labels() == 1)
    redis.kill()
    stream.send_labels(encoded("b", origin="C1"), *INVALID, encoded("c"))
    eventually(lambda: program.said("resuming after the last commit: Redis"))
    assert stream.committed_labels() == 1
    redis.start()
    eventually(lambda: stream.committed_labels() == 3 + len(INVALID))
    counted = {key[1]: value for key, value in program.metrics().items()
               if key[0] == "fraud_labels_total"}
    assert counted["counted"] == 2 and counted["unknown"] == 1 and counted["invalid"] == 3
    assert program.stop() == 0


@pytest.mark.system
def test_a_broker_that_returns_at_another_address_is_found(moving):
    stream, move = moving
    program = stream.recorder()
    stream.send_labels(encoded("a", origin="C1"))
    eventually(lambda: stream.committed_labels() == 1)
    move()
    stream.send_labels(encoded("b", origin="C1"))
    eventually(lambda: stream.committed_labels() == 2, 60)
    assert program.process.poll() is None


@pytest.mark.parametrize(("settings", "message"), [
    ({"account_key": "key"}, "FRAUD_HISTORY is 'memory://'.*POST /v1/labels"),
    ({"history": "redis://localhost"}, "FRAUD_ACCOUNT_KEY is not set.*redis://..., which")])
def test_settings_by_which_labels_would_reach_no_account_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        labels.check(StreamSettings(**settings))


def test_a_missing_topic_ends_the_program(recorded):
    program = recorded.recorder(FRAUD_TOPIC_LABELS="no-such")
    assert program.process.wait(60) == 2
    assert program.said("error: topic 'no-such' is missing on")
