"""Exactly once, whatever happens to scorers: killed, stopped, replaced, their store unavailable."""

import itertools
import os
import random
import signal
import time
from collections import Counter
from threading import Event, Thread
from types import SimpleNamespace

import msgspec
import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError, KafkaTimeoutError

from fraud.training.registry import publication
from stream import positions
from stream.scoring import InProcess
from stream.worker import Worker
from tests.stream.dying import LABEL_STEPS, STEPS
from tests.stream.proof import all_take_part, exactly_once, labels_once
from tests.stream.running import (
    PARTITIONS, SESSION_MS, eventually, headers, labels_of, payments, source)

DYING = "tests.stream.dying"
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def test_a_scorer_killed_at_each_step_doubles_and_loses_nothing(
        broker, make_stream, redis_url, busy_folder, tmp_path):
    """Challenger, canary and rules are on, and so are labels, whose recorders are killed too."""
    stream = make_stream(broker, FRAUD_HISTORY=redis_url, FRAUD_HISTORY_DEADLINE_MS="2000",
                         FRAUD_MODEL=busy_folder, FRAUD_DECISION_LOG=str(tmp_path / "log"))
    sent = payments(3_000)
    labels = labels_of(sent)
    stream.send(sent)
    stream.send_labels(*labels)
    die_at_each_step(stream, 100)
    stream.scorer()
    stream.recorder()
    exactly_once(stream, sent)
    all_take_part(stream, sent)
    labels_once(stream, labels)


def die_at_each_step(stream, batch: int) -> None:
    """Scorers and recorders kill themselves in their second batch, one after the other."""
    for step in (*STEPS, *LABEL_STEPS):
        dying = stream.scorer("SIGKILL", step, "2", module=DYING, FRAUD_STREAM_BATCH=str(batch))
        assert dying.process.wait(60) == -signal.SIGKILL, step


@pytest.mark.parametrize("step", [
    "after-poll", pytest.param("before-commit", marks=pytest.mark.system)])
