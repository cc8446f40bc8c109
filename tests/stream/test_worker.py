"""Exactly once, whatever happens to the scorer: killed, stopped, outlived, its store away."""

import random
import signal
import time

import pytest

from stream.worker import backoff
from tests.stream.dying import STEPS
from tests.stream.proof import exactly_once
from tests.stream.running import eventually, payments


def test_a_scorer_killed_at_each_step_doubles_and_loses_nothing(stream):
    sent = payments(3_000)
    stream.send(sent)
    for step in STEPS:
        scorer = stream.scorer(step, "2", module="tests.stream.dying", FRAUD_STREAM_BATCH="100")
        assert scorer.process.wait(30) == -signal.SIGKILL, step
    stream.scorer()
    exactly_once(stream, sent)


def test_waiting_grows_up_to_a_limit():
    waits = [backoff(failures, limit=10) for failures in range(1, 100)]
    assert all(0.05 <= wait <= 10 for wait in waits)
    assert waits[0] <= 0.2 and min(waits[10:]) >= 5
    assert len(set(waits)) > 90                         # by chance: not all at once
