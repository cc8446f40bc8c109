import numpy as np
import pytest

from fraud.clock import DAY_MS, HOUR_MS
from fraud.windows import WINDOWS, day_of, hour_of, known_windows, window_starts
from tests.factories import NOON

STARTS = (NOON - HOUR_MS, NOON - 23 * HOUR_MS, NOON - 12 * HOUR_MS - 6 * DAY_MS,
          NOON - 12 * HOUR_MS - 29 * DAY_MS)


@pytest.mark.parametrize("event_time", [NOON, NOON + HOUR_MS - 1])
def test_windows_begin_with_a_bucket_and_end_with_that_of_the_payment(event_time):
    assert window_starts(event_time) == STARTS
    assert hour_of(event_time) * HOUR_MS == NOON
    assert day_of(event_time) * DAY_MS == NOON - 12 * HOUR_MS


@pytest.mark.parametrize("number", range(1, len(WINDOWS) + 1))
def test_a_window_is_known_if_recording_began_with_it_or_before(number):
    start = STARTS[number - 1]
    assert known_windows(start, NOON) == number
    assert known_windows(start + 1, NOON) == number - 1


def test_arrays_have_the_same_known_windows_as_integers():
    since = np.array([start + late for start in STARTS for late in (0, 1)])
    known = known_windows(since, np.full(len(since), NOON))
    assert known.dtype == np.int64
    assert known.tolist() == [known_windows(int(moment), NOON) for moment in since]
