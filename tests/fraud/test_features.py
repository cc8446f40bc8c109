from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies as st

from fraud.clock import DAY_MS, HOUR_MS
from fraud.features import DEFAULT, FeatureTable, PaymentColumns
from fraud.transaction import EVENT_TIME_LIMIT, TYPES
from fraud.windows import COUNT_NAMES, WINDOWS, counts_of
from tests import factories
from tests.fraud.strategies import (
    MAX_AMOUNT_CENTS, MAX_BALANCE_CENTS, MAX_COUNT, count_rows, payments)

payment = partial(factories.payment, event_time=0)
NAMES, FALLBACK_NAMES = DEFAULT.names, DEFAULT.fallback_names
columns_of, matrix, values, vector = (
    DEFAULT.columns, DEFAULT.matrix, DEFAULT.values, DEFAULT.vector)
NOW = 20_000 * DAY_MS + 5 * HOUR_MS
NOTHING_BEFORE = counts_of([0] * len(COUNT_NAMES))


def counts(**changes):
    """Counts that are zero but for the ones named here."""
    assert not changes.keys() - set(COUNT_NAMES)
    return counts_of([changes.get(name, 0) for name in COUNT_NAMES])


def named(payment, counts=NOTHING_BEFORE) -> dict[str, float]:
    return dict(zip(NAMES, vector(payment, counts)[0].tolist(), strict=True))


def counts_in_columns(rows):
    """Rows of integers as `Counts` of arrays."""
    return counts_of(list(np.array(rows, np.int64).reshape(-1, len(COUNT_NAMES)).T))


def assert_bit_equal(left, right):
    assert left.dtype == right.dtype == np.float32
    np.testing.assert_array_equal(left.view(np.uint32), right.view(np.uint32))


# The features and their names.

def test_names_are_unique():
    assert len(set(NAMES)) == len(NAMES)


def test_the_names_of_the_fallback_come_first():
    assert NAMES[:len(FALLBACK_NAMES)] == FALLBACK_NAMES
    assert 0 < len(FALLBACK_NAMES) < len(NAMES)


def test_every_feature_has_a_group_and_a_meaning_of_one_line():
    features = DEFAULT.features
    assert tuple(feature.name for feature in features) == NAMES
    assert DEFAULT.groups == {feature.name: feature.group for feature in features}
    assert all(feature.group for feature in features)
    assert all(feature.meaning and "\n" not in feature.meaning for feature in features)


def test_there_is_one_value_for_each_name():
    assert len(values(payment(), NOTHING_BEFORE)) == len(NAMES)
    assert len(values(payment(), None)) == len(FALLBACK_NAMES)


def test_a_vector_is_one_row_and_a_matrix_one_row_for_each_payment():
    many = columns_of([payment()] * 3)
    assert vector(payment(), NOTHING_BEFORE).shape == (1, len(NAMES))
    assert vector(payment(), None).shape == (1, len(FALLBACK_NAMES))
    assert matrix(many, counts_in_columns([[0] * len(COUNT_NAMES)] * 3)).shape == (3, len(NAMES))
    assert matrix(many, None).shape == (3, len(FALLBACK_NAMES))


def test_no_payments_are_no_rows():
    assert matrix(columns_of([]), counts_in_columns([])).shape == (0, len(NAMES))
    assert matrix(columns_of([]), None).shape == (0, len(FALLBACK_NAMES))


# One definition: the same bits for one payment and for many.

@given(st.lists(st.tuples(payments(), count_rows), min_size=1, max_size=5))
def test_the_vector_of_each_payment_is_its_row_of_the_matrix(cases):
    rows = matrix(columns_of([case for case, _ in cases]),
                  counts_in_columns([before for _, before in cases]))
    assert_bit_equal(rows, np.concatenate(
        [vector(case, counts_of(before)) for case, before in cases]))


