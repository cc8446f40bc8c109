from zlib import crc32

import numpy as np
import pytest

from fraud.clock import DAY_MS, HOUR_MS
from fraud.windows import (
    ALL_WINDOWS, COUNT_NAMES, WINDOWS, contact_bit, counts_of, day_of, hour_of, known_windows,
    window_starts)
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


def test_counts_have_their_values_under_their_names():
    counts = counts_of(range(len(COUNT_NAMES)), windows=2)
    named = {f"{side}_{direction}{name}": value
             for side in ("origin", "destination")
             for direction, part in (("sent_", getattr(counts, f"{side}_sent")),
                                     ("received_", getattr(counts, f"{side}_received")),
                                     ("", getattr(counts, side)))
             for name, value in part._asdict().items()}
    assert named == {name: number for number, name in enumerate(COUNT_NAMES)}
    assert counts.windows == 2 and counts_of(range(len(COUNT_NAMES))).windows == ALL_WINDOWS


def test_an_account_has_one_of_64_bits_by_the_crc_of_its_name():
    assert contact_bit("C1") == 1 << crc32(b"C1") % 64
    assert {contact_bit(f"C{number}") for number in range(2_000)} == {1 << bit for bit in range(64)}
