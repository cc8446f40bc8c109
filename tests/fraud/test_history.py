import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies as st

from fraud.clock import DAY_MS, HOUR_MS as HOUR
from fraud.history import NO_TOTALS, AccountTotals, Claim, counts_array, digest
from fraud.packing import LARGEST, pack
from fraud.transaction import EVENT_TIME_LIMIT, Transaction
from fraud.windows import (
    ALL_WINDOWS, COUNT_NAMES, contact_bit, counts_of, day_of, hour_of, known_windows, window_starts)

NEW_YEAR = 1767225600000        # 2026-01-01T00:00Z
times = st.integers(0, EVENT_TIME_LIMIT - 1)


@pytest.mark.parametrize(("event_time", "hour", "day"), [
    (0, 0, 0), (HOUR - 1, 0, 0), (HOUR, 1, 0), (2 * HOUR - 1, 1, 0), (DAY_MS - 1, 23, 0),
    (NEW_YEAR - 1, 490895, 20453), (NEW_YEAR, 490896, 20454)])
def test_buckets_start_with_the_hour_and_the_day_in_utc(event_time, hour, day):
    assert (hour_of(event_time), day_of(event_time)) == (hour, day)


@given(st.lists(times))
def test_buckets_of_an_array_are_those_of_its_times(drawn):
    for bucket_of in (hour_of, day_of):
        buckets = bucket_of(np.array(drawn, np.int64))
        assert buckets.dtype == np.int64
        assert buckets.tolist() == [bucket_of(time) for time in drawn]


def test_windows_start_with_their_first_bucket():
    assert window_starts(NEW_YEAR + 5 * HOUR + 7) == (
        NEW_YEAR + 4 * HOUR, NEW_YEAR - 18 * HOUR, NEW_YEAR - 6 * DAY_MS, NEW_YEAR - 29 * DAY_MS)


@given(times, times)
def test_windows_are_known_from_the_shortest_to_the_longest(since, event_time):
    known = known_windows(since, event_time)
    assert [since <= start for start in window_starts(event_time)] == [
        index < known for index in range(ALL_WINDOWS)]
    array = known_windows(np.array([since]), np.array([event_time]))
    assert array.tolist() == [known]


def test_counts_are_named_by_side_then_direction_then_window_then_measure():
    assert COUNT_NAMES[:9] == (
        "origin_sent_count_hour", "origin_sent_cents_hour", "origin_sent_count_day",
        "origin_sent_cents_day", "origin_sent_count_week", "origin_sent_cents_week",
        "origin_sent_count_month", "origin_sent_cents_month", "origin_sent_last")
    assert COUNT_NAMES[9] == "origin_received_count_hour"
    assert COUNT_NAMES[18:26] == (
        "origin_first_day", "origin_contacts_week", "origin_contacts_month",
        "origin_frauds_sent_week", "origin_frauds_received_week",
        "origin_frauds_sent_month", "origin_frauds_received_month", "origin_knows_other")
    assert [name.replace("destination", "origin")
            for name in COUNT_NAMES[26:]] == [*COUNT_NAMES[:26]]


def test_counts_take_values_in_the_order_of_their_names():
    counts = counts_of(COUNT_NAMES)._asdict()
    assert counts.pop("windows") == ALL_WINDOWS
    assert {f"{side}_{field}": name
            for side, part in counts.items()
            for field, name in part._asdict().items()} == {name: name for name in COUNT_NAMES}


def test_counts_of_arrays_keep_the_arrays():
    columns = [np.array([number, -number]) for number in range(len(COUNT_NAMES))]
    counts = counts_of(columns)
    assert counts.origin_sent.count_hour is columns[0]
    assert counts.destination.knows_other is columns[-1]


def test_too_few_values_are_refused():
    with pytest.raises(TypeError):
        counts_of(range(len(COUNT_NAMES) - 1))


@given(st.text(min_size=1))
def test_a_counterparty_is_one_bit_of_a_sketch(account):
    bit = contact_bit(account)
    assert 0 < bit < 2 ** 64 and bit.bit_count() == 1 and bit == contact_bit(account)


# Claims.

counts, cents = st.integers(0, 2 ** 32 - 1), st.integers(0, 2 ** 64 - 1)
sums = st.tuples(counts, cents, counts, cents)
sketches = st.integers(0, 2 ** 64 - 1)
sides = st.tuples(sums, sums, sums, sums, times, times, st.integers(0, 50_000), sketches, sketches,
                  counts, counts, counts, counts)


def totals_of(side) -> AccountTotals:
    return AccountTotals(*(pack(*window) for window in side[:4]), *side[4:])


def in_order_of_names(side, knows_other: bool) -> list[int]:
    """The counts of one account, from the numbers that were drawn."""
    windows, (last_sent, last_received, first_day, week, month, *frauds) = side[:4], side[4:]
    of_sent = [number for window in windows for number in window[:2]]
    of_received = [number for window in windows for number in window[2:]]
    return [min(number, LARGEST) for number in (
        *of_sent, last_sent, *of_received, last_received, first_day, bin(week).count("1"),
        bin(month).count("1"), *frauds, int(knows_other))]


@given(st.lists(st.tuples(sides, sides, st.booleans(), st.booleans()), min_size=1, max_size=5))
def test_counts_of_claims_are_their_totals_in_the_order_of_names_capped_for_features(drawn):
    claims = [Claim("a", b"", totals_of(origin), totals_of(destination), *known, None, False, 0)
              for origin, destination, *known in drawn]
    expected = [[*in_order_of_names(origin, to_origin),
                 *in_order_of_names(destination, to_destination)]
                for origin, destination, to_origin, to_destination in drawn]
    assert [claim.counts for claim in claims] == expected
    array = counts_array(claims)
    assert array.dtype == np.int64 and array.T.tolist() == expected


def test_an_account_that_does_not_exist_has_no_counts():
    claim = Claim("a", b"", AccountTotals(hour=pack(1, 2, 3, 4)), NO_TOTALS, False, False, None,
                  False, 0)
    assert claim.counts[len(COUNT_NAMES) // 2:] == [0] * (len(COUNT_NAMES) // 2)
    assert counts_array([claim])[:, 0].tolist() == claim.counts


# Digests.

PAYMENT = Transaction("a", 1, "DEBIT", 3, "o", "d", 4, 5)


@pytest.mark.parametrize("field", Transaction.__struct_fields__)
def test_a_digest_covers_every_field_of_a_payment(field):
    value = getattr(PAYMENT, field)
    other = msgspec.structs.replace(PAYMENT, **{field: value + type(value)(1)})
    assert digest(other) != digest(PAYMENT) == digest(msgspec.structs.replace(PAYMENT))
    assert len(digest(PAYMENT)) == 16
