from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud import history
from fraud.features import (
    FALLBACK_NAMES, FEATURES, GROUPS, NAMES, Payments, matrix, values, vector)
from fraud.history import counts_of
from fraud.transaction import EVENT_TIME_LIMIT, TYPES, Transaction

HOUR = 3_600_000
MAX_AMOUNT_CENTS = 10**14
MAX_BALANCE_CENTS = 10**15
MAX_COUNT = 2**53        # nobody makes so many payments: up to here a count is exact in float64
MAX_SUM = 2**63 - 1      # of cents: beyond 2**53, to the end of int64

NOTHING_BEFORE = counts_of([0] * len(history.NAMES))


def payment(**changes) -> Transaction:
    """A transfer of 100.00 from an account that holds 400.00, at midnight."""
    return Transaction(**{
        "transaction_id": "t-1", "event_time": 0, "type_code": TYPES.index("TRANSFER"),
        "amount_cents": 100_00, "origin": "C1", "destination": "C2",
        "origin_balance_cents": 400_00, "destination_balance_cents": 0, **changes})


def counts(**changes):
    """Counts of accounts that did nothing but what is named here."""
    assert not changes.keys() - set(history.NAMES)
    return counts_of([changes.get(name, 0) for name in history.NAMES])


def named(payment, counts=NOTHING_BEFORE) -> dict[str, float]:
    return dict(zip(NAMES, vector(payment, counts)[0].tolist(), strict=True))


def columns_of(payments) -> Payments:
    return Payments(*(np.array([getattr(one, field) for one in payments], np.int64)
                      for field in Payments._fields))


def counts_in_columns(rows):
    """Rows of sixteen integers as `Counts` of arrays."""
    return counts_of(list(np.array(rows, np.int64).reshape(-1, len(history.NAMES)).T))


def assert_bit_equal(left, right):
    assert left.dtype == right.dtype == np.float32
    np.testing.assert_array_equal(left.view(np.uint32), right.view(np.uint32))


def around(*borders):
    """Integers within three of a border."""
    return st.builds(int.__add__, st.sampled_from(borders), st.integers(-3, 3))


def within(low, high, *borders):
    """Integers of a range, often near zero, its ends, and other borders."""
    near = around(0, low, high, *borders).filter(lambda number: low <= number <= high)
    return st.integers(low, high) | st.integers(max(low, -10_000), min(high, 10_000)) | near


balances = within(-MAX_BALANCE_CENTS, MAX_BALANCE_CENTS, MAX_AMOUNT_CENTS, 2**24, 2**32)


@st.composite
def payments(draw):
    """Any valid payment; often one that takes all that there is, or a cent more or less."""
    amount = draw(within(0, MAX_AMOUNT_CENTS, 2**24, 2**32))
    return payment(
        event_time=draw(within(0, EVENT_TIME_LIMIT - 1, HOUR, 24 * HOUR)),
        type_code=draw(st.integers(0, len(TYPES) - 1)),
        amount_cents=amount,
        origin_balance_cents=draw(balances | around(amount)),
        destination_balance_cents=draw(balances),
    )


sums = within(0, MAX_SUM, 2**53, 2**54, 2**62)
numbers = within(0, MAX_COUNT, 2**24, 2**25)
count_rows = st.tuples(*(sums if "cents" in name else numbers for name in history.NAMES))


# The features and their names.

def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_the_names_of_the_fallback_come_first():
    assert NAMES[:len(FALLBACK_NAMES)] == FALLBACK_NAMES
    assert 0 < len(FALLBACK_NAMES) < len(NAMES)


def test_every_feature_has_a_group_and_a_meaning_of_one_line():
    assert tuple(feature.name for feature in FEATURES) == NAMES
    assert GROUPS == {feature.name: feature.group for feature in FEATURES}
    assert all(feature.group for feature in FEATURES)
    assert all(feature.meaning and "\n" not in feature.meaning for feature in FEATURES)


