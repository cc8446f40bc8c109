import math

import numpy as np
from hypothesis import given, strategies as st

from fraud.training.evaluation.incidents import IncidentOutcomes, incident_outcomes

MINUTE = 60_000

# Of each fraud in event order: incident, minute, amount, whether it was flagged.
FRAUDS = [
    ("a", 0, 100.0, False),      # missed
    ("b", 1, 10.0, True),        # stopped at once
    ("a", 6, 200.0, True),       # stopped, 6 minutes after a began
    ("c", 7, 50.0, False),       # never stopped
    ("b", 8, 1_000.0, True),     # would not have happened
    ("a", 9, 2_000.0, False),    # would not have happened
    ("c", 9, 60.0, False),       # never stopped
    ("d", 10, 5.0, False),       # missed
    ("d", 30, 7.0, True),        # stopped, 20 minutes after d began
    ("d", 31, 3.0, True),        # would not have happened
]

legs = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 100), st.integers(1, 1_000),
                          st.booleans()), max_size=20).map(
    lambda rows: sorted(rows, key=lambda row: row[1]))


def outcome_of(frauds) -> IncidentOutcomes:
    names, minutes, amounts, flagged = zip(*frauds, strict=True) if frauds else ((), (), (), ())
    return incident_outcomes(np.array(names, object), np.array(minutes, np.int64) * MINUTE,
                             np.array(amounts, np.float64), np.array(flagged, bool))


def test_an_incident_is_followed_to_its_first_flagged_payment_and_no_further():
    assert outcome_of(FRAUDS) == IncidentOutcomes(
        incidents=4, stopped=3, money_stopped=10.0 + 200.0 + 7.0,
        money_missed=100.0 + 50.0 + 60.0 + 5.0, median_minutes_to_detection=6.0)


def test_later_payments_of_a_stopped_incident_change_nothing():
    later = [("a", 40, 9e9, False), ("b", 41, 9e9, True)]
    assert outcome_of(FRAUDS + later) == outcome_of(FRAUDS)


def test_where_nothing_is_flagged_all_is_missed_and_no_time_is_told():
    found = outcome_of([(name, minute, money, False) for name, minute, money, _ in FRAUDS])
    assert found[:4] == (4, 0, 0.0, sum(money for _, _, money, _ in FRAUDS))
    assert math.isnan(found.median_minutes_to_detection)


def test_where_all_is_flagged_only_first_payments_count_and_the_time_is_zero():
    found = outcome_of([(name, minute, money, True) for name, minute, money, _ in FRAUDS])
    assert found == (4, 4, 100.0 + 10.0 + 50.0 + 5.0, 0.0, 0.0)


def test_a_period_without_fraud_has_no_outcome():
    assert outcome_of([])[:4] == (0, 0, 0.0, 0.0)


@given(legs)
def test_outcomes_add_up_incident_by_incident(frauds):
    whole = outcome_of(frauds)
    parts = [outcome_of([fraud for fraud in frauds if fraud[0] == name])
             for name in {fraud[0] for fraud in frauds}]
    assert whole.incidents == len(parts)
    for number in range(1, 4):
        assert whole[number] == sum(part[number] for part in parts)
    times = [part.median_minutes_to_detection for part in parts if part.stopped]
    assert not times or whole.median_minutes_to_detection == np.median(times)


@given(legs)
def test_money_is_counted_once_at_most(frauds):
    found = outcome_of(frauds)
    assert found.money_stopped + found.money_missed <= sum(money for _, _, money, _ in frauds)
    assert 0 <= found.stopped <= found.incidents
