"""The figures of the lead agree with counts by hand."""

import math

import pytest

from desk import deciding, figures
from fraud.bundle import Thresholds
from fraud.clock import DAY_MS
from fraud.shadow import ShadowDecision
from tests.desk.running import NOW, decision, write_log

HOUR = 3_600_000


@pytest.fixture(autouse=True)
def days(intake, tmp_path):
    """Two reviews of yesterday, one of today, a sampled approval and a sampled decline."""
    write_log(tmp_path / "decisions.jsonl", *(
        decision(f"t-{number}", decided_at=NOW - age, amount_cents=100_00 * number, decision=kind,
                 shadow=ShadowDecision("2", "s", "q", Thresholds(0.5, 0.9), 0.1,
                                       "approve"))
        for number, (age, kind) in enumerate([
            (DAY_MS, "review"), (DAY_MS, "review"), (0, "review")], 1)))
    intake.read()


def test_the_queue_by_day(database, settings, ana):
    with database.writing() as session:
        deciding.decide(session, settings, ana, [1], "fraud", "", NOW)
        deciding.decide(session, settings, ana, [3], "legitimate", "", NOW)
    with database.reading() as session:
        days = figures.queue_days(session, NOW)
        assert figures.labels_by_person(session, 0) == [
            ("ana", "review", "fraud", 1), ("ana", "review", "legitimate", 1)]
        money = figures.money(session, 0)
        pairs, largest = figures.disagreements(session, 0)
    yesterday, today = days[-2:]
    assert (yesterday.opened, yesterday.backlog, yesterday.precision) == (2, 2, None)
    assert (today.opened, today.fraud, today.legitimate, today.backlog) == (1, 1, 1, 1)
    assert today.precision == 0.5
    assert today.hours == 12
    assert money["stopped by reviews"] == figures.Estimate(100.0, 100.0, 100.0, 2)
    assert money["missed in approvals"].sample == 0
    assert pairs == [("review", "approve", 3)]
    assert [payment.transaction_id for payment, _ in largest] == ["t-3", "t-2", "t-1"]


def test_wilson_agrees_with_the_published_example():
    estimate = figures.wilson(81, 263)      # Newcombe (1998), table I
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (0.2553, 0.3662)
    assert figures.wilson(0, 0) == figures.Estimate(0.0, 0.0, 1.0, 0)


def test_a_total_is_estimated_from_its_sample():
    estimate = figures.total([0.0] * 90 + [100.0] * 10, 1_000)
    assert estimate.value == 10_000
    assert estimate.low < 10_000 < estimate.high
    assert figures.total([], 5).high == math.inf