def test_there_is_one_value_for_each_name():
    assert len(values(payment(), NOTHING_BEFORE)) == len(NAMES)
    assert len(values(payment(), None)) == len(FALLBACK_NAMES)


def test_a_vector_is_one_row_and_a_matrix_one_row_for_each_payment():
    many = columns_of([payment()] * 3)
    assert vector(payment(), NOTHING_BEFORE).shape == (1, len(NAMES))
    assert vector(payment(), None).shape == (1, len(FALLBACK_NAMES))
    assert matrix(many, counts_in_columns([[0] * 16] * 3)).shape == (3, len(NAMES))
    assert matrix(many, None).shape == (3, len(FALLBACK_NAMES))


def test_no_payments_are_no_rows():
    assert matrix(columns_of([]), counts_in_columns([])).shape == (0, len(NAMES))
    assert matrix(columns_of([]), None).shape == (0, len(FALLBACK_NAMES))


# One definition: the same bits for one payment and for many.

@given(st.lists(st.tuples(payments(), count_rows), min_size=1, max_size=5))
def test_the_vector_of_each_payment_is_its_row_of_the_matrix(cases):
    rows = matrix(columns_of([one for one, _ in cases]),
                  counts_in_columns([before for _, before in cases]))
    assert_bit_equal(rows, np.concatenate(
        [vector(one, counts_of(before)) for one, before in cases]))


@given(payments(), count_rows)
def test_one_and_many_agree_even_before_they_are_rounded_to_float32(one, before):
    of_many = values(columns_of([one]), counts_in_columns([before]))
    exact = np.array([column[0] for column in of_many], np.float64)
    np.testing.assert_array_equal(
        exact.view(np.uint64),
        np.array(values(one, counts_of(before)), np.float64).view(np.uint64))


@given(payments())
def test_money_is_the_float_nearest_to_its_decimal(one):
    seen = dict(zip(NAMES, values(one, None)))
    assert seen["amount"] == one.amount_cents / 100
    assert seen["origin_balance"] == one.origin_balance_cents / 100
    assert seen["destination_balance"] == one.destination_balance_cents / 100
    assert seen["balance_left"] == (one.origin_balance_cents - one.amount_cents) / 100


@given(st.lists(payments(), min_size=1, max_size=10))
def test_without_counts_the_vector_of_each_payment_is_its_row_of_the_matrix(cases):
    assert_bit_equal(matrix(columns_of(cases), None),
                     np.concatenate([vector(one, None) for one in cases]))


def test_vectors_are_rows_of_a_matrix_long_enough_for_every_vector_instruction():
    generator = np.random.default_rng(7)
    size = 2_003

    def up_to(limit):
        """Integers of every magnitude."""
        return (limit * 10.0 ** -generator.uniform(0, 15, size)).astype(np.int64)

    amount = up_to(MAX_AMOUNT_CENTS)
    many = Payments(
        event_time=generator.integers(0, EVENT_TIME_LIMIT, size),
        type_code=generator.integers(0, len(TYPES), size),
        amount_cents=amount,
        origin_balance_cents=np.where(
            generator.random(size) < 0.2, amount,
            up_to(MAX_BALANCE_CENTS) * generator.choice([-1, 1], size)),
        destination_balance_cents=up_to(MAX_BALANCE_CENTS) * generator.choice([-1, 1], size),
    )
    before = [up_to(2**62 if "cents" in name else MAX_COUNT) for name in history.NAMES]
    one_by_one = [
        vector(payment(**dict(zip(Payments._fields, one))), counts_of(counted))
        for one, counted in zip(zip(*(column.tolist() for column in many)),
                                zip(*(column.tolist() for column in before)))]
    assert_bit_equal(matrix(many, counts_of(before)), np.concatenate(one_by_one))


