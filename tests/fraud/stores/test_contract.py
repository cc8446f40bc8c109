"""The contract of `Store`, proven on each: in memory, on a real Redis, and on moto's DynamoDB.

moto proves what is written and under which conditions; it does not prove how DynamoDB behaves when
many write at the same time.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from fraud.clock import DAY_MS, HOUR_MS as HOUR
from fraud.history import (
    AccountSnapshot, AlreadyAnswered, Claim, IdConflict, KnownFraud, StoreNotEmpty, counts_array)
from fraud.packing import LARGEST, pack
from fraud.training.parity.recount import recounted
from fraud.transaction import AMOUNT_LIMIT, Transaction
from fraud.windows import COUNT_NAMES, WINDOWS, contact_bit
from tests import factories
from tests.factories import NOON

MIDNIGHT = NOON // DAY_MS * DAY_MS
LARGEST_CENTS = int(AMOUNT_LIMIT) * 100
payment = partial(factories.payment, amount_cents=100)


def claim(store, *payments: Transaction, now: int = NOON) -> list:
    return store.claim(payments, now)


def counts(result: Claim) -> dict[str, int]:
    """The counts of a claim that are not zero."""
    assert counts_array([result])[:, 0].tolist() == result.counts
    return {name: value for name, value in zip(COUNT_NAMES, result.counts, strict=True) if value}


def of_the_day(result: Claim) -> dict[str, int]:
    """The counts of hour and day that are not zero."""
    return {name: value for name, value in counts(result).items()
            if name.endswith(("_hour", "_day")) and not name.endswith("first_day")}


def seen(store, *payments: Transaction) -> list[dict[str, int]]:
    return [of_the_day(result) for result in claim(store, *payments)]


# Counting.

def test_the_first_payment_has_no_counts(store):
    [first] = claim(store, payment("a"))
    assert counts(first) == {}
    assert first.transaction_id == "a"
    assert (first.late, first.recording_since) == (False, NOON)


def test_a_payment_sees_earlier_payments_of_both_accounts_in_both_directions(store):
    claim(store, payment("a", amount_cents=500))
    claim(store, payment("b", amount_cents=70, origin="C2", destination="C3"))
    assert seen(store, payment("c")) == [{
        "origin_sent_count_hour": 1, "origin_sent_cents_hour": 500,
        "origin_sent_count_day": 1, "origin_sent_cents_day": 500,
        "destination_received_count_hour": 1, "destination_received_cents_hour": 500,
        "destination_received_count_day": 1, "destination_received_cents_day": 500,
        "destination_sent_count_hour": 1, "destination_sent_cents_hour": 70,
        "destination_sent_count_day": 1, "destination_sent_cents_day": 70}]


def test_later_payments_of_a_batch_see_the_earlier_ones(store):
    together = seen(store, payment("a"), payment("b"), payment("c", origin="C2", destination="C1"))
    assert [before.get("origin_sent_count_day", 0) for before in together] == [0, 1, 0]
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
    hourly = [payment(f"t{hour}", NOON + hour * HOUR, amount_cents=1 << hour) for hour in range(30)]
    assert [before.get("origin_sent_cents_day", 0) for before in seen(store, *hourly)] == [
        sum(1 << earlier for earlier in range(max(0, hour - 23), hour)) for hour in range(30)]


@pytest.mark.parametrize("number", [2, LARGEST // LARGEST_CENTS, 120])
def test_sums_of_the_largest_amounts_are_exact_up_to_the_largest_sum(store, number):
    many = [payment(f"t{index}", amount_cents=LARGEST_CENTS - 1) for index in range(number)]
    last = counts(claim(store, *many, payment("last"))[-1])
    expected = min(number * (LARGEST_CENTS - 1), LARGEST)
    assert last["origin_sent_cents_day"] == last["origin_sent_cents_month"] == expected
    assert last["destination_received_cents_hour"] == expected


def test_a_sum_that_features_cannot_hold_is_capped(store):
    bucket = NOON // HOUR
    buckets = {bucket - 1: pack(2, LARGEST, 1, 2 ** 54), bucket: pack(3, 1, 1, 8)}
    day = NOON // DAY_MS
    store.fill([snapshot(hours=buckets, days={day: pack(5, LARGEST + 1, 2, 2 ** 54)},
                         contacts={day: 1})], 0, NOON)
    before = counts(claim(store, payment("a"))[0])
    assert {before[f"origin_{direction}_cents_{window}"] for direction in ("sent", "received")
            for window in WINDOWS} == {LARGEST}
    assert (before["origin_sent_count_day"], before["origin_received_count_day"]) == (5, 2)


# Late payments.

def test_a_late_payment_counts_in_its_own_bucket_and_is_marked(store):
    on_time, late, after = claim(
        store, payment("a", NOON + 3 * HOUR), payment("b", NOON, amount_cents=7),
        payment("c", NOON + 4 * HOUR))
    assert (on_time.late, late.late, after.late) == (False, True, False)
    assert of_the_day(late) == {}
    assert counts(after)["origin_sent_cents_hour"] == 100
    assert counts(after)["origin_sent_cents_day"] == 107


def test_a_late_payment_of_the_hour_before_counts_for_the_hour(store):
    *_, last = seen(store, payment("a", NOON + HOUR), payment("b", NOON),
                    payment("c", NOON + HOUR))
    assert last["origin_sent_count_hour"] == 2


def test_a_late_payment_sees_no_later_hour(store):
    earlier = [payment(f"t{hour}", NOON + hour * HOUR, amount_cents=1 << hour)
               for hour in range(4)]
    *_, late = seen(store, *earlier, payment("late", NOON + 2 * HOUR))
    assert (late["origin_sent_cents_hour"], late["origin_sent_cents_day"]) == (6, 7)


@pytest.mark.parametrize(("times", "marks"), [
    ((5, 5), (False, False)), ((5, 4), (False, True)), ((5, 4, 4), (False, True, True)),
    ((5, 4, 6), (False, True, False))])
def test_late_is_by_the_event_time_within_the_hour_too(store, times, marks):
    results = claim(store, *(payment(f"t{index}", NOON + time)
                             for index, time in enumerate(times)))
    assert tuple(result.late for result in results) == marks


def test_late_is_by_either_account(store):
    claim(store, payment("a", NOON + 9, origin="C5", destination="C6"))
    results = claim(store, payment("b", NOON, origin="C6", destination="C7"),
                    payment("c", NOON, origin="C7", destination="C5"), payment("d", NOON))
    assert [result.late for result in results] == [True, True, False]


def test_buckets_older_than_the_day_of_the_newest_are_forgotten(store):
    *_, late = seen(store, payment("a", NOON), payment("b", NOON + 20 * HOUR),
                    payment("c", NOON + 24 * HOUR), payment("d", NOON + 21 * HOUR))
    assert late["origin_sent_count_day"] == 1           # not of NOON, though 21 hours before


def test_a_late_payment_is_forgotten_in_its_turn(store):
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
    {"amount_cents": 101}, {"event_time": NOON + 1}, {"type": "CASH_OUT"}, {"origin": "C3"},
    {"destination": "C3"}, {"origin_balance_cents": 1}, {"destination_balance_cents": 1}])
@pytest.mark.parametrize("finished", [False, True])
def test_another_payment_under_a_known_id_is_refused_and_not_counted(store, change, finished):
    claims = claim(store, payment("a"))
    if finished:
        store.finish(claims, [b"yes"])
    assert claim(store, payment("a", **change)) == [IdConflict()]
    assert seen(store, payment("b"))[0]["origin_sent_count_day"] == 1


def test_an_id_reused_within_a_batch_is_refused(store):
    first, second, third = claim(store, payment("a"), payment("a", amount_cents=1), payment("b"))
    assert isinstance(first, Claim) and second == IdConflict()
    assert counts(third)["origin_sent_cents_day"] == 100


def test_a_finished_payment_gets_its_answer_again(store):
    claims = claim(store, payment("a"), payment("b"))
    assert store.finish(claims, [b'{"a":1}', "ä".encode()]) == [b'{"a":1}', "ä".encode()]
    assert claim(store, payment("b"), payment("a")) == [
        AlreadyAnswered("ä".encode()), AlreadyAnswered(b'{"a":1}')]


def test_the_first_answer_stays(store):
    claims = claim(store, payment("a"), payment("b"))
    store.finish(claims[:1], [b"first"])
    assert store.finish(claims, [b"second", b"of b"]) == [b"first", b"of b"]
    assert store.finish(claims[:1], [b"third"]) == [b"first"]
    assert claim(store, payment("a")) == [AlreadyAnswered(b"first")]


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
    assert claim(store, strange) == [AlreadyAnswered(b"yes")] and store.answer(odd) == b"yes"
    assert seen(store, payment("b", origin=odd))[0]["origin_sent_count_day"] == 1


def test_an_id_and_an_account_of_one_name_are_separate(store):
    assert [type(result) for result in claim(
        store, payment("C1"), payment("C2", origin="recording", destination="since"))] == [
            Claim, Claim]


def test_no_payments_have_no_results(store):
    assert claim(store) == [] and store.finish([], []) == []


def test_a_large_batch_counts_like_many_small_ones(store):
    many = [payment(f"t{index}", origin=f"C{index % 7}", destination=f"C{index % 5}")
            for index in range(250)]
    results = claim(store, *many)
    assert counts(results[-1])["origin_sent_count_day"] == 35
    answers = [str(index).encode() for index in range(250)]
    assert store.finish(results, answers) == answers
    assert claim(store, *many) == [AlreadyAnswered(answer) for answer in answers]


def test_concurrent_claims_of_one_id_agree(store):
    together, same = Barrier(8), 20

    def claim_each(worker: int):
        together.wait()
        return [claim(store, payment(f"t{index}", amount_cents=100 + worker % 2))[0]
                for index in range(same)]

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(claim_each, range(8)))
    for results_of_id in zip(*results, strict=True):
        winners = {result.digest for result in results_of_id if isinstance(result, Claim)}
        assert len(winners) == 1
        assert results_of_id.count(IdConflict()) == 4
        assert len({result for result in results_of_id if isinstance(result, Claim)}) == 1
    assert seen(store, payment("last"))[0]["origin_sent_count_day"] == same


# Sequence and completeness.

def test_sequence_numbers_are_those_of_counting(store, history_url):
    first, second, again, refused, third = claim(
        store, payment("a"), payment("b"), payment("a"), payment("b", amount_cents=1), payment("c"))
    numbers = [result.store_sequence for result in (first, second, again, third)]
    assert numbers == (4 * [None] if history_url.startswith("dynamodb") else [1, 2, 1, 3])


def test_recording_begins_with_the_first_claim(store):
    results = claim(store, payment("a", NOON + 5 * HOUR), now=NOON + 7)
    results += claim(store, payment("b", NOON + 9 * HOUR), now=NOON + 9 * HOUR)
    assert [result.recording_since for result in results] == [NOON + 7, NOON + 7]


def test_a_clock_that_jumps_back_an_hour_changes_nothing(store):
    [first] = claim(store, payment("a"))
    store.finish([first], [b"yes"])
    repeat, second = claim(store, payment("a"), payment("b"), now=NOON - HOUR)
    assert repeat == AlreadyAnswered(b"yes")
    assert second.recording_since == first.recording_since == NOON
    assert counts(second)["origin_sent_count_day"] == 1


@pytest.mark.parametrize(("since", "windows"), [
    (NOON, 0), (NOON - HOUR + 1, 0), (NOON - HOUR, 1), (NOON - 23 * HOUR + 1, 1),
    (NOON - 23 * HOUR, 2), (MIDNIGHT - 6 * DAY_MS + 1, 2), (MIDNIGHT - 6 * DAY_MS, 3),
    (MIDNIGHT - 29 * DAY_MS + 1, 3), (MIDNIGHT - 29 * DAY_MS, 4), (0, 4)])
def test_a_window_is_known_when_it_was_recorded_whole(store, since, windows):
    store.fill([], since, NOON)
    [result] = claim(store, payment("a"))
    assert result.known_windows(NOON) == windows
    assert result.known_windows(NOON + HOUR - 1) == windows


def snapshot(account: str = "C1", newest: int = NOON, **changes) -> AccountSnapshot:
    """The history of an account that has sent and received nothing yet."""
    empty = AccountSnapshot(account, newest, 0, 0, {}, {}, {}, {})
    return empty._replace(**changes)


def test_a_filled_store_continues_the_history_it_was_filled_with(store):
    hour, day = NOON // HOUR, NOON // DAY_MS
    hours = {hour - 24: pack(9, 9, 9, 9), hour - 20: pack(1, 10, 2, 20),
             hour - 1: pack(3, 30, 0, 0)}
    days = {day - 29: pack(4, 40, 0, 0), day - 7: pack(0, 0, 6, 60), day: pack(4, 40, 2, 20)}
    store.fill([snapshot("C1", NOON - HOUR + 5, last_sent=NOON - HOUR + 5, last_received=NOON - 7,
                         hours=hours, days=days,
                         contacts={day - 29: contact_bit("C2"), day - 7: 6, day: 2 ** 63},
                         frauds={day - 29: (1, 0), day - 1: (2, 3)}),
                snapshot("C9", last_received=NOON, hours={hour: pack(0, 0, 5, LARGEST_CENTS)},
                         days={day: pack(0, 0, 5, LARGEST_CENTS)}, contacts={day: 1})], 7, NOON)
    first, second = claim(store, payment("a"), payment("b", NOON, origin="C9", destination="C1"))
    assert first.recording_since == 7 and not first.late
    assert counts(first) == {
        "origin_sent_count_hour": 3, "origin_sent_cents_hour": 30, "origin_sent_count_day": 4,
        "origin_sent_cents_day": 40, "origin_received_count_day": 2,
        "origin_received_cents_day": 20, "origin_sent_count_week": 4, "origin_sent_cents_week": 40,
        "origin_received_count_week": 2, "origin_received_cents_week": 20,
        "origin_sent_count_month": 8, "origin_sent_cents_month": 80,
        "origin_received_count_month": 8, "origin_received_cents_month": 80,
        "origin_sent_last": NOON - HOUR + 5, "origin_received_last": NOON - 7,
        "origin_first_day": day - 29, "origin_contacts_week": 1, "origin_contacts_month": 4,
        "origin_frauds_sent_week": 2, "origin_frauds_received_week": 3,
        "origin_frauds_sent_month": 3, "origin_frauds_received_month": 3, "origin_knows_other": 1}
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


def test_processes_share_history_and_answers(opened, shared_url):
    store, other = opened(shared_url), opened(shared_url)
    [first] = claim(store, payment("a"), now=NOON)
    assert claim(other, payment("a"), now=NOON + 5) == [first]
    [second] = claim(other, payment("b"), now=NOON + 5)
    assert second.recording_since == NOON
    assert counts(second)["origin_sent_count_day"] == 1
    assert other.finish([first], [b"first"]) == [b"first"]
    assert store.finish([first], [b"second"]) == [b"first"]


# Weeks and months, counterparties, known frauds.

@pytest.mark.parametrize(("later", "week", "month"), [
    (0, 1, 1), (6, 1, 1), (7, 0, 1), (29, 0, 1), (30, 0, 0), (1000, 0, 0)])
def test_longer_windows_are_counted_in_whole_days_by_the_clock(store, later, week, month):
    _, second = claim(store, payment("a"), payment("b", NOON + later * DAY_MS))
    before = counts(second)
    assert before.get("origin_sent_count_week", 0) == week
    assert before.get("destination_received_cents_month", 0) == 100 * month
    assert before.get("origin_knows_other", 0) == before.get("destination_knows_other", 0) == month
    assert before.get("origin_sent_last", 0) == NOON * month
    assert before.get("origin_first_day", 0) == NOON // DAY_MS * month


def test_days_fall_out_of_the_month_one_by_one(store):
    daily = [payment(f"t{day}", NOON + day * DAY_MS, amount_cents=1 << day) for day in range(40)]
    before = [counts(result) for result in claim(store, *daily)]
    assert [each.get("origin_sent_cents_month", 0) for each in before] == [
        sum(1 << earlier for earlier in range(max(0, day - 29), day)) for day in range(40)]
    assert [each.get("origin_sent_cents_week", 0) for each in before] == [
        sum(1 << earlier for earlier in range(max(0, day - 6), day)) for day in range(40)]
    assert [each["origin_first_day"] - NOON // DAY_MS for each in before[1:]] == [
        max(0, day - 29) for day in range(1, 40)]


def test_counterparties_are_those_paid_and_those_who_paid(store):
    claim(store, payment("a", destination="C3"), payment("b", origin="C4", destination="C1"),
          payment("c", destination=None), payment("d", destination="C3"))
    before = counts(claim(store, payment("e", destination="C4"))[0])
    assert before["origin_contacts_week"] == before["origin_contacts_month"] == 2
    assert before["origin_knows_other"] == before["destination_knows_other"] == 1
    assert "origin_knows_other" not in counts(claim(store, payment("f", destination="C5"))[0])


def fraud(transaction_id: str = "f", label_time: int = NOON, **changes) -> KnownFraud:
    return KnownFraud(transaction_id, label_time, "C1", "C2")._replace(**changes)


def test_a_known_fraud_counts_once_on_both_accounts(store):
    claim(store, payment("a"))
    assert store.label([fraud(), fraud(), fraud("g")]) == [True, False, True]
    assert store.label([fraud(label_time=NOON + 5)]) == [False]
    before = counts(claim(store, payment("b", origin="C2", destination="C1"))[0])
    assert before["origin_frauds_received_month"] == before["destination_frauds_sent_month"] == 2
    assert "origin_frauds_sent_month" not in before


def test_a_fraud_counts_for_a_week_and_a_month_from_the_day_on_which_it_became_known(store):
    store.label([fraud(label_time=NOON + DAY_MS)])
    before = [counts(result) for result in claim(store, *(
        payment(f"t{day}", NOON + day * DAY_MS) for day in (0, 1, 7, 8, 30, 31)))]
    assert [each.get("origin_frauds_sent_week", 0) for each in before] == [0, 1, 1, 0, 0, 0]
    assert [each.get("origin_frauds_sent_month", 0) for each in before] == [0, 1, 1, 1, 1, 0]


def test_a_fraud_on_an_account_that_never_paid_is_kept(store):
    store.label([fraud(origin="C7", destination=None)])
    before = counts(claim(store, payment("a", origin="C7"))[0])
    assert before == {"origin_frauds_sent_week": 1, "origin_frauds_sent_month": 1}


def test_a_fraud_to_oneself_counts_in_both_directions(store):
    store.label([fraud(destination="C1")])
    before = counts(claim(store, payment("a"))[0])
    assert before == {"origin_frauds_sent_week": 1, "origin_frauds_received_week": 1,
                      "origin_frauds_sent_month": 1, "origin_frauds_received_month": 1}


# Accounts.

def test_the_accounts_of_a_payment_are_known_by_its_id(store):
    odd = "ü \n\0#:*{}\"'" + "\U0001f600" * 50
    claims = claim(store, payment("a"), payment("b", destination=None),
                   payment("c", origin=odd, destination=odd[1:]), payment("d", destination="C1"))
    expected = [("C1", "C2"), None, ("C1", None), (odd, odd[1:]), ("C1", "C1"), ("C1", "C2")]
    ids = ["a", "unknown", "b", "c", "d", "a"]
    assert store.accounts(ids) == expected
    store.finish(claims, [b"yes"] * 4)
    claim(store, payment("a"), payment("a", origin="C9"))
    assert store.accounts(ids) == expected
    assert store.accounts([]) == []


def test_the_accounts_of_many_payments_are_known(store):
    claim(store, *(payment(f"t{index}", origin=f"C{index}") for index in range(150)))
    assert store.accounts([f"t{index}" for index in range(200)]) == [
        (f"C{index}", "C2") if index < 150 else None for index in range(200)]


def test_a_forgotten_account_has_no_history_and_others_keep_theirs(store):
    claim(store, payment("a"), payment("b", origin="C3"))
    store.label([fraud()])
    assert store.forget(["C1", "C7", "C1"]) == [True, False, False]
    [after] = claim(store, payment("c"))
    assert not any(name.startswith("origin") for name in counts(after))
    assert counts(after)["destination_received_count_month"] == 2
    assert not after.late and store.forget(["C1"]) == [True]


# The law: a store agrees with counting from scratch, in any order of arrival.

names = st.sampled_from(["C1", "C2", "C3"])
times = st.one_of(st.integers(0, 60 * HOUR), st.integers(0, 70).map(lambda day: day * DAY_MS),
                  st.integers(0, 70 * DAY_MS))
streams = st.lists(st.tuples(times, names, st.none() | names, st.integers(0, 10 ** 14),
                             st.booleans()), max_size=25)
runs = count()        # the same store serves all examples


@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=streams)
def test_a_store_counts_by_the_definition_in_order_of_arrival(store, stream):
    run = next(runs)
    events = []
    for index, (time, origin, destination, cents, is_label) in enumerate(stream):
        parties = {"origin": f"{run}{origin}", "destination": destination and f"{run}{destination}"}
        events.append(fraud(f"{run}-{index}", NOON + time, **parties) if is_label else
                      payment(f"{run}-{index}", NOON + time, amount_cents=cents, **parties))
    before = []
    for event in events:
        if isinstance(event, KnownFraud):
            assert store.label([event]) == [True]
        else:
            before.append(claim(store, event)[0].counts)
    assert before == list(recounted(events))
