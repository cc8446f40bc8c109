import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from monitoring.sequential import Rate, log_evidence

BOUND = math.log(1 / 0.05)
counts = st.integers(0, 10_000)


def test_the_ratio_is_that_of_the_mixture_in_numbers():
    # One event, on our side, of equal sides: the mean of 2p over p from 0.5 to 1.
    assert log_evidence(Rate(1, 10), Rate(0, 10), 1.0) == pytest.approx(math.log(1.5))
    # None at all say nothing; one on the other side speaks against it.
    assert log_evidence(Rate(0, 10), Rate(0, 90), 1.0) == pytest.approx(0.0, abs=1e-12)
    assert log_evidence(Rate(0, 10), Rate(1, 90), 1.0) < 0


def test_without_trials_on_a_side_there_is_no_evidence():
    assert log_evidence(Rate(0, 0), Rate(5, 10), 1.0) == 0.0
    assert log_evidence(Rate(5, 10), Rate(0, 0), 1.0) == 0.0
    assert math.isnan(Rate(0, 0).share)


@given(counts, counts, st.floats(0.1, 10))
def test_evidence_grows_with_our_events_and_only_an_excess_is_evidence(ours, theirs, most):
    """An event on our side is more probable for all probabilities of the mixture than for the
    tolerated one. Far below that one, numbers are too small to be exact, and say nothing."""
    fewer, more = (log_evidence(Rate(events, 20_000), Rate(theirs, 20_000), most)
                   for events in (ours, ours + 10))
    assert not math.isnan(fewer) and (more > fewer or more < 0)
    assert fewer < BOUND or ours > most * theirs


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_looks_without_end_seldom_find_equal_rates_unequal(share):
    """Ville's inequality: at most 5 % of the runs ever exceed the bound, here of 400 with a look at
    each event. Three standard errors are allowed."""
    rng, exceeded = np.random.default_rng(3), 0
    for _ in range(400):
        ours = np.cumsum(rng.random(300) < share)
        exceeded += any(
            log_evidence(Rate(float(mine), 1e6 * share),
                         Rate(float(number - mine), 1e6 * (1 - share)), 1.0) >= BOUND
            for number, mine in enumerate(ours[::3], 1) if number * 3 >= mine
            for number in (number * 3 - 2,))
    assert exceeded / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


def test_a_tolerated_excess_is_no_evidence():
    for most in (1.25, 2.0):
        assert log_evidence(Rate(1_000 * most, 1e6), Rate(9_000, 9e6), most) < 1
        assert log_evidence(Rate(1_300 * most, 1e6), Rate(9_000, 9e6), most) > 10


def test_grouped_events_weigh_less():
    single, grouped = (log_evidence(Rate(90, 1e5), Rate(300, 9e5), 1.25, group)
                       for group in (1.0, 3.0))
    assert 0 < grouped < single / 2
