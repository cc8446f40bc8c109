import itertools

import numpy as np
from hypothesis import given, settings, strategies as st

from fraud.clock import DAY_MS, HOUR_MS as HOUR
from fraud.history import KnownFraud
from fraud.packing import LARGEST
from fraud.training.features.account_windows import (
    LOW_BITS, LOW_MASK, Entries, capped_sum, event_order, side_counts)
from fraud.training.parity.recount import recounted
from fraud.windows import COUNT_NAMES, SIDE_NAMES, SKETCH_BITS, contact_bit
from tests.factories import NOON, payment

names = st.sampled_from(["C1", "C2", "C3", "C4"])
times = st.one_of(st.integers(0, 60 * HOUR), st.integers(0, 70 * DAY_MS),
                  st.integers(0, 70).map(lambda day: day * DAY_MS))
cents = st.integers(0, 999) | st.integers(2 ** 50, LARGEST) | st.integers(2 ** 60, 2 ** 62)
payments = st.builds(
    lambda time, origin, destination, amount: payment("", NOON + time, origin=origin,
                                                      destination=destination,
                                                      amount_cents=amount),
    times, names, st.none() | names, cents)
frauds = st.builds(
    lambda time, origin, destination: KnownFraud("", NOON + time, origin, destination),
    times, names, st.none() | names)


def moment(event) -> tuple[int, bool]:
    """The order of events: labels before payments of their moment."""
    return ((event.label_time, False) if isinstance(event, KnownFraud)
            else (event.event_time, True))


def entries_of(events: list) -> tuple[Entries, list[tuple[int, str]]]:
    """The entries of events, and the payment and side of each."""
    codes: dict[str, int] = {}
    rows, sides, position = [], [], 0
    for event in events:
        is_label = isinstance(event, KnownFraud)
        parties = {(event.origin, event.destination): "origin"}
        if event.destination not in (None, event.origin):
            parties[event.destination, event.origin] = "destination"
        for (account, other), side in parties.items():
            bit = -1 if is_label or other is None else contact_bit(other).bit_length() - 1
            rows.append((codes.setdefault(account, len(codes)), moment(event)[0],
                         -1 if is_label else position, 0 if is_label else event.amount_cents,
                         side == "origin", side == "destination" or other == account, bit))
            sides.append((-1 if is_label else position, side))
        position += not is_label
    columns = list(zip(*rows, strict=True)) or [()] * len(Entries._fields)
    kinds = (np.int64,) * 4 + (bool, bool, np.int64)
    return Entries(*(np.array(column, kind)
                     for column, kind in zip(columns, kinds, strict=True))), sides


def counted(events: list) -> list[dict[str, int]]:
    """The counts of each payment by name, without those that are 0."""
    entries, sides = entries_of(events)
    order = event_order(entries)
    counts = side_counts(entries.take(order)).T.tolist()
    by_payment: dict[int, dict[str, int]] = {
        position: {} for position, _ in sides if position >= 0}
    for row, values in zip(order, counts, strict=True):
        position, side = sides[row]
        if position >= 0:
            shared = entries.sent[row] and entries.received[row]
            for each in ("origin", "destination") if shared else (side,):
                by_payment[position] |= {
                    f"{each}_{name}": value
                    for name, value in zip(SIDE_NAMES, values, strict=True) if value}
    return [by_payment[position] for position in sorted(by_payment)]


@settings(max_examples=300, deadline=None)
@given(st.lists(payments | frauds, max_size=40).map(lambda events: sorted(events, key=moment)))
def test_counts_are_those_of_the_recount(events):
    assert counted(events) == [
        {name: value for name, value in zip(COUNT_NAMES, counts, strict=True) if value}
        for counts in recounted(events)]


def test_sums_beyond_int64_count_as_the_largest():
    events = [payment("", NOON, amount_cents=2 ** 62) for _ in range(3)]
    assert [counts.get("origin_sent_cents_month", 0) for counts in counted(events)] == [
        0, LARGEST, LARGEST]


def test_an_account_with_many_counterparties_fills_its_sketch():
    events = [payment("", NOON, destination=f"M{index}") for index in range(500)]
    assert counted(events)[-1]["origin_contacts_week"] == SKETCH_BITS


def test_no_entries_have_no_counts():
    entries, _ = entries_of([])
    assert side_counts(entries).shape == (len(SIDE_NAMES), 0)


MOST = 2 ** 31      # entries that one partition may hold


@given(st.integers(0, MOST * LOW_MASK), st.integers(0, MOST * (LARGEST >> LOW_BITS)))
def test_the_sum_of_two_parts_is_exact_or_the_largest(low, high):
    total = capped_sum(np.array([low]), np.array([high]))
    assert total.dtype == np.int64
    assert total[0] == min(low + (high << LOW_BITS), LARGEST)


@given(st.lists(st.integers(0, LARGEST), max_size=30))
def test_two_parts_hold_all_of_each_amount(amounts):
    cents = np.array(amounts, np.int64)
    assert capped_sum(np.cumsum(cents & LOW_MASK), np.cumsum(cents >> LOW_BITS)).tolist() == [
        min(total, LARGEST) for total in itertools.accumulate(amounts)]
