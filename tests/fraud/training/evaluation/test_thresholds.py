import numpy as np
import pytest
from hypothesis import given, strategies as st

from fraud.bundle import Thresholds
from fraud.training.evaluation.thresholds import (
    BUSIEST_DAY, MARGIN, decline_threshold, f1_curve, review_threshold, with_review)
from fraud.training.features.splits import Traffic

SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.2, 0.1])
LABEL = np.array([1, 0, 1, 0, 0, 1], np.int8)
ONE_DAY = np.zeros(6, np.int64)

# Few distinct scores, so that ties are the rule.
scored = st.lists(st.tuples(st.integers(1, 19).map(lambda score: score / 20), st.integers(0, 1)),
                  min_size=1, max_size=30).map(
    lambda rows: (np.array([score for score, _ in rows]),
                  np.array([label for _, label in rows], np.int8)))


def f1_at(scores, label, threshold) -> float:
    flagged = scores >= threshold
    hits = np.count_nonzero(flagged & (label == 1))
    return 2 * hits / max(1, np.count_nonzero(flagged) + np.count_nonzero(label))


def alerts_by_day(scores, day, days, threshold) -> np.ndarray:
    return np.bincount(day[scores >= threshold], minlength=days)


@given(scored)
def test_the_f1_curve_is_f1_at_each_score_that_a_threshold_can_tell_apart(rows):
    scores, label = rows
    curve = f1_curve(scores, label)
    descending = np.sort(scores)[::-1]
    for place, score in enumerate(descending):
        last_of_tie = place + 1 == scores.size or descending[place + 1] < score
        assert curve[place] == pytest.approx(f1_at(scores, label, score) if last_of_tie else 0.0)


@given(scored)
def test_the_decline_threshold_attains_the_highest_expected_f1(rows):
    scores, _ = rows

    def expected_f1(threshold):
        flagged = scores >= threshold
        return 2 * scores[flagged].sum() / (np.count_nonzero(flagged) + scores.sum())

    best = max(expected_f1(score) for score in scores)
    assert expected_f1(decline_threshold(scores)) == pytest.approx(best)


def test_the_best_threshold_of_calibrated_scores_is_half_of_the_f1_that_it_reaches():
    scores = np.random.default_rng(7).beta(0.05, 2.0, 200_000)
    threshold = decline_threshold(scores)
    flagged = scores >= threshold
    f1 = 2 * scores[flagged].sum() / (np.count_nonzero(flagged) + scores.sum())
    assert threshold == pytest.approx(f1 / 2, rel=0.01)


@given(scored, st.floats(0, 40))
def test_one_day_has_no_more_alerts_than_the_budget_and_wastes_none(rows, budget):
    scores, _ = rows
    day = np.zeros(scores.size, np.int64)
    threshold = review_threshold(scores, day, 1, budget, 1.0)
    assert 0 <= threshold <= 1
    assert (scores >= threshold).sum() <= budget
    lower = scores[scores < threshold]
    assert not lower.size or (scores >= lower.max()).sum() > min(budget, int(2 * budget))


@given(scored, st.integers(2, 5), st.integers(0, 8), st.randoms(use_true_random=False))
def test_a_budget_holds_on_average_and_on_the_busiest_day(rows, days, budget, random):
    scores, _ = rows
    day = np.array([random.randrange(days) for _ in scores])
    threshold = review_threshold(scores, day, days, budget, 1.0)
    alerts = alerts_by_day(scores, day, days, threshold)
    assert alerts.mean() + MARGIN * alerts.std(ddof=1) <= budget + 1e-9
    assert alerts.max() <= BUSIEST_DAY * budget


def test_days_that_differ_leave_a_margin():
    scores = np.linspace(1, 0, 4_001)[:-1]
    even, uneven = np.arange(4_000) % 4, np.where(np.arange(4_000) % 5 < 2, 0,
                                                  np.arange(4_000) % 4)
    of_even = alerts_by_day(scores, even, 4, review_threshold(scores, even, 4, 100, 1.0))
    assert of_even.min() >= 99 and of_even.max() <= 100
    of_uneven = alerts_by_day(scores, uneven, 4, review_threshold(scores, uneven, 4, 100, 1.0))
    assert 50 < of_uneven.mean() < 75 and of_uneven.max() <= 150


def test_thresholds_lie_midway_between_scores():
    assert decline_threshold(SCORES) == pytest.approx((0.4 + 0.2) / 2)
    assert review_threshold(SCORES, ONE_DAY, 1, 4, 1.0) == pytest.approx((0.4 + 0.2) / 2)


def test_the_lowest_score_can_be_reached_too():
    assert review_threshold(SCORES, ONE_DAY, 1, 1000, 1.0) == pytest.approx(0.05)


def test_nothing_is_an_alert_where_all_payments_have_one_score():
    assert review_threshold(np.full(6, 0.5), ONE_DAY, 1, 3, 1.0) == 1.0


def traffic(amounts) -> Traffic:
    return Traffic(np.array(amounts, float), ONE_DAY, 1)


def test_reviews_by_loss_fill_the_budget_with_the_largest_losses_after_the_declines():
    amounts = [1, 1, 1, 10, 100, 1_000]         # losses of the last four: 0.7, 4, 20, 100
    by_loss = with_review(Thresholds(0, 0.75, "loss"), SCORES, traffic(amounts), 4)
    reviewed, declined = by_loss.alerts(SCORES, np.array(amounts, float))
    assert declined.tolist() == [True, True, False, False, False, False]
    assert reviewed.tolist() == [False, False, False, False, True, True]
    assert by_loss.review == pytest.approx((20 + 4) / 2)


def test_a_payment_too_small_to_decline_takes_part_in_reviews():
    amounts = [9, 1, 9, 9, 9, 9]
    levels = with_review(Thresholds(0, 0.5, decline_from=5.0), SCORES, traffic(amounts), 3)
    reviewed, declined = levels.alerts(SCORES, np.array(amounts, float))
    assert np.flatnonzero(declined).tolist() == [0, 2] and np.flatnonzero(reviewed).tolist() == [1]


@pytest.mark.parametrize("by", ["score", "loss"])
def test_nothing_is_reviewed_where_declines_alone_exceed_the_budget(by):
    levels = with_review(Thresholds(0, 0.3, by), SCORES, traffic([10.0] * 6), 2)
    reviewed, declined = levels.alerts(SCORES, np.full(6, 10.0))
    assert declined.sum() == 4 and not reviewed.any()
