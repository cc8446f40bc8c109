"""Lengths of time, the present, and times as people read them."""

import numpy as np

from fraud import clock

MOMENT = 1_706_720_759_999      # 2024-01-31 17:05:59.999 UTC


def test_times_print_in_utc_and_are_not_rounded_up():
    assert clock.utc_minute(MOMENT) == "2024-01-31 17:05 UTC"
    assert clock.utc_second(MOMENT) == "2024-01-31 17:05:59 UTC"


def test_the_hour_of_the_day_is_the_same_for_a_number_and_an_array():
    times = np.array([0, clock.HOUR_MS - 1, clock.DAY_MS, MOMENT])
    assert clock.hour_of_day(times).tolist() == [0, 0, 0, 17]
    assert [clock.hour_of_day(int(time)) for time in times] == [0, 0, 0, 17]


def test_now_is_in_milliseconds():
    assert clock.utc_minute(clock.now_ms())[:2] == "20"
