"""Exactly once, whatever happens to scorers: killed, stopped, replaced, their store unavailable."""

import os
import random
import signal
import time

import msgspec
import pytest

from fraud.training.registry import publication
from stream.worker import backoff
from tests.stream.dying import STEPS
from tests.stream.proof import all_take_part, exactly_once
from tests.stream.running import PARTITIONS, SESSION_MS, eventually, payments

DYING = "tests.stream.dying"
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def test_a_scorer_killed_at_each_step_doubles_and_loses_nothing(
        broker, make_stream, redis_url, busy_folder, tmp_path):
    """Challenger, canary and rules are on."""
    stream = make_stream(broker, FRAUD_HISTORY=redis_url, FRAUD_HISTORY_DEADLINE_MS="2000",
                         FRAUD_MODEL=busy_folder, FRAUD_DECISION_LOG=str(tmp_path / "log"))
    sent = payments(3_000)
    stream.send(sent)
    for step in STEPS:
        scorer = stream.scorer("SIGKILL", step, "2", module=DYING, FRAUD_STREAM_BATCH="100")
        assert scorer.process.wait(30) == -signal.SIGKILL, step
    stream.scorer()
    exactly_once(stream, sent)
    all_take_part(stream, sent)


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


def test_waiting_grows_up_to_a_limit():
    waits = [backoff(failures, limit=10) for failures in range(1, 100)]
    assert all(0.05 <= wait <= 10 for wait in waits)
    assert waits[0] <= 0.2 and min(waits[10:]) >= 5
    assert len(set(waits)) > 90                         # by chance: not all at once


@pytest.mark.system
@pytest.mark.acceptance
def test_crash_proof(make_stream, own_broker, own_redis, busy_folder, tmp_path, acceptance,
                     record_property):
    """Kills at random and at each step, a restart of the broker and one of the store, under load.

    Challenger, canary and rules are on. Its long form is make crash-proof.
    """
    count, kills = (50_000, 20) if acceptance else (10_000, 6)
    record_property("messages", count)
    record_property("kills", kills + len(STEPS))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    store = own_redis(*DURABLE)
    stream = make_stream(own_broker.address, FRAUD_HISTORY=store.url,
                         FRAUD_HISTORY_DEADLINE_MS="500", FRAUD_MODEL=busy_folder,
                         FRAUD_DECISION_LOG=str(tmp_path / "log"))
    sent = payments(count, accounts=500)
    share = count // (kills + 1)
    for number in range(kills):
        stream.send(sent[number * share:(number + 1) * share])
        scorer = stream.scorer(FRAUD_STREAM_BATCH="20")     # small: it is killed at work
        time.sleep(dice.uniform(1, 4))
        if number == kills // 3:
            own_broker.kill()
            own_broker.start()
        if number == 2 * kills // 3:
            store.kill()
            store.start()
        time.sleep(dice.uniform(0, 2))
        scorer.kill()
    stream.send(sent[kills * share:])
    for step in STEPS:
        dying = stream.scorer("SIGKILL", step, "2", module=DYING, FRAUD_STREAM_BATCH="20")
        assert dying.process.wait(60) == -signal.SIGKILL, step
    stream.scorer()
    exactly_once(stream, sent, seconds=300)
    all_take_part(stream, sent)
