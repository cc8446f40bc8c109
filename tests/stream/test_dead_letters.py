"""Dead letters are listed, and replayed once each."""

import subprocess
import sys

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from fraud.brokers import connection
from stream.dead_letters import RepairError, repairs_of
from tests.stream.running import PARTITIONS, environment, eventually, headers, payment


@pytest.fixture
def command(stream):
    """Runs `python -m stream.dead_letters` and gives what it prints."""
    def run(*arguments: str, succeeds: bool = True) -> str:
        done = subprocess.run([sys.executable, "-m", "stream.dead_letters", *arguments],
                              env=environment(**stream.variables), capture_output=True, text=True)
        assert (done.returncode == 0) is succeeds, done.stderr
        return done.stdout + done.stderr

    return run


def test_repaired_messages_are_put_back_once(stream, command, tmp_path):
    stream.scorer()
    stream.send([payment("t-0"), payment("t-1", type="GIFT"), payment("t-2", amount=-1)])
    stream.dead_letters(2)
    lines = [msgspec.json.decode(line) for line in command("list", "--json").splitlines()]
    assert {line["reason"] for line in lines} == {"unknown-type", "invalid-payment"}
    [broken] = [line for line in lines if "GIFT" in line["value"]]
    repairs = tmp_path / "repairs"
    repairs.write_bytes(msgspec.json.encode({**broken, "value": payment("t-1")}))
    assert command("replay", "--repaired", str(repairs)) == "1 replayed\n"
    assert command("replay", "--repaired", str(repairs)) == "0 replayed\n"
    answered = [msgspec.json.decode(record.value)["transaction_id"]
                for record in stream.decisions(2)]
    assert sorted(answered) == ["t-0", "t-1"]
    [left] = [msgspec.json.decode(line) for line in command("list", "--json").splitlines()]
    assert msgspec.json.decode(left["value"])["transaction_id"] == "t-2"


def test_a_replay_leaves_no_lag_to_those_who_look_from_outside(stream, command):
    scorer = stream.scorer(FRAUD_CLOCK="wall")
    stream.send([payment("t-1", event_time=4_000_000_000_000)])
    stream.dead_letters(1)
    assert command("replay", "--reason", "event-time-ahead") == "1 replayed\n"
    stream.dead_letters(2)
    eventually(lambda: outside_lag(stream) == 0)        # behind the marker of its transaction
    assert scorer.metrics()["fraud_stream_messages_total",] == 2


def outside_lag(stream) -> int:
    """The lag of the group as Kafka's own tools see it."""
    with KafkaAdminClient(**connection(stream.settings)) as admin, KafkaConsumer(
            **connection(stream.settings)) as reader:
        group = stream.settings.stream_group
        committed = admin.list_group_offsets({group: None})[group]
        topic = stream.settings.topic_transactions
        ends = reader.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        return sum(end - committed[partition].offset if partition in committed else end
                   for partition, end in ends.items())


@pytest.mark.system
def test_messages_are_put_back_as_they_were_by_reason(stream, command):
    early = stream.scorer(FRAUD_CLOCK="wall")
    future = payment("t-1", event_time=4_000_000_000_000)
    stream.send([future, payment("t-2", type="GIFT")])
    reasons = {headers(record)["reason"] for record in stream.dead_letters(2)}
    assert reasons == {"event-time-ahead", "unknown-type"}
    assert early.stop() == 0
    assert command("replay", "--reason", "event-time-ahead") == "1 replayed\n"
    assert command("replay", "--reason", "event-time-ahead") == "0 replayed\n"
    stream.scorer()                                     # whose clock is that of the events
    [decided] = stream.decisions(1)
    assert msgspec.json.decode(decided.value)["transaction_id"] == "t-1"
    assert "GIFT" in command("list") and "t-1" not in command("list")


@pytest.mark.parametrize("line", [
    b"{", b'{"value": {}}', b'{"dead_letter": "0:1", "value": {}}',
    b'{"dead_letter": "0:1", "value": "text"}', b'{"dead_letter": "\xcf"}'])
def test_a_repair_that_is_no_payment_is_refused(line):
    good = msgspec.json.encode({"dead_letter": "0:0", "value": payment()})
    assert set(repairs_of([good])) == {"0:0"}
    with pytest.raises(RepairError, match="^line 2: .*nothing was replayed"):
        repairs_of([good, line])
