import numpy as np
import pandas as pd
import pytest

from fraud import clock
from monitoring import days, performance
from monitoring.days import DayOutcomes

DAY = clock.DAY_MS
OUTCOMES = {"D": "decline", "R": "review", ".": "approve"}


def decided(flags: str, labels: str, hours: list[int] | None = None, incidents=None):
    """Payments of 100 each: D is declined, R reviewed; F is fraud, L legitimate, ? unlabelled."""
    rows = len(flags)
    return pd.DataFrame({
        "event_time": np.array(hours or range(rows)) * clock.HOUR_MS, "amount": 100.0,
        "decision": [OUTCOMES[flag] for flag in flags],
        "is_fraud": pd.array([{"F": 1, "L": 0}.get(label) for label in labels], dtype="Int64"),
        "incident_id": pd.array(incidents or [None] * rows, dtype="string")})


def test_a_day_counts_decisions_and_those_with_labels_apart():
    [day] = days.by_day(decided("DDDRR...", "FL?F?F?L"))
    assert (day.start, day.payments, day.declines, day.reviews) == (0, 8, 3, 2)
    assert (day.labelled, day.labelled_declines, day.labelled_reviews) == (5, 2, 1)
    assert (day.frauds, day.declined_frauds, day.reviewed_frauds) == (3, 1, 1)


def test_precision_and_recall_are_those_of_labelled_payments():
    [day] = days.by_day(decided("DDDRR...", "FL?F?F?L"))
    assert (day.decline_precision, day.review_precision) == (1 / 2, 1)
    assert (day.decline_recall, day.review_recall) == (1 / 3, 1 / 3)


def test_without_decisions_or_frauds_there_is_no_share():
    [day] = days.by_day(decided("..", "L?"))
    assert [day.decline_precision, day.review_precision, day.decline_recall,
            day.review_recall] == [None] * 4


def test_days_without_payments_are_left_out():
    found = days.by_day(decided("...", "LLL", hours=[1, 23, 49]))
    assert [(day.start, day.payments) for day in found] == [(0, 2), (2 * DAY, 1)]


def test_an_incident_belongs_to_the_day_on_which_it_began():
    first, second = days.by_day(decided(
        "..D.D", "FFFFF", hours=[20, 22, 26, 28, 30], incidents=["a", "b", "a", "a", "c"]))
    assert (first.incidents_stopped, first.incidents_missed) == (1, 1)
    assert (first.money_stopped, first.money_missed) == (100, 200)
    assert (second.incidents_stopped, second.incidents_missed) == (1, 0)
    assert (second.money_stopped, second.money_missed) == (100, 0)


def test_frauds_without_an_incident_are_separate():
    [day] = days.by_day(decided("D.", "FF"))
    assert (day.incidents_stopped, day.incidents_missed) == (1, 1)


def test_the_order_of_the_payments_does_not_matter():
    payments = decided(".D.RD.", "FF?FLF", hours=[1, 2, 30, 31, 50, 51],
                       incidents=["a", "a", None, "b", None, "b"])
    assert days.by_day(payments.iloc[::-1]) == days.by_day(payments)


def test_the_total_is_what_the_whole_period_measures():
    chance = np.random.default_rng(7)
    payments = decided("".join(chance.choice(list("DR..."), 300)),
                       "".join(chance.choice(list("FLL"), 300)),
                       incidents=[f"i{name}" for name in chance.integers(0, 40, 300)])
    total = days.total(days.by_day(payments))
    measured = performance.measure(payments, seed=7)
    assert total.start == 0 and total.payments == 300 and total.frauds == measured.frauds
    assert total.decline_precision == pytest.approx(measured.precision)
    assert total.review_recall == pytest.approx(measured.review_recall)
    for field in ("money_stopped", "money_missed", "incidents_stopped", "incidents_missed"):
        assert getattr(total, field) == getattr(measured, field) > 0


def test_the_total_of_a_day_is_that_day():
    day = DayOutcomes(DAY, *range(13))
    assert days.total([day]) == day