@given(payments(), count_rows)
def test_scalars_and_arrays_agree_even_before_they_are_rounded_to_float32(case, before):
    of_many = values(columns_of([case]), counts_in_columns([before]))
    exact = np.array([column[0] for column in of_many], np.float64)
    np.testing.assert_array_equal(
        exact.view(np.uint64),
        np.array(values(case, counts_of(before)), np.float64).view(np.uint64))


@given(payments(unknown=False))
def test_money_is_the_float_nearest_to_its_decimal(case):
    seen = dict(zip(FALLBACK_NAMES, values(case, None), strict=True))
    assert seen["amount"] == case.amount_cents / 100
    assert seen["origin_balance"] == case.origin_balance_cents / 100
    assert seen["destination_balance"] == case.destination_balance_cents / 100
    assert seen["balance_left"] == (case.origin_balance_cents - case.amount_cents) / 100


@given(st.lists(payments(), min_size=1, max_size=10))
def test_without_counts_the_vector_of_each_payment_is_its_row_of_the_matrix(cases):
    assert_bit_equal(matrix(columns_of(cases), None),
                     np.concatenate([vector(case, None) for case in cases]))


def test_vectors_are_rows_of_a_matrix_long_enough_for_every_vector_instruction():
    generator = np.random.default_rng(7)
    size = 2_003

    def up_to(limit):
        """Integers of every magnitude."""
        return (limit * 10.0 ** -generator.uniform(0, 15, size)).astype(np.int64)

    amount = up_to(MAX_AMOUNT_CENTS)
    many = PaymentColumns(
        event_time=generator.integers(0, EVENT_TIME_LIMIT, size),
        type=generator.integers(0, len(TYPES), size),
        amount_cents=amount,
        destination=np.ones(size, bool),
        origin_balance_cents=np.where(
            generator.random(size) < 0.2, amount,
            up_to(MAX_BALANCE_CENTS) * generator.choice([-1, 1], size)).astype(float),
        destination_balance_cents=(
            up_to(MAX_BALANCE_CENTS) * generator.choice([-1, 1], size)).astype(float),
    )
    before = [up_to(2**62 if "cents" in name else MAX_COUNT) for name in COUNT_NAMES]
    one_by_one = [
        vector(payment(event_time=time, type=TYPES[kind], amount_cents=cents,
                       origin_balance_cents=int(balance),
                       destination_balance_cents=int(other_balance)), counts_of(counted))
        for time, kind, cents, _, balance, other_balance, *counted in zip(
            *(column.tolist() for column in (*many, *before)), strict=True)]
    assert_bit_equal(matrix(many, counts_of(before)), np.concatenate(one_by_one))


@given(payments(), count_rows)
def test_the_features_of_the_fallback_are_the_first_ones_of_the_model(case, before):
    assert_bit_equal(vector(case, None)[0],
                     vector(case, counts_of(before))[0, :len(FALLBACK_NAMES)])


@given(payments(unknown=False), count_rows)
def test_every_feature_is_finite(case, before):
    assert np.isfinite(vector(case, counts_of(before))).all()
    with np.errstate(all="raise"):
        assert np.isfinite(matrix(columns_of([case]), counts_in_columns([before]))).all()


@given(payments(), count_rows)
def test_every_share_lies_between_none_and_all(case, before):
    shares = {name: value for name, value in named(case, counts_of(before)).items()
              if "share" in name}
    assert len(shares) == 11
    assert all(np.isnan(share) or 0 <= share <= 1 for share in shares.values())


# What is not known is NaN.

@pytest.mark.parametrize(("changes", "unknown"), [
    ({"origin_balance_cents": None}, {
        "origin_balance", "balance_left", "amount_share_of_balance", "empties_account",
        "exceeds_balance", "drained_share_day"}),
    ({"destination_balance_cents": None}, {"destination_balance"}),
    ({"destination": None}, {name for name in NAMES if name.startswith("destination_")
                             and name != "destination_balance"} | {
        "amount_share_of_mean_received", "new_destination", "new_origin"}),
    ({}, set())])
