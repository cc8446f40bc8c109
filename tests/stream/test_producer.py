"""The replay: what is sent, and when."""

import random
import subprocess
import sys

import msgspec
import pytest
from kafka.consumer.fetcher import ConsumerRecord

from fraud.clock import HOUR_MS
from fraud.training.simulate import simulator
from fraud.transaction import Transaction, parse
from stream import messages, producer
from stream.messages import Poison
from tests.stream.running import environment, headers, payment
from tests.tools import ROOT

PAYMENT = parse(msgspec.json.encode(payment(amount=3.5)))


def said(message: producer.Message) -> Transaction | Poison:
    return messages.parse_message(ConsumerRecord("t", 0, 0, 0, 0, 0, *message, [], None, 0, 0, 0))


@pytest.mark.parametrize("kind", producer.BREAKS)
def test_what_is_broken_is_broken_as_its_name_says(kind):
    read = said(producer.BREAKS[kind](PAYMENT))
    if kind == "id-reused":
        assert read.transaction_id == PAYMENT.transaction_id and read != PAYMENT
    elif kind == "event-time-ahead":
        assert read.event_time > 4e12 - 1 and read.transaction_id != PAYMENT.transaction_id
    elif kind == "unknown-type":
        assert read.type == "UNKNOWN" and read.transaction_id != PAYMENT.transaction_id
    else:
        assert read.reason == kind


def test_broken_messages_stand_beside_the_payments():
    items = list(producer.messages([PAYMENT] * 1_000, 0.2, list(producer.BREAKS),
                                   random.Random(1)))
    whole = [message for _, kind, message in items if kind is None]
    assert len(whole) == 1_000 and {said(message) for message in whole[:1]} == {PAYMENT}
    assert 150 < len(items) - 1_000 < 250
    assert {kind for _, kind, _ in items} == {None, *producer.BREAKS}


@pytest.mark.parametrize(("rate", "speedup", "seconds"), [
    (None, None, 0), (50, None, 2), (None, 60, 1), (None, 0.5, 120)])
def test_messages_are_due_by_rate_or_by_event_time(rate, speedup, seconds):
    assert producer.due(100, 60_000, rate, speedup) == seconds


@pytest.mark.parametrize("now", [simulator.START, simulator.START + 10 * HOUR_MS + 1])
@pytest.mark.parametrize("last", [simulator.START - 5, simulator.START + 3 * HOUR_MS + 7])
def test_shifted_payments_keep_their_buckets_and_end_just_before_now(now, last):
    shift = producer.shift_to(now, last)
    assert shift % HOUR_MS == 0
    assert now - HOUR_MS < last + shift <= now


def test_a_replay_reaches_the_scorer(stream):
    stream.scorer(FRAUD_CLOCK="wall")
    done = subprocess.run(
        [sys.executable, "stream/producer.py", "--rows", "10000", "--limit", "2000",
         "--corrupt", "0.02", "--shift-to-now"], cwd=ROOT, text=True, capture_output=True,
        env={**environment(**stream.variables), "PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    total, broken = (int(word) for word in (
        done.stdout.split()[0].replace(",", ""), done.stdout.split("second; ")[1].split()[0]))
    assert 2_000 + broken == total
    dead = stream.dead_letters(broken)
    assert len(stream.decisions(2_000)) == 2_000
    assert {headers(record)["reason"] for record in dead} <= producer.BREAKS.keys()
    assert len(dead) == broken


def test_a_file_that_is_not_there_is_one_line(stream):
    done = subprocess.run([sys.executable, "stream/producer.py", "--transactions", "no.csv"],
                          cwd=ROOT, text=True, capture_output=True,
                          env=environment(**stream.variables))
    assert done.returncode == 2
    assert done.stderr.startswith("error: no.csv")
