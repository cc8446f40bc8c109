import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies as st

from fraud.history import (
    BUCKET_MS, DAY_BUCKETS, HOUR_BUCKETS, NAMES, Claim, bucket_of, counts_array, counts_of, digest)
from fraud.packing import LARGEST, pack
from fraud.transaction import EVENT_TIME_LIMIT, Transaction

HOUR = 3_600_000


@pytest.mark.parametrize(("event_time", "bucket"), [
    (0, 0), (HOUR - 1, 0), (HOUR, 1), (2 * HOUR - 1, 1), (2 * HOUR, 2),
    (1767225600000 - 1, 490895), (1767225600000, 490896)])    # the turn of the year 2026
def test_a_bucket_starts_with_the_hour_in_utc(event_time, bucket):
    assert bucket_of(event_time) == bucket


@given(st.lists(st.integers(0, EVENT_TIME_LIMIT - 1)))
def test_buckets_of_an_array_are_those_of_its_times(times):
    buckets = bucket_of(np.array(times, np.int64))
    assert buckets.dtype == np.int64
    assert buckets.tolist() == [bucket_of(time) for time in times]


@given(st.integers(0, EVENT_TIME_LIMIT - 1))
def test_a_time_lies_within_its_bucket(event_time):
    assert 0 <= event_time - bucket_of(event_time) * BUCKET_MS < HOUR


def test_the_windows_are_the_last_hour_or_two_and_the_last_day():
    assert (BUCKET_MS, HOUR_BUCKETS, DAY_BUCKETS) == (HOUR, 2, 24)


def test_counts_are_named_by_side_then_window_then_measure():
    assert NAMES == (
        "origin_sent_count_hour", "origin_sent_cents_hour",
        "origin_sent_count_day", "origin_sent_cents_day",
        "origin_received_count_hour", "origin_received_cents_hour",
        "origin_received_count_day", "origin_received_cents_day",
        "destination_sent_count_hour", "destination_sent_cents_hour",
        "destination_sent_count_day", "destination_sent_cents_day",
        "destination_received_count_hour", "destination_received_cents_hour",
        "destination_received_count_day", "destination_received_cents_day",
    )


def test_counts_take_values_in_the_order_of_their_names():
    counts = counts_of(NAMES)
    assert {f"{side}_{field}": name
            for side, activity in counts._asdict().items()
            for field, name in activity._asdict().items()} == {name: name for name in NAMES}


def test_counts_of_arrays_keep_the_arrays():
    columns = [np.array([number, -number]) for number in range(len(NAMES))]
    counts = counts_of(columns)
    assert counts.origin_sent.count_hour is columns[0]
    assert counts.destination_received.cents_day is columns[15]


def test_too_few_values_are_refused():
    with pytest.raises(TypeError):
        counts_of(range(len(NAMES) - 1))


# Claims.

counts, cents = st.integers(0, 2 ** 32 - 1), st.integers(0, 2 ** 96 - 1)
numbers = st.tuples(counts, cents, counts, cents)


def in_order_of_names(origin_hour, origin_day, destination_hour, destination_day) -> list[int]:
    expected = [*origin_hour[:2], *origin_day[:2], *origin_hour[2:], *origin_day[2:],
                *destination_hour[:2], *destination_day[:2],
                *destination_hour[2:], *destination_day[2:]]
    return [min(number, LARGEST) for number in expected]


@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=5))
def test_counts_of_claims_are_their_sums_in_the_order_of_names_capped_for_features(drawn):
    claims = [Claim("a", b"", *(pack(*four) for four in sums), None, False, 0) for sums in drawn]
    expected = [in_order_of_names(*sums) for sums in drawn]
    assert [claim.counts for claim in claims] == expected
    array = counts_array(claims)
    assert array.dtype == np.int64 and array.T.tolist() == expected


# Digests.

PAYMENT = Transaction("a", 1, "DEBIT", 3, "o", "d", 4, 5)


@pytest.mark.parametrize("field", Transaction.__struct_fields__)
def test_a_digest_covers_every_field_of_a_payment(field):
    value = getattr(PAYMENT, field)
    other = msgspec.structs.replace(PAYMENT, **{field: value + type(value)(1)})
    assert digest(other) != digest(PAYMENT) == digest(msgspec.structs.replace(PAYMENT))
    assert len(digest(PAYMENT)) == 16