def test_a_feature_of_what_is_not_known_is_nan(changes, unknown):
    case = payment(**changes)
    assert set(DEFAULT.unknown(case)) == unknown
    seen = named(case)
    assert {name for name, value in seen.items() if np.isnan(value)} == unknown
    rows = matrix(columns_of([case, payment()]), counts_in_columns([[0] * len(COUNT_NAMES)] * 2))
    assert {name for name, value in zip(NAMES, rows[0], strict=True) if np.isnan(value)} == unknown
    assert not np.isnan(rows[1]).any()


def test_features_can_be_left_out_and_types_chosen():
    table = FeatureTable(("REFUND", "SALE"), {"origin_balance", "drained_share_day"})
    assert {"is_refund", "is_sale"} < set(table.names)
    assert set(table.names).isdisjoint({"is_transfer", "origin_balance", "drained_share_day"})
    assert table.names[:len(table.fallback_names)] == table.fallback_names
    seen = dict(zip(table.names, table.vector(payment(type="SALE"), NOTHING_BEFORE)[0],
                    strict=True))
    assert (seen["is_sale"], seen["is_refund"]) == (1, 0)
    with pytest.raises(KeyError):
        table.vector(payment(type="TRANSFER"), NOTHING_BEFORE)


# Nothing is known too early.

class AtAuthorisation(NamedTuple):
    """The fields known when a payment asks to be authorised: reading any other is an error."""

    event_time: object
    type: object
    amount_cents: object
    destination: object
    origin_balance_cents: object
    destination_balance_cents: object

    def __getattr__(self, name):
        raise AssertionError(f"a feature depends on {name}")


@pytest.mark.parametrize("name", [
    "transaction_id", "origin", "is_fraud", "label_time", "incident_id",
    "fraud_type", "new_origin_balance_cents"])
def test_no_other_field_is_known_at_authorisation(name):
    known = AtAuthorisation(0, "TRANSFER", 100_00, "C2", 400_00, 0)
    with pytest.raises(AssertionError, match=f"depends on {name}"):
        getattr(known, name)


@given(payments(), count_rows)
def test_features_need_only_what_is_known_at_authorisation(case, before):
    known = AtAuthorisation(*(getattr(case, field) for field in AtAuthorisation._fields))
    assert_bit_equal(vector(known, counts_of(before)), vector(case, counts_of(before)))
    assert_bit_equal(vector(known, None), vector(case, None))


def test_features_of_many_payments_need_only_what_is_known_at_authorisation():
    many = columns_of([payment(), payment(amount_cents=1)])
    before = counts_in_columns(np.arange(2 * len(COUNT_NAMES)))
    assert_bit_equal(matrix(AtAuthorisation(*many), before), matrix(many, before))


texts = st.text(min_size=1, max_size=64)


@given(payments(), count_rows, texts, texts, texts)
def test_features_do_not_depend_on_names_and_ids(case, before, name, payer, payee):
    renamed = msgspec.structs.replace(
        case, transaction_id=name, origin=payer, destination=case.destination and payee)
    assert_bit_equal(vector(renamed, counts_of(before)), vector(case, counts_of(before)))


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
def test_one_cent_separates_less_than_all_from_all_and_from_more(amount_cents, empties, exceeds):
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
    seen = named(payment(event_time=NOW // DAY_MS * DAY_MS, amount_cents=0,
                         origin_balance_cents=0))
    assert {name for name, value in seen.items() if value} == {
        "empties_account", "is_transfer", "new_destination", "new_origin",
        *(f"{side}_hours_since_{direction}" for side in ("origin", "destination")
          for direction in ("sent", "received"))}


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


def test_each_count_has_the_feature_of_its_name_and_sums_are_in_currency_units():
    numbered = {name: 100 * (1 + index) for index, name in enumerate(COUNT_NAMES)
                if not name.endswith(("_last", "_first_day", "_knows_other"))}
    seen = named(payment(), counts(**numbered))
    for name, number in numbered.items():
        expected = number / 100 if "cents" in name else number
        assert seen[name.replace("cents", "amount")] == expected


