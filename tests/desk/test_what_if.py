"""Sliders give thresholds, and thresholds give what a count by hand gives."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies as st

from desk import what_if
from desk.what_if import LoggedPayments, WhatIfError
from fraud.bundle import Policy, Thresholds

BY_LOSS = Thresholds(review=100.0, decline=0.9, review_by="loss")
PAYMENTS = LoggedPayments(
    np.array([0.95, 0.5, 0.5, 0.01, 0.95]), np.array([100.0, 1_000.0, 10.0, 50.0, 10.0]),
    np.array([1, 0, 1, 1, -1]), 2.0, 0.0)


def test_effects_are_counted():
    effects = what_if.try_thresholds(PAYMENTS, BY_LOSS)
    assert (effects.declines_per_day, effects.reviews_per_day) == (1.0, 0.5)
    assert (effects.precision, effects.recall, effects.labelled) == (0.5, 1 / 3, 4)
    assert (effects.stopped, effects.missed, effects.held_up) == (100.0, 60.0, 1_000.0)


def test_without_labels_shares_are_unknown():
    effects = what_if.try_thresholds(
        LoggedPayments(np.array([0.5]), np.array([1.0]), np.array([-1]), 1.0, 0.0), BY_LOSS)
    assert (effects.precision, effects.recall) == (None, None)


@given(st.integers(0, what_if.STEPS), st.integers(0, what_if.STEPS),
       st.sampled_from(["loss", "score"]))
def test_a_slider_stays_where_it_was_put(review, decline, review_by):
    before = Thresholds(review=0.1, decline=0.5, review_by=review_by)
    thresholds = what_if.chosen({"review": str(review), "decline": str(decline)}, before)
    steps = what_if.steps(thresholds)
    assert abs(steps["decline"] - decline) <= 1
    if review_by == "loss" or review <= decline:
        assert abs(steps["review"] - review) <= 1


@pytest.mark.parametrize("value", ["-1", "1001", "x", "1" * 400])
def test_a_value_that_no_slider_has_is_an_error(value):
    with pytest.raises(WhatIfError):
        what_if.chosen({"review": value}, BY_LOSS)


def test_the_next_policy_keeps_what_the_sliders_do_not_move():
    policy = Policy("7", BY_LOSS, BY_LOSS, 150.0)
    changed = what_if.next_policy(policy, msgspec.structs.replace(BY_LOSS, decline=0.8))
    assert (changed.fallback, changed.alerts_per_day) == (BY_LOSS, 150.0)
    assert changed.version.startswith("desk-")


def test_without_a_champion_there_are_no_thresholds(tmp_path):
    with pytest.raises(WhatIfError, match="holds no champion"):
        what_if.champion_policy(str(tmp_path))
