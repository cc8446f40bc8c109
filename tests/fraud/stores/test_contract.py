"""What every store must do, proven on each: in memory, on a real Redis, and on moto's DynamoDB.

moto proves what is written and under which conditions; it does not prove how DynamoDB behaves when
many write at the same time.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraud.history import (BUCKET_MS, DAY_BUCKETS, LARGEST, NAMES, Claim, Finished, Past, Reused,
                           StoreNotEmpty, counts_array, sums_of)
from fraud.transaction import AMOUNT_LIMIT, Transaction

HOUR = BUCKET_MS
NOON = 480_012 * HOUR                   # some noon in 2024, as the tests' beginning
LARGEST_CENTS = int(AMOUNT_LIMIT) * 100


def payment(name: str, time: int = NOON, cents: int = 100, origin: str = "C1",
            destination: str = "C2", **changes) -> Transaction:
    return Transaction(**{"transaction_id": name, "event_time": time, "type_code": 4,
                          "amount_cents": cents, "origin": origin, "destination": destination,
                          "origin_balance_cents": 0, "destination_balance_cents": 0, **changes})


def claim(store, *payments: Transaction, now: int = NOON) -> list:
    return store.claim(payments, now)


def counts(result: Claim) -> dict[str, int]:
    """What a claim says, without what is zero."""
    assert counts_array([result])[:, 0].tolist() == result.counts
    return {name: value for name, value in zip(NAMES, result.counts) if value}


def seen(store, *payments: Transaction) -> list[dict[str, int]]:
    return [counts(result) for result in claim(store, *payments)]


# Counting.

def test_the_first_payment_has_seen_nothing(store):
    [first] = claim(store, payment("a"))
    assert counts(first) == {}
    assert first.transaction_id == "a"
    assert (first.late, first.recording_since) == (False, NOON)


def test_a_payment_sees_what_both_accounts_sent_and_received_before(store):
    claim(store, payment("a", cents=500))
    claim(store, payment("b", cents=70, origin="C2", destination="C3"))
    assert seen(store, payment("c")) == [{
        "origin_sent_count_hour": 1, "origin_sent_cents_hour": 500,
        "origin_sent_count_day": 1, "origin_sent_cents_day": 500,
        "destination_received_count_hour": 1, "destination_received_cents_hour": 500,
        "destination_received_count_day": 1, "destination_received_cents_day": 500,
        "destination_sent_count_hour": 1, "destination_sent_cents_hour": 70,
        "destination_sent_count_day": 1, "destination_sent_cents_day": 70}]


def test_later_payments_of_a_batch_see_the_earlier_ones(store):
    together = seen(store, payment("a"), payment("b"), payment("c", origin="C2", destination="C1"))
    assert [one.get("origin_sent_count_day", 0) for one in together] == [0, 1, 0]
    assert together[2]["origin_received_count_day"] == 2
    assert together[2]["destination_sent_cents_hour"] == 200


def test_a_payment_to_oneself_counts_once_sent_and_once_received_and_not_for_itself(store):
    first, second = seen(store, payment("a", origin="C", destination="C"),
                         payment("b", origin="C", destination="C"))
    assert first == {}
    assert set(second.values()) == {1, 100} and len(second) == 16


@pytest.mark.parametrize(("later", "hour", "day"), [
    (0, 1, 1), (HOUR - 1, 1, 1), (HOUR, 1, 1), (2 * HOUR - 1, 1, 1), (2 * HOUR, 0, 1),
    (24 * HOUR - 1, 0, 1), (24 * HOUR, 0, 0), (1000 * HOUR, 0, 0)])
def test_windows_are_counted_in_whole_hours_by_the_clock(store, later, hour, day):
    [_, second] = seen(store, payment("a"), payment("b", NOON + later))
    assert second.get("origin_sent_count_hour", 0) == hour
    assert second.get("origin_sent_cents_day", 0) == 100 * day


def test_buckets_fall_out_of_the_day_one_by_one(store):
    hourly = [payment(f"t{hour}", NOON + hour * HOUR, cents=1 << hour) for hour in range(30)]
    assert [one.get("origin_sent_cents_day", 0) for one in seen(store, *hourly)] == [
        sum(1 << past for past in range(max(0, hour - 23), hour)) for hour in range(30)]


@pytest.mark.parametrize("number", [2, 120])
def test_sums_of_the_largest_amounts_are_exact(store, number):
    last = seen(store, *(payment(f"t{place}", cents=LARGEST_CENTS - 1) for place in range(number)),
                payment("last"))[-1]
    assert last["origin_sent_cents_day"] == number * (LARGEST_CENTS - 1)
    assert last["destination_received_cents_hour"] == number * (LARGEST_CENTS - 1)


def test_a_sum_that_features_cannot_hold_is_seen_as_the_largest_they_can(store):
    bucket = NOON // HOUR
    store.fill([Past("C1", NOON, {bucket - 1: sums_of(2, LARGEST, 1, 2 ** 64),
                                  bucket: sums_of(3, 1, 1, 8)})], 0, NOON)
    [one] = seen(store, payment("a"))
    assert {one[f"origin_{which}_cents_{window}"] for which in ("sent", "received")
            for window in ("hour", "day")} == {LARGEST}
    assert (one["origin_sent_count_day"], one["origin_received_count_day"]) == (5, 2)


# Late payments.

def test_a_late_payment_counts_in_its_own_bucket_and_is_marked(store):
    on_time, late, after = claim(
        store, payment("a", NOON + 3 * HOUR), payment("b", NOON, cents=7),
        payment("c", NOON + 4 * HOUR))
    assert (on_time.late, late.late, after.late) == (False, True, False)
    assert counts(late) == {}
    assert counts(after)["origin_sent_cents_hour"] == 100
    assert counts(after)["origin_sent_cents_day"] == 107


def test_a_late_payment_of_the_hour_before_counts_for_the_hour(store):
    *_, last = seen(store, payment("a", NOON + HOUR), payment("b", NOON),
                    payment("c", NOON + HOUR))
    assert last["origin_sent_count_hour"] == 2


def test_a_late_payment_sees_what_was_before_its_own_hour(store):
    *_, late = seen(store, payment("a", NOON, cents=1), payment("b", NOON + HOUR, cents=2),
                    payment("c", NOON + 2 * HOUR, cents=4), payment("d", NOON + 3 * HOUR, cents=8),
                    payment("e", NOON + 2 * HOUR))
    assert (late["origin_sent_cents_hour"], late["origin_sent_cents_day"]) == (6, 7)


@pytest.mark.parametrize(("times", "marks"), [
    ((5, 5), (False, False)), ((5, 4), (False, True)), ((5, 4, 4), (False, True, True)),
    ((5, 4, 6), (False, True, False))])
def test_late_is_by_the_event_time_within_the_hour_too(store, times, marks):
    results = claim(store, *(payment(f"t{place}", NOON + time)
                             for place, time in enumerate(times)))
    assert tuple(result.late for result in results) == marks


def test_late_is_by_either_account(store):
    claim(store, payment("a", NOON + 9, origin="C5", destination="C6"))
    results = claim(store, payment("b", NOON, origin="C6", destination="C7"),
                    payment("c", NOON, origin="C7", destination="C5"), payment("d", NOON))
    assert [result.late for result in results] == [True, True, False]


def test_what_is_older_than_the_day_of_the_newest_is_forgotten(store):
    *_, late = seen(store, payment("a", NOON), payment("b", NOON + 20 * HOUR),
                    payment("c", NOON + 24 * HOUR), payment("d", NOON + 21 * HOUR))
    assert late["origin_sent_count_day"] == 1           # not of NOON, though 21 hours before


def test_what_came_late_is_forgotten_in_its_turn(store):
    *_, late = seen(store, payment("a", NOON + 5 * HOUR), payment("b", NOON),
                    payment("c", NOON + 24 * HOUR), payment("d", NOON + 23 * HOUR))
    assert late["origin_sent_count_day"] == 1


def test_a_payment_older_than_the_day_of_the_newest_is_not_counted(store):
    *_, again = seen(store, payment("a", NOON + 24 * HOUR), payment("b", NOON),
                     payment("c", NOON))
    assert again == {}


# Idempotency.

def test_the_same_payment_again_gets_the_same_claim_and_counts_once(store):
    [_, first] = claim(store, payment("a"), payment("b"))
    claim(store, payment("c"))
    assert claim(store, payment("b")) == [first]
    assert claim(store, payment("b"), payment("b")) == [first, first]
    assert seen(store, payment("d"))[0]["origin_sent_count_day"] == 3


def test_the_same_payment_twice_in_a_batch_counts_once(store):
    first, second, third = claim(store, payment("a"), payment("a"), payment("b"))
    assert first == second
    assert counts(third)["origin_sent_count_day"] == 1


@pytest.mark.parametrize("change", [
    {"amount_cents": 101}, {"event_time": NOON + 1}, {"type_code": 1}, {"origin": "C3"},
    {"destination": "C3"}, {"origin_balance_cents": 1}, {"destination_balance_cents": 1}])
@pytest.mark.parametrize("finished", [False, True])
def test_another_payment_under_a_known_id_is_refused_and_not_counted(store, change, finished):
    claims = claim(store, payment("a"))
    if finished:
        store.finish(claims, [b"yes"])
    assert claim(store, payment("a", **change)) == [Reused()]
    assert seen(store, payment("b"))[0]["origin_sent_count_day"] == 1


def test_an_id_reused_within_a_batch_is_refused(store):
    first, second, third = claim(store, payment("a"), payment("a", cents=1), payment("b"))
    assert isinstance(first, Claim) and second == Reused()
    assert counts(third)["origin_sent_cents_day"] == 100


def test_a_finished_payment_gets_its_answer_again(store):
    claims = claim(store, payment("a"), payment("b"))
    assert store.finish(claims, [b'{"a":1}', "ä".encode()]) == [b'{"a":1}', "ä".encode()]
    assert claim(store, payment("b"), payment("a")) == [
        Finished("ä".encode()), Finished(b'{"a":1}')]


def test_the_first_answer_stays(store):
    claims = claim(store, payment("a"), payment("b"))
    store.finish(claims[:1], [b"first"])
    assert store.finish(claims, [b"second", b"of b"]) == [b"first", b"of b"]
    assert store.finish(claims[:1], [b"third"]) == [b"first"]
    assert claim(store, payment("a")) == [Finished(b"first")]


def test_the_first_answer_of_a_batch_stays(store):
    claims = claim(store, payment("a"), payment("a"))
    assert store.finish(claims, [b"first", b"second"]) == [b"first", b"first"]


def test_an_answer_is_found_by_its_id(store):
    assert store.answer("a") is None
    claims = claim(store, payment("a"))
    assert store.answer("a") is None
    store.finish(claims, [b"yes"])
    assert (store.answer("a"), store.answer("b")) == (b"yes", None)


def test_names_may_hold_anything(store):
    odd = "ü \n\0#:*{}\"'" + "\U0001f600" * 50
    strange = payment(odd, origin=odd, destination=odd[1:])
    claims = claim(store, strange)
    assert store.finish(claims, [b"yes"]) == [b"yes"]
    assert claim(store, strange) == [Finished(b"yes")] and store.answer(odd) == b"yes"
    assert seen(store, payment("b", origin=odd))[0]["origin_sent_count_day"] == 1


def test_an_id_and_an_account_of_one_name_do_not_meet(store):
    assert [type(result) for result in claim(
        store, payment("C1"), payment("C2", origin="recording", destination="since"))] == [
            Claim, Claim]


def test_nothing_is_done_for_no_payments(store):
    assert claim(store) == [] and store.finish([], []) == []


def test_a_large_batch_is_as_good_as_many_small_ones(store):
    many = [payment(f"t{place}", origin=f"C{place % 7}", destination=f"C{place % 5}")
            for place in range(250)]
    results = claim(store, *many)
    assert counts(results[-1])["origin_sent_count_day"] == 35
    answers = [str(place).encode() for place in range(250)]
    assert store.finish(results, answers) == answers
    assert claim(store, *many) == [Finished(answer) for answer in answers]


def test_many_who_claim_the_same_id_at_once_agree(store):
    together, same = Barrier(8), 20

    def claim_each(which: int):
        together.wait()
        return [claim(store, payment(f"t{place}", cents=100 + which % 2))[0]
                for place in range(same)]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(claim_each, range(8)))
    for ours in zip(*results):
        winners = {result.digest for result in ours if isinstance(result, Claim)}
        assert len(winners) == 1
        assert len([result for result in ours if result == Reused()]) == 4
        assert len({result for result in ours if isinstance(result, Claim)}) == 1
    assert seen(store, payment("last"))[0]["origin_sent_count_day"] == same


# What a store knows of itself.

def test_sequence_numbers_are_those_of_counting(store, history_url):
    first, second, again, refused, third = claim(
        store, payment("a"), payment("b"), payment("a"), payment("b", cents=1), payment("c"))
    numbers = [first.sequence, second.sequence, again.sequence, third.sequence]
    assert numbers == (4 * [None] if history_url.startswith("dynamodb") else [1, 2, 1, 3])


def test_recording_begins_with_the_first_claim(store):
    results = claim(store, payment("a", NOON + 5 * HOUR), now=NOON + 7)
    results += claim(store, payment("b", NOON + 9 * HOUR), now=NOON + 9 * HOUR)
    assert [result.recording_since for result in results] == [NOON + 7, NOON + 7]


@pytest.mark.parametrize(("since", "complete"), [
    (NOON, False), (NOON - 22 * HOUR, False), (NOON - 23 * HOUR + 1, False),
    (NOON - 23 * HOUR, True), (0, True)])
def test_a_claim_is_complete_when_its_whole_day_was_recorded(store, since, complete):
    store.fill([], since, NOON)
    [result] = claim(store, payment("a"))
    assert result.is_complete(NOON) is complete
    assert result.is_complete(NOON + HOUR - 1) is complete


def test_a_filled_store_goes_on_from_what_it_was_filled_with(store):
    bucket = NOON // HOUR
    store.fill([Past("C1", NOON - HOUR + 5, {bucket - 24: sums_of(9, 9, 9, 9),
                                             bucket - 20: sums_of(1, 10, 2, 20),
                                             bucket - 1: sums_of(3, 30, 0, 0)}),
                Past("C9", NOON, {bucket: sums_of(0, 0, 5, LARGEST_CENTS)})], 7, NOON)
    first, second = claim(store, payment("a"), payment("b", NOON, origin="C9", destination="C1"))
    assert first.recording_since == 7 and not first.late
    assert counts(first) == {
        "origin_sent_count_hour": 3, "origin_sent_cents_hour": 30, "origin_sent_count_day": 4,
        "origin_sent_cents_day": 40, "origin_received_count_day": 2,
        "origin_received_cents_day": 20}
    assert counts(second)["origin_received_cents_hour"] == LARGEST_CENTS
    assert counts(second)["destination_sent_count_hour"] == 4


@pytest.mark.parametrize(("gap", "since"), [(HOUR, 7), (HOUR + 1, NOON + HOUR + 1)])
def test_after_too_long_a_gap_recording_begins_anew(store, gap, since):
    store.fill([], 7, NOON)
    results = claim(store, payment("a"), now=NOON + gap) + claim(
        store, payment("b"), now=NOON + 50 * HOUR)
    assert [result.recording_since for result in results] == [since, since]


def test_a_store_is_filled_once_and_before_it_is_used(store, opened, history_url):
    store.fill([], 7, NOON)
    with pytest.raises(StoreNotEmpty, match="recording"):
        store.fill([], 0, NOON)
    assert claim(store, payment("a"))[0].recording_since == 7
    with pytest.raises(StoreNotEmpty):
        store.fill([], 0, NOON)


@pytest.fixture(params=["redis", "dynamodb"])
def shared_url(request):
    return request.getfixturevalue(f"{request.param}_url")


def test_processes_share_what_they_know(opened, shared_url):
    one, other = opened(shared_url), opened(shared_url)
    [first] = claim(one, payment("a"), now=NOON)
    assert claim(other, payment("a"), now=NOON + 5) == [first]
    [second] = claim(other, payment("b"), now=NOON + 5)
    assert second.recording_since == NOON
    assert counts(second)["origin_sent_count_day"] == 1
    assert other.finish([first], [b"theirs"]) == [b"theirs"]
    assert one.finish([first], [b"ours"]) == [b"theirs"]


# The law: a store agrees with counting from scratch, in any order of arrival.

names = st.sampled_from(["C1", "C2", "C3"])
streams = st.lists(st.tuples(st.integers(0, 60 * HOUR), names, names, st.integers(0, 10 ** 14)),
                   max_size=25)


runs = count()        # the same store serves all examples


def from_scratch(arrived: list[Transaction], now: Transaction) -> dict[str, int]:
    """What a payment sees of those that arrived before, by the definition."""
    found = dict.fromkeys(NAMES, 0)
    bucket = now.event_time // HOUR
    for side, account in (("origin", now.origin), ("destination", now.destination)):
        theirs = [one for one in arrived if account in (one.origin, one.destination)]
        newest = max((one.event_time // HOUR for one in [*theirs, now]))
        for one in theirs:
            its = one.event_time // HOUR
            for direction, who in (("sent", one.origin), ("received", one.destination)):
                for window, length in (("hour", 2), ("day", 24)):
                    if (who == account and bucket - length < its <= bucket
                            and its > newest - DAY_BUCKETS):
                        found[f"{side}_{direction}_count_{window}"] += 1
                        found[f"{side}_{direction}_cents_{window}"] += one.amount_cents
    return {name: value for name, value in found.items() if value}


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=streams)
def test_a_store_counts_as_if_from_scratch_in_order_of_arrival(store, stream):
    run = next(runs)
    arrived = [payment(f"{run}-{place}", NOON + time, cents, f"{run}{origin}",
                       f"{run}{destination}")
               for place, (time, origin, destination, cents) in enumerate(stream)]
    expected = [from_scratch(arrived[:place], one) for place, one in enumerate(arrived)]
    assert seen(store, *arrived) == expected