@pytest.mark.parametrize("windows", range(len(WINDOWS) + 1))
def test_a_feature_of_a_window_that_is_not_known_is_nan(windows):
    case, zeros = payment(), [0] * len(COUNT_NAMES)
    one = vector(case, counts_of(zeros, windows))
    many = matrix(columns_of([case] * 2), counts_of(
        [np.zeros(2, np.int64)] * len(zeros), np.array([windows, 4])))
    assert_bit_equal(many[:1], one)
    assert {feature.name for feature, value in zip(DEFAULT.features, one[0], strict=True)
            if np.isnan(value)} == {
        feature.name for feature in DEFAULT.features if feature.windows > windows}
    assert not np.isnan(many[1]).any()


@pytest.mark.parametrize("before", [NOTHING_BEFORE, None])
def test_a_few_payments_have_the_rows_of_each_alone(before):
    cases = [payment(amount_cents=amount) for amount in (0, 1, 10 ** 14)]
    rows = DEFAULT.vectors(cases, [before] * len(cases))
    for row, case in zip(rows, cases, strict=True):
        assert_bit_equal(row[np.newaxis], vector(case, before))


@pytest.mark.parametrize(("ago", "hours"), [
    (0, 0), (90 * 60_000, 1.5), (-HOUR_MS, 0), (30 * DAY_MS - 1, 720), (31 * DAY_MS, 720)])
def test_hours_since_the_last_payment_are_at_most_a_month(ago, hours):
    seen = named(payment(event_time=NOW), counts(origin_sent_last=NOW - ago))
    assert seen["origin_hours_since_sent"] == pytest.approx(hours)
    assert seen["origin_hours_since_received"] == 720


def test_the_age_of_an_account_is_counted_from_its_first_day_of_the_month():
    seen = named(payment(event_time=NOW), counts(origin_first_day=19_990, destination_first_day=0))
    assert (seen["origin_age_days"], seen["destination_age_days"]) == (10, 0)


def test_an_amount_is_compared_with_the_mean_of_the_month():
    seen = named(payment(amount_cents=300_00), counts(
        origin_sent_count_month=4, origin_sent_cents_month=400_00))
    assert seen["amount_share_of_mean_sent"] == pytest.approx(0.7505, abs=1e-3)   # 300 / 399.76
    assert seen["amount_share_of_mean_received"] == pytest.approx(1, abs=1e-4)


def test_known_frauds_have_a_share_of_the_payments():
    seen = named(payment(), counts(
        origin_frauds_sent_month=1, origin_sent_count_month=3, destination_frauds_received_month=5,
        destination_received_count_month=5, destination_frauds_received_week=2,
        destination_received_count_week=3))
    assert seen["origin_fraud_share_month"] == pytest.approx(1 / 4.01)
    assert seen["origin_fraud_share_week"] == 0
    assert seen["destination_fraud_share_month"] == pytest.approx(5 / 10.01)
    assert seen["destination_fraud_share_week"] == pytest.approx(2 / 5.01)


@pytest.mark.parametrize("kind", TYPES)
def test_only_the_flag_of_its_type_is_set(kind):
    seen = named(payment(type=kind))
    flags = {f"is_{name.lower()}": float(name == kind) for name in TYPES}
    assert {name: value for name, value in seen.items() if name.startswith("is_")} == flags


@pytest.mark.parametrize(("event_time", "hour"), [
    (0, 0), (HOUR_MS - 1, 0), (HOUR_MS, 1), (24 * HOUR_MS - 1, 23), (24 * HOUR_MS, 0),
    (1767225600000 - 1, 23), (1767225600000 + 13 * HOUR_MS, 13)])    # the turn of the year 2026
def test_the_hour_of_day_is_in_utc(event_time, hour):
    assert named(payment(event_time=event_time))["hour_of_day"] == hour
