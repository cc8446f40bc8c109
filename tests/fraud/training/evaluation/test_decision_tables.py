import numpy as np
import pytest

from fraud.bundle import Thresholds
from fraud.clock import DAY_MS
from fraud.training.evaluation.decision_tables import (
    DayCounts, DecisionCounts, day_counts, decision_counts, threshold_rows)
from fraud.training.features.splits import Rows
from tests.factories import stored

SCORES = np.array([0.95, 0.6, 0.6, 0.1, 0.1, 0.9])
THRESHOLDS = Thresholds(0.5, 0.9)


@pytest.fixture
def rows() -> Rows:
    """Five payments of one day and one two days later, three of them fraud."""
    return Rows(features=stored(np.zeros((6, 1), np.float32), ["amount"]),
                label=np.array([1, 1, 0, 1, 0, 0], np.int8),
                event_time=1_000 + np.array([0, 1, 2, 3, DAY_MS - 1, 2 * DAY_MS]),
                amount=np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), type=np.array(["TRANSFER"] * 6),
                incident=np.array(["i"] * 6), fraud_type=np.array([None] * 6), days=3.0)


def test_decisions_are_counted_by_label_in_payments_and_money(rows):
    assert decision_counts(SCORES, rows, THRESHOLDS) == [
        DecisionCounts("approve", 1, 1, 8.0, 16.0), DecisionCounts("review", 1, 1, 2.0, 4.0),
        DecisionCounts("decline", 1, 1, 1.0, 32.0)]


def test_each_threshold_has_its_load_and_the_money_that_it_misses(rows):
    measured = {row.threshold: row[1:] for row in threshold_rows(SCORES, rows, (0.5, 0.99))}
    assert list(measured) == sorted(measured, reverse=True)
    assert measured[0.5] == pytest.approx((4 / 3, 0.5, 2 / 3, 8.0))
    assert measured[0.9] == pytest.approx((2 / 3, 0.5, 1 / 3, 10.0))
    alerts, precision, recall, missed = measured[0.99]
    assert (alerts, recall, missed) == (0.0, 0.0, 11.0) and np.isnan(precision)


def test_days_without_payments_are_days_too(rows):
    days = day_counts(SCORES, rows, THRESHOLDS)
    assert days == [DayCounts(1_000, 5, 2, 1, 3, 2), DayCounts(1_000 + DAY_MS, 0, 0, 0, 0, 0),
                    DayCounts(1_000 + 2 * DAY_MS, 1, 0, 1, 0, 0)]
    assert [day.alerts for day in days] == [3, 0, 1]