def test_a_scorer_stopped_past_its_session_commits_nothing_when_it_goes_on(stream, step):
    sent = payments(2_000)
    stream.send(sent)
    stopped = stream.scorer("SIGSTOP", step, "2", module=DYING, FRAUD_STREAM_BATCH="100")
    eventually(lambda: os.waitid(os.P_PID, stopped.process.pid, os.WSTOPPED | os.WNOHANG))
    stream.scorer()
    stream.decisions(len(sent))                 # the other took over all of it
    stopped.kill(signal.SIGCONT)
    eventually(lambda: stopped.said("resuming after the last commit"))
    more = payments(500, start=len(sent))
    eventually(lambda: len(stopped.partitions()) == PARTITIONS // 2)    # it is a member again
    stream.send(more)
    exactly_once(stream, sent + more)


def test_of_two_scorers_the_other_takes_over_within_the_session(stream):
    sent = payments(1_000)
    one, other = stream.scorer(), stream.scorer()
    eventually(lambda: len(one.partitions()) == len(other.partitions()) == PARTITIONS // 2)
    assert one.partitions() | other.partitions() == {"0", "1", "2", "3"}
    stream.send(sent[:500])
    one.kill()
    killed = time.monotonic()
    stream.send(sent[500:])
    exactly_once(stream, sent)
    assert time.monotonic() - killed < SESSION_MS / 1000 + 3
    assert other.partitions() == {"0", "1", "2", "3"}


@pytest.mark.system
def test_a_scorer_that_is_asked_to_stop_finishes_its_batch_and_leaves_at_once(stream):
    sent = payments(3_000)
    stream.send(sent)
    scorer = stream.scorer(FRAUD_STREAM_BATCH="50")
    stream.decisions(100)
    assert scorer.stop() == 0
    stream.scorer()
    exactly_once(stream, sent)


def test_an_unavailable_store_postpones_scoring(broker, make_stream, own_redis):
    store = own_redis(*DURABLE)
    stream = make_stream(broker, FRAUD_HISTORY=store.url, FRAUD_STREAM_BATCH="50",
                         FRAUD_HISTORY_DEADLINE_MS="500")
    sent = payments(3_000)
    scorer = stream.scorer()
    stream.send(sent[:1_500])
    stream.decisions(100)
    store.kill()
    stream.send(sent[1_500:])
    eventually(lambda: scorer.said("scoring is postponed"))
    time.sleep(SESSION_MS / 1000)                       # it stays in the group all the time
    store.start()
    exactly_once(stream, sent)
    assert scorer.process.poll() is None
    assert not scorer.said("resuming after")
    assert scorer.metrics()["fraud_stream_outages_total",] > 0


@pytest.mark.system
def test_a_new_champion_is_taken_up_between_batches(stream, tmp_path, make_bundle):
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version)
    publication.publish(tmp_path / "1", "fraud-detector", str(tmp_path / "models"))
    stream.scorer(FRAUD_MODEL=str(tmp_path / "models"), FRAUD_MODEL_REFRESH_SECONDS="0.1")
    sent = payments(1_000)
    stream.send(sent[:500])
    stream.decisions(500)
    publication.publish(tmp_path / "2", "fraud-detector", str(tmp_path / "models"))
    time.sleep(1)
    stream.send(sent[500:])
    exactly_once(stream, sent)
    versions = [msgspec.json.decode(record.value)["model_version"]
                for record in stream.decisions(1_000)]
    assert versions.count("1") == versions.count("2") == 500


@pytest.mark.system
def test_a_scorer_outlives_its_broker_and_stops_in_time_without_it(make_stream, own_broker,
                                                                   redis_url):
    stream = make_stream(own_broker.address, FRAUD_HISTORY=redis_url, FRAUD_DRAIN_SECONDS="3")
    sent = payments(1_000)
    scorer = stream.scorer()
    stream.send(sent[:500])
    stream.decisions(500)
    own_broker.kill()
    time.sleep(2 * SESSION_MS / 1000)
    own_broker.start()
    stream.send(sent[500:])
    exactly_once(stream, sent)
    assert scorer.process.poll() is None
    own_broker.kill()
    asked = time.monotonic()
    assert scorer.stop() in (0, 1)
    assert time.monotonic() - asked < 5


@pytest.mark.system
def test_a_broker_that_returns_at_another_address_is_found(moving):
    stream, move = moving
    sent = payments(600)
    scorer = stream.scorer()
    stream.send(sent[:300])
    stream.decisions(300)
    move()
    stream.send(sent[300:])
    exactly_once(stream, sent)
    assert scorer.process.poll() is None


@pytest.mark.system
@pytest.mark.parametrize("loss", ["raise socket.gaierror(-3, 'no DNS')", "time.sleep(3)"])
def test_a_scorer_outlives_dns(make_stream, own_broker, redis_url, tmp_path, loss):
    (tmp_path / "sitecustomize.py").write_text(LOST_DNS.format(lost=tmp_path / "lost", loss=loss))
    stream = make_stream(own_broker.address, FRAUD_HISTORY=redis_url,
                         FRAUD_HISTORY_DEADLINE_MS="2000")
    sent = payments(600)
    scorer = stream.scorer(
        KAFKA_BOOTSTRAP_SERVERS=own_broker.address.replace("127.0.0.1", "kafka.test"),
        PYTHONPATH=f"{tmp_path}:{os.getcwd()}")
    stream.send(sent[:300])
    stream.decisions(300)
    (tmp_path / "lost").touch()
    own_broker.kill()
    own_broker.start()
    eventually(lambda: scorer.said("resuming after the last commit"))
    time.sleep(SESSION_MS / 1000)
    (tmp_path / "lost").unlink()
    stream.renew_producer()
    stream.send(sent[300:])
    exactly_once(stream, sent)
    assert scorer.process.poll() is None


LOST_DNS = """
import os, socket, time
answer = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if os.path.exists("{lost}"):
        {loss}
    return answer("127.0.0.1" if host == "kafka.test" else host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture
def run_here(stream):
    """Runs a scorer in a thread of this process, so that its clients can be made to fail."""
    stop, threads = Event(), []

    def run() -> None:
        backend = InProcess(msgspec.structs.replace(stream.settings, decision_log=os.devnull))
        threads.append(Thread(target=Worker(stream.settings, backend).run, args=[stop]))
        threads[-1].start()

    yield run
    stop.set()
    for thread in threads:
        thread.join()


def failing(call, times: int, error: Exception):
    """A scorer's method that fails in its second call and the following ones, so many times."""
    calls = itertools.count(1)

    def fail(consumer, *arguments, **options):
        if consumer.config["group_id"] and 2 <= next(calls) < 2 + times:
            raise error
        return call(consumer, *arguments, **options)

    return fail


def test_a_batch_that_cannot_be_done_in_time_is_done_in_parts(stream, run_here, monkeypatch):
    produce, sizes = Worker.produce, []

    def produce_few(worker, producer, batch, outputs):
        sizes.append(len(batch.records))
        produce(worker, producer, batch, outputs)
        if len(batch.records) > 100:
            raise KafkaTimeoutError("the transaction expired")

    monkeypatch.setattr(Worker, "produce", produce_few)
    sent = payments(300)
    stream.send(sent)
    run_here()
    exactly_once(stream, sent)
    assert max(sizes) > 100


@pytest.mark.parametrize("error", [OSError("defect"), KeyError("defect"), KafkaError("defect")])
def test_errors_of_the_clients_that_are_not_kafkas_are_recovered_from_too(
        stream, run_here, monkeypatch, error):
    monkeypatch.setattr(KafkaConsumer, "poll", failing(KafkaConsumer.poll, 2, error))
    sent = payments(200)
    stream.send(sent)
    run_here()
    exactly_once(stream, sent)


def test_a_lag_that_cannot_be_measured_costs_no_batch(stream, run_here, monkeypatch):
    end_offsets, aborted = KafkaConsumer.end_offsets, Counter()
    monkeypatch.setattr(KafkaConsumer, "end_offsets",
                        failing(end_offsets, 1_000, RuntimeError("no lag")))
    monkeypatch.setattr("stream.metrics.ABORTED", SimpleNamespace(
        labels=lambda name: SimpleNamespace(inc=lambda: aborted.update([name]))))
    sent = payments(200)
    run_here()
    stream.send(sent[:100])
    stream.decisions(100)
    time.sleep(2 * positions.LAG_MS / 1_000)
    stream.send(sent[100:])
    exactly_once(stream, sent)
    assert not aborted


def test_records_that_fail_their_checksum_are_set_aside_and_the_partition_moves_on(
        make_stream, own_broker, redis_url, tmp_path):
    stream = make_stream(own_broker.address, FRAUD_HISTORY=redis_url,
                         FRAUD_HISTORY_DEADLINE_MS="2000")
    for number in range(3):         # batches of three records, all in one partition
        for item in payments(3, start=3 * number):
            stream.send_raw(msgspec.json.encode(item), item["origin"].encode(), 0)
        stream.renew_producer()
    own_broker.stop()
    [segment] = (tmp_path / "kafka/data").glob(f"{stream.settings.topic_transactions}-0/*0.log")
    content = bytearray(segment.read_bytes())
    broken = content.index(b'"t-4"') + 1
    content[broken] ^= 1
    segment.write_bytes(content)
    own_broker.start()
    scorer = stream.scorer()
    letters = stream.dead_letters(3)
    assert [(headers(letter)["reason"], source(letter)) for letter in letters] == [
        ("corrupt", (0, offset)) for offset in (3, 4, 5)]
    assert all("send the payment again" in headers(letter)["detail"] for letter in letters)
    answered = [msgspec.json.decode(record.value)["transaction_id"]
                for record in stream.decisions(6)]
    assert answered == ["t-0", "t-1", "t-2", "t-6", "t-7", "t-8"]
    assert scorer.stop() == 0
    stream.scorer()                                     # nothing is left to do
    assert len(stream.dead_letters(3)) == 3 and len(stream.decisions(6)) == 6


@pytest.mark.system
@pytest.mark.acceptance
def test_crash_proof(make_stream, own_broker, own_redis, busy_folder, tmp_path, acceptance,
                     record_property):
    """Kills at random and at each step, a restart of the broker and one of the store, under load.

    Challenger, canary and rules are on, and labels arrive between payments; their recorders are
    killed as scorers are. Its long form is make crash-proof.
    """
    count, kills = (50_000, 20) if acceptance else (10_000, 6)
    record_property("messages", count)
    record_property("kills", 2 * kills + len(STEPS) + len(LABEL_STEPS))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    store = own_redis(*DURABLE)
    stream = make_stream(own_broker.address, FRAUD_HISTORY=store.url,
                         FRAUD_HISTORY_DEADLINE_MS="500", FRAUD_MODEL=busy_folder,
                         FRAUD_DECISION_LOG=str(tmp_path / "log"))
    sent, labels = payments(count, accounts=500), []
    share = count // (kills + 1)

    def send(part: list[dict]) -> None:
        stream.send(part)
        labels.extend(given := labels_of(part))
        stream.send_labels(*given)

    for number in range(kills):
        send(sent[number * share:(number + 1) * share])
        scorer = stream.scorer(FRAUD_STREAM_BATCH="20")     # small: it is killed at work
        recorder = stream.recorder(FRAUD_STREAM_BATCH="20")
        time.sleep(dice.uniform(1, 4))
        if number == kills // 3:
            own_broker.kill()
            own_broker.start()
        if number == 2 * kills // 3:
            store.kill()
            store.start()
        for program in dice.sample([scorer, recorder], 2):
            time.sleep(dice.uniform(0, 1))
            program.kill()
    send(sent[kills * share:])
    die_at_each_step(stream, 20)
    stream.scorer()
    stream.recorder()
    exactly_once(stream, sent, seconds=300)
    all_take_part(stream, sent)
    labels_once(stream, labels, seconds=300)