@given(payments(), count_rows)
def test_the_fallback_sees_the_first_of_what_the_model_sees(one, before):
    assert_bit_equal(vector(one, None)[0],
                     vector(one, counts_of(before))[0, :len(FALLBACK_NAMES)])


@given(payments(), count_rows)
def test_every_feature_is_finite(one, before):
    assert np.isfinite(vector(one, counts_of(before))).all()
    with np.errstate(all="raise"):
        assert np.isfinite(matrix(columns_of([one]), counts_in_columns([before]))).all()


@given(payments(), count_rows)
def test_every_share_lies_between_none_and_all(one, before):
    shares = {name: value for name, value in named(one, counts_of(before)).items()
              if "share" in name}
    assert len(shares) == 5
    assert all(0 <= share <= 1 for share in shares.values())


# Nothing is known too early.

class AtAuthorisation(NamedTuple):
    """What is known when a payment asks to be authorised: to want more is an error."""

    event_time: object
    type_code: object
    amount_cents: object
    origin_balance_cents: object
    destination_balance_cents: object

    def __getattr__(self, name):
        raise AssertionError(f"a feature depends on {name}")


@pytest.mark.parametrize("name", [
    "transaction_id", "origin", "destination", "is_fraud", "label_time", "incident_id",
    "fraud_type", "new_origin_balance_cents"])
def test_what_is_known_at_authorisation_holds_nothing_else(name):
    known = AtAuthorisation(0, 4, 100_00, 400_00, 0)
    with pytest.raises(AssertionError, match=f"depends on {name}"):
        getattr(known, name)


@given(payments(), count_rows)
def test_features_need_only_what_is_known_at_authorisation(one, before):
    known = AtAuthorisation(*(getattr(one, field) for field in AtAuthorisation._fields))
    assert_bit_equal(vector(known, counts_of(before)), vector(one, counts_of(before)))
    assert_bit_equal(vector(known, None), vector(one, None))


def test_features_of_many_payments_need_only_what_is_known_at_authorisation():
    many = columns_of([payment(), payment(amount_cents=1)])
    before = counts_in_columns([range(16), range(16, 32)])
    assert_bit_equal(matrix(AtAuthorisation(*many), before), matrix(many, before))


texts = st.text(min_size=1, max_size=64)


@given(payments(), count_rows, texts, texts, texts)
def test_features_do_not_depend_on_who_pays_whom_under_which_id(one, before, name, payer, payee):
    renamed = msgspec.structs.replace(
        one, transaction_id=name, origin=payer, destination=payee)
    assert_bit_equal(vector(renamed, counts_of(before)), vector(one, counts_of(before)))


# Examples worked out by hand.

def test_a_drained_account():
    seen = named(payment(amount_cents=181_00, origin_balance_cents=181_00))
    assert seen["amount"] == seen["origin_balance"] == 181
    assert seen["balance_left"] == 0
    assert seen["amount_share_of_balance"] == pytest.approx(0.4999862, abs=1e-7)  # 181 / 362.01
    assert seen["empties_account"] == 1
    assert seen["exceeds_balance"] == 0
    assert seen["drained_share_day"] == pytest.approx(0.9999448, abs=1e-7)        # 181 / 181.01


def test_an_account_that_keeps_three_quarters():
    seen = named(payment(amount_cents=100_00, origin_balance_cents=400_00))
    assert seen["balance_left"] == 300
    assert seen["amount_share_of_balance"] == pytest.approx(0.1999960, abs=1e-7)  # 100 / 500.01
    assert seen["empties_account"] == seen["exceeds_balance"] == 0
    assert seen["drained_share_day"] == pytest.approx(0.2499938, abs=1e-7)        # 100 / 400.01


@pytest.mark.parametrize(("amount_cents", "empties", "exceeds"), [
    (180_99, 0, 0), (181_00, 1, 0), (181_01, 0, 1)])
