import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies as st

from fraud.bundle import HIGHEST_RANK, Thresholds

BY_LOSS = Thresholds(review=5_000.0, decline=0.75, review_by="loss", decline_from=1_000.0)
thresholds = st.builds(
    lambda review, decline, by, floor: Thresholds(
        min(review, decline) if by == "score" else review * 1_000, decline, by, floor),
    st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.sampled_from([0.25, 0.5, 1.0]),
    st.sampled_from(["score", "loss"]), st.sampled_from([0.0, 100.0, 1_000.0]))
payments = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10 ** 14)), min_size=1, max_size=20)


@pytest.mark.parametrize(("score", "decision"), [
    (0.0, "approve"), (np.nextafter(0.25, 0), "approve"), (0.25, "review"),
    (np.nextafter(0.75, 0), "review"), (0.75, "decline"), (1.0, "decline")])
def test_a_score_at_a_threshold_exceeds_it(score, decision):
    assert Thresholds(review=0.25, decline=0.75).decide(score, 100) == decision


def test_equal_thresholds_review_nothing():
    equal = Thresholds(review=0.5, decline=0.5)
    assert [equal.decide(score, 100) for score in (0.49, 0.5)] == ["approve", "decline"]


@pytest.mark.parametrize(("score", "amount", "decision"), [
    (0.75, 1_000, "decline"), (0.75, 999.99, "approve"), (1.0, 999.99, "approve"),
    (0.5, 10_000, "review"), (0.5, 9_999.98, "approve"), (0.01, 500_000, "review"),
    (0.0, 10 ** 12, "approve")])
def test_a_review_by_loss_weighs_the_amount_and_a_small_payment_is_not_declined(
        score, amount, decision):
    assert BY_LOSS.decide(score, round(amount * 100)) == decision


def test_by_score_a_small_payment_with_a_high_score_is_reviewed():
    assert Thresholds(0.5, 0.75, decline_from=100.0).decide(0.9, 9_999) == "review"
    assert Thresholds(0.5, 0.75, decline_from=100.0).decide(0.9, 10_000) == "decline"


def test_thresholds_of_zero_decline_everything():
    everything = Thresholds(review=0.0, decline=0.0)
    assert everything.decide(0.0, 0) == "decline"
    assert everything.alerts(np.zeros(1), np.zeros(1))[1].tolist() == [True]


def test_arrays_at_both_levels_are_declined_as_single_payments_are():
    levels = Thresholds(0.5, 0.75, decline_from=100.0)
    scores, amounts = np.array([0.75, 0.75, 0.7]), np.array([100.0, 99.99, 100.0])
    assert levels.alerts(scores, amounts)[1].tolist() == [True, False, False]


@given(thresholds, payments)
def test_arrays_and_single_payments_get_the_same_decisions(levels, rows):
    scores, cents = (np.array(column) for column in zip(*rows, strict=True))
    reviewed, declined = levels.alerts(scores, cents / 100)
    names = np.where(declined, "decline", np.where(reviewed, "review", "approve")).tolist()
    assert names == [levels.decide(score, amount) for score, amount in rows]
    assert not (reviewed & declined).any()


@given(thresholds, payments)
def test_declined_payments_come_first_then_those_to_review(levels, rows):
    scores, cents = (np.array(column) for column in zip(*rows, strict=True))
    amounts = cents / 100
    reviewed, declined = levels.alerts(scores, amounts)
    ranks = levels.priorities(scores, amounts)
    assert (ranks[declined] == HIGHEST_RANK[levels.review_by]).all()
    assert (ranks <= HIGHEST_RANK[levels.review_by]).all()
    others = ranks[~declined & ~reviewed]
    assert not others.size or not reviewed.any() or ranks[reviewed].min() > others.max()


@pytest.mark.parametrize(("changes", "problem"), [
    ({"review": 0.6, "decline": 0.5}, "review must be from 0 to 0.5 by score, not 0.6"),
    ({"review": -0.1}, "review must be from 0 to 0.75 by score, not -0.1"),
    ({"review": 2e12, "review_by": "loss"}, "review must be from 0 to 1e+12 by loss"),
    ({"decline": 1.1}, "decline must be from 0 to 1, not 1.1"),
    ({"decline_from": -1.0}, "decline_from must not be negative, but is -1.0"),
    ({"review_by": "amount"}, "Invalid enum value 'amount'")])
def test_levels_that_cannot_work_are_refused(changes, problem):
    levels = {"review": 0.5, "decline": 0.75, **changes}
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(levels, Thresholds)
    assert problem in str(caught.value)
