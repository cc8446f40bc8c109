"""The scorer as a process: on a real broker and a real Redis."""

import subprocess
import sys

import msgspec
import pytest

from fraud.decision import Decision, answered
from fraud.settings import SettingsError
from stream import clients
from stream.scorer import open_backend
from stream.settings import StreamSettings
from tests.stream.running import environment, eventually, headers, payment, payments, source


def test_each_message_gets_one_decision_where_it_lay(stream):
    stream.send(payments(1_000))
    stream.scorer(FRAUD_TOPIC_DECISION_LOG="")      # small transactions: none lasts a session
    records = stream.decisions(1_000)
    assert len(records) == 1_000
    assert len({source(record) for record in records}) == 1_000
    assert {record.partition for record in records} == {0, 1, 2, 3}
    assert all(record.partition == source(record)[0] for record in records)
    assert {name for record in records for name in headers(record)} == {
        "source-partition", "source-offset"}


def test_a_repeated_payment_repeats_its_answer_and_says_so(stream):
    scorer = stream.scorer()
    stream.send([payment()])
    [first] = stream.decisions(1)
    stream.send([payment()])
    _, second = sorted(stream.decisions(2), key=lambda record: record.offset)
    assert second.value == first.value and second.key == first.key == b"C1"
    assert "duplicate" not in headers(first)
    assert headers(second)["duplicate"] == "true"
    assert scorer.stop() == 0


def test_a_decision_line_is_in_its_topic_and_that_of_a_repeat_has_no_features(stream, tmp_path):
    log = tmp_path / "decisions"
    scorer = stream.scorer(FRAUD_DECISION_LOG=str(log))
    stream.send([payment()])
    [line] = stream.log_lines(1)
    [record] = stream.decisions(1)
    assert line.value == log.read_bytes().rstrip(b"\n")
    assert (line.key, line.partition, source(line)) == (b"t-1", record.partition, source(record))
    stream.send([payment()])
    first, repeat = (msgspec.json.decode(each.value, type=Decision) for each in sorted(
        stream.log_lines(2), key=lambda each: each.offset))
    assert first.features and not repeat.features
    assert answered(repeat).body == answered(first).body == record.value
    assert (repeat.origin, repeat.amount_cents) == (first.origin, first.amount_cents)
    assert scorer.stop() == 0 and len(log.read_bytes().splitlines()) == 1


def test_without_a_topic_of_decision_lines_none_is_written(stream):
    scorer = stream.scorer(FRAUD_TOPIC_DECISION_LOG="")
    stream.send([payment()])
    assert stream.decisions(1) and not stream.log_lines(0)
    assert scorer.stop() == 0


def test_with_an_api_a_topic_of_decision_lines_is_refused():
    with pytest.raises(SettingsError, match="FRAUD_TOPIC_DECISION_LOG is 'log', but with --api"):
        open_backend(StreamSettings(topic_decision_log="log"), "http://localhost", demo=False)


def test_ids_of_a_message_go_on_to_its_outcome_and_the_decision_log(stream, tmp_path):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    given = [("x-request-id", b"6f1c-4d"), ("traceparent", trace.encode())]
    stream.send_raw(msgspec.json.encode(payment()), b"C1", headers=given)
    stream.send_raw(b"no JSON", b"C1", headers=given)
    stream.scorer(FRAUD_DECISION_LOG=str(tmp_path / "decisions"))
    for [record] in (stream.decisions(1), stream.dead_letters(1)):
        assert headers(record).items() >= {"x-request-id": "6f1c-4d", "traceparent": trace}.items()
    line = msgspec.json.decode((tmp_path / "decisions").read_bytes())
    assert (line["owner"], line["request_id"], line["traceparent"]) == ("", "6f1c-4d", trace)


def test_poison_of_every_kind_is_set_aside_and_the_partition_moves_on(stream):
    good = msgspec.json.encode(payment("t-good"))
    poison = {                                          # all in one partition, in this order
        "not-json": (b"no JSON", b"C1"),
        "invalid-payment": (msgspec.json.encode(payment(amount=-1)), b"C1"),
        "unknown-type": (msgspec.json.encode(payment("t-gift", type="GIFT")), b"C1"),
        "too-large": (b"x" * 2_000_000, b"C1"),
        "null-value": (None, b"C1"),
        "bad-key": (msgspec.json.encode(payment()), b"C7"),
        "id-reused": (msgspec.json.encode(payment("t-good", amount=1)), b"C1"),
        "event-time-ahead": (msgspec.json.encode(payment(event_time=4_000_000_000_000)), b"C1"),
    }
    stream.send_raw(good, b"C1", 0)
    for value, key in poison.values():
        stream.send_raw(value, key, 0)
    stream.send_raw(msgspec.json.encode(payment("t-last")), None, 0)
    scorer = stream.scorer(FRAUD_CLOCK="wall")
    records = stream.dead_letters(len(poison))
    assert [(headers(record)["reason"], record.value, record.key) for record in records] == [
        (reason, *sent) for reason, sent in poison.items()]
    assert [source(record) for record in records] == [(0, offset) for offset in range(1, 9)]
    assert {headers(record)["source-topic"] for record in records} == {
        stream.settings.topic_transactions}
    assert all(headers(record)["detail"] for record in records)
    assert [msgspec.json.decode(record.value)["transaction_id"]
            for record in stream.decisions(2)] == ["t-good", "t-last"]
    counted = scorer.metrics()
    assert all(counted["fraud_stream_dead_letters_total", reason] == 1 for reason in poison)


@pytest.mark.system
def test_a_value_that_only_fits_compressed_is_set_aside_cut(stream):
    with clients.producer(stream.settings, compression_type="gzip",
                          max_request_size=10_000_000) as producer:
        producer.send(stream.settings.topic_transactions, b"x" * 8_000_000, b"C1")
    stream.scorer()
    [record] = stream.dead_letters(1)
    assert headers(record)["truncated"] == "8000002"
    assert len(record.value) > 4_000_000


def test_what_it_does_is_measured(stream):
    scorer = stream.scorer()
    stream.send(payments(100))
    stream.decisions(100)
    counted = eventually(lambda: (
        found := scorer.metrics()).get(("fraud_stream_lag_messages", "0")) == 0 and found)
    assert counted["fraud_stream_messages_total",] == 100
    assert counted["fraud_stream_latency_seconds_count",] == 100
    assert counted["fraud_stream_batch_messages_sum",] == 100
    assert sum(value for key, value in counted.items()
               if key[0] == "fraud_decisions_total") == 100


@pytest.mark.parametrize(("arguments", "settings", "says"), [
    ([], {"FRAUD_HISTORY": "memory://"}, "use redis://..., or --demo"),
    (["--api", "ftp://host"], {}, "--api is 'ftp://host'"),
    ([], {"FRAUD_STREAM_BATCH": "none"}, "FRAUD_STREAM_BATCH is 'none'"),
    ([], {"FRAUD_MODEL": "nowhere"}, "FRAUD_MODEL is 'nowhere'"),
    (["--demo"], {"FRAUD_TOPIC_DECISIONS": "no-topic"}, "python -m stream.topics"),
])
def test_what_cannot_work_is_one_line(stream, arguments, settings, says):
    done = subprocess.run(
        [sys.executable, "-m", "stream.scorer", *arguments], capture_output=True, text=True,
        env=environment(**{**stream.variables, **settings}), timeout=60)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert says in line
    assert "Traceback" not in done.stderr