def test_one_cent_parts_less_than_all_from_all_from_more(amount_cents, empties, exceeds):
    seen = named(payment(amount_cents=amount_cents, origin_balance_cents=181_00))
    assert (seen["empties_account"], seen["exceeds_balance"]) == (empties, exceeds)


def test_an_overdrawn_account():
    seen = named(payment(amount_cents=30_00, origin_balance_cents=-50_00,
                         destination_balance_cents=-12_50))
    assert seen["origin_balance"] == -50
    assert seen["destination_balance"] == -12.5
    assert seen["balance_left"] == -80
    assert seen["amount_share_of_balance"] == pytest.approx(0.9996668, abs=1e-7)  # 30 / 30.01
    assert seen["empties_account"] == 0
    assert seen["exceeds_balance"] == 1
    assert seen["drained_share_day"] == pytest.approx(0.9996668, abs=1e-7)        # none is kept


def test_nothing_from_an_empty_account():
    seen = named(payment(amount_cents=0, origin_balance_cents=0))
    assert {name for name, value in seen.items() if value} == {"empties_account", "is_transfer"}


def test_money_that_is_passed_on():
    seen = named(payment(amount_cents=500_00), counts(
        origin_received_count_hour=1, origin_received_cents_hour=500_00,
        origin_received_count_day=2, origin_received_cents_day=1500_00))
    hour, day = seen["amount_share_of_received_hour"], seen["amount_share_of_received_day"]
    assert hour == pytest.approx(0.4999950, abs=1e-7)                             # 500 / 1000.01
    assert day == pytest.approx(0.2499988, abs=1e-7)                              # 500 / 2000.01


def test_money_that_was_never_received():
    seen = named(payment(amount_cents=500_00))
    assert seen["amount_share_of_received_hour"] == pytest.approx(0.9999800, abs=1e-7)
    assert seen["amount_share_of_received_day"] == pytest.approx(0.9999800, abs=1e-7)


def test_an_account_drained_in_parts():
    seen = named(payment(amount_cents=100_00, origin_balance_cents=200_00),
                 counts(origin_sent_count_day=3, origin_sent_cents_day=300_00))
    assert seen["drained_share_day"] == pytest.approx(0.7999840, abs=1e-7)        # 400 / 500.01


@pytest.mark.parametrize(("sent_cents", "share"), [
    (0, 0), (70_00, 0.4999643), (210_00, 0.7499732)])    # 0, 70 / 140.01, 210 / 280.01
def test_a_destination_that_passes_on_what_it_receives(sent_cents, share):
    seen = named(payment(), counts(destination_sent_cents_day=sent_cents,
                                   destination_received_cents_day=70_00))
    assert seen["destination_passed_on_share_day"] == pytest.approx(share, abs=1e-7)


def test_each_count_stands_under_its_name_and_sums_are_in_currency_units():
    numbered = {name: 100 * (1 + place) for place, name in enumerate(history.NAMES)}
    seen = named(payment(), counts(**numbered))
    for name, number in numbered.items():
        expected = number / 100 if "cents" in name else number
        assert seen[name.replace("cents", "amount")] == expected


@pytest.mark.parametrize("kind", TYPES)
def test_only_the_flag_of_its_type_is_set(kind):
    seen = named(payment(type_code=TYPES.index(kind)))
    flags = {f"is_{name.lower()}": float(name == kind) for name in TYPES}
    assert {name: value for name, value in seen.items() if name.startswith("is_")} == flags


@pytest.mark.parametrize(("event_time", "hour"), [
    (0, 0), (HOUR - 1, 0), (HOUR, 1), (24 * HOUR - 1, 23), (24 * HOUR, 0),
    (1767225600000 - 1, 23), (1767225600000 + 13 * HOUR, 13)])    # the turn of the year 2026
def test_the_hour_of_day_is_in_utc(event_time, hour):
    assert named(payment(event_time=event_time))["hour_of_day"] == hour
