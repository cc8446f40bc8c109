import math
import re

import msgspec
import pytest
from hypothesis import given, strategies as st

from fraud.clock import DAY_MS, HOUR_MS
from fraud.feature_definitions import TYPE
from fraud.features import DEFAULT
from fraud.reasons import SENTENCES, UsualPayment, sentence
from fraud.windows import COUNT_NAMES, counts_of
from tests.factories import payment
from tests.fraud.strategies import count_rows, payments

USUAL = dict.fromkeys(DEFAULT.names, 0.0) | {
    "amount": 74.2, "origin_balance": 5_120.0, "destination_balance": 300.0, "hour_of_day": 14.0,
    "is_transfer": 1.0}
FALLBACK_GROUPS = {DEFAULT.groups[name] for name in DEFAULT.fallback_names} - {TYPE}


def text(group: str, counts: dict[str, int] | None = None, usual: dict[str, float] | None = None,
         **changes) -> str:
    """The sentence of a group for a payment with changes, after counts that are named."""
    before = counts_of([(counts or {}).get(name, 0) for name in COUNT_NAMES])
    exact = DEFAULT.exact(payment(**changes), before)
    return sentence(group, exact, UsualPayment(USUAL | (usual or {}), "TRANSFER"))


# For every group and all values.

def test_every_group_of_features_but_the_type_has_a_sentence():
    assert set(SENTENCES) == set(DEFAULT.groups.values()) - {TYPE}


def test_codes_are_stable():
    assert set(SENTENCES) == {
        "amount", "origin-balance", "destination-balance", "amount-against-balance", "time-of-day",
        "recent-sending-of-the-origin", "recent-receiving-of-the-origin",
        "recent-sending-of-the-destination", "recent-receiving-of-the-destination",
        "passing-money-on", "age-of-the-origin", "age-of-the-destination", "counterparties",
        "amount-against-mean", "known-frauds"}


def assert_readable(sentence: str) -> None:
    assert re.fullmatch(r"[A-Z][^\n]{10,150}[^.\s]", sentence), sentence
    assert not re.search(r"nan|inf|None|-0\.00|\d{4}|e[+-]\d", sentence), sentence


references = st.builds(DEFAULT.exact, payments(unknown=False), count_rows.map(counts_of))


@given(payments(unknown=False), count_rows, references)
def test_every_group_has_a_readable_sentence_for_any_values(one, before, reference):
    exact = DEFAULT.exact(one, counts_of(before))
    for group in SENTENCES:
        assert_readable(sentence(group, exact, reference))


@given(payments(), count_rows, st.integers(2, 4), references)
def test_a_group_of_which_anything_is_known_has_a_sentence(one, before, windows, reference):
    row = DEFAULT.vector(one, counts_of(before, windows))[0]
    known = {DEFAULT.groups[name] for name, value in zip(DEFAULT.names, row, strict=True)
             if not math.isnan(value)} - {TYPE}
    exact = DEFAULT.exact(one, counts_of(before, windows))
    for group in known:
        assert_readable(sentence(group, exact, reference))


@given(payments(unknown=False), references)
def test_without_history_the_groups_of_the_payment_have_sentences(one, reference):
    exact = DEFAULT.exact(one, None)
    known = UsualPayment({name: reference[name] for name in DEFAULT.fallback_names}, one.type)
    for group in FALLBACK_GROUPS:
        assert_readable(sentence(group, exact, known))


@given(payments(unknown=False))
def test_only_a_payment_of_the_whole_balance_takes_all_of_it(one):
    exact = DEFAULT.exact(one, None)
    takes_all = (one.amount_cents == one.origin_balance_cents > 0
                 and one.type != "CASH_IN")
    described = sentence("amount-against-balance", exact, UsualPayment(USUAL, one.type))
    assert ("Takes all of" in described) == takes_all


@given(payments(), count_rows)
def test_what_is_sent_is_described_without_the_balance_where_that_is_not_known(one, before):
    exact = DEFAULT.exact(
        msgspec.structs.replace(one, origin_balance_cents=None), counts_of(before))
    described = sentence("recent-sending-of-the-origin", exact, UsualPayment(USUAL, one.type))
    assert_readable(described)
    assert "keeps" not in described


# Examples.

@pytest.mark.parametrize(("amount", "balance", "expected"), [
    (181_000_50, 181_000_50, "Takes all of the 181,000.50 the sender holds"),
    (95_00, 100_00, "Takes 95 % of the 100.00 the sender holds"),
    (999_999_99, 1_000_000_00, "Takes more than 99 % of the 1,000,000.00 the sender holds"),
    (1, 1_000_00, "Takes less than 1 % of the 1,000.00 the sender holds"),
    (0, 50_00, "Takes none of the 50.00 the sender holds"),
    (300_00, 181_00, "Takes 300.00, more than the 181.00 the sender holds"),
    (30_00, 0, "Takes 30.00 from a sender who holds nothing"),
    (30_00, -50_00, "Takes 30.00 from a sender who is overdrawn by 50.00"),
    (0, 0, "Takes 0.00 from a sender who holds nothing")])
def test_the_amount_is_compared_with_the_balance(amount, balance, expected):
    assert text("amount-against-balance", amount_cents=amount,
                origin_balance_cents=balance) == expected


def test_a_cash_in_takes_nothing():
    assert text("amount-against-balance", type="CASH_IN", amount_cents=20_00,
                origin_balance_cents=5_00) == "Pays 20.00 into an account that holds 5.00"


@pytest.mark.parametrize(("group", "expected"), [
    ("amount", "Moves 100.00; a usual TRANSFER, 74.20"),
    ("origin-balance", "The sender holds 400.00; a usual one holds 5,120.00"),
    ("destination-balance", "The recipient holds nothing; a usual one holds 300.00"),
    ("time-of-day",
     "Made between 12:00 and 13:00 UTC; a usual TRANSFER, between 14:00 and 15:00 UTC")])
def test_a_payment_is_compared_with_a_usual_one(group, expected):
    assert text(group) == expected


RECEIVED = {"destination_received_count_hour": 14, "destination_received_count_day": 15,
            "destination_received_cents_hour": 90_00, "destination_received_cents_day": 95_00}


@pytest.mark.parametrize(("usual", "expected"), [
    ({}, "The recipient received 14 payments in the last hour or two; a usual one, none"),
    ({"destination_received_count_hour": 20.0, "destination_received_count_day": 2.5},
     "The recipient received 15 payments in the last day; a usual one, 2.5"),
    ({"destination_received_count_hour": 20.0, "destination_received_count_day": 20.0,
      "destination_received_amount_hour": 10.0},
     "The recipient received 90.00 in the last hour or two; a usual one, 10.00"),
    ({"destination_received_count_hour": 20.0, "destination_received_count_day": 20.0,
      "destination_received_amount_hour": 100.0, "destination_received_amount_day": 100.0},
     "The recipient received 15 payments in the last day; a usual one, 20")])
def test_the_first_measure_above_its_reference_is_named(usual, expected):
    assert text("recent-receiving-of-the-destination", RECEIVED, usual) == expected


def test_a_single_payment_is_not_plural():
    assert text("recent-receiving-of-the-origin", {"origin_received_count_hour": 1}) == (
        "The sender received 1 payment in the last hour or two; a usual one, none")


def test_a_quiet_sender_is_described_by_what_it_keeps():
    group = "recent-sending-of-the-origin"
    assert text(group) == (
        "With this payment the sender has sent 100.00 in the last day and keeps 300.00")
    assert text(group, amount_cents=400_00).endswith("has sent 400.00 in the last day and keeps "
                                                     "nothing")
    assert text(group, type="CASH_IN") == (
        "The sender sent no payments in the last day; a usual one, none")


def test_a_recipient_below_its_references_is_described_by_both_sums():
    usual = dict.fromkeys(DEFAULT.names, 1e6)
    counts = {"destination_sent_cents_day": 70_00, "destination_received_cents_day": 80_00}
    assert text("recent-sending-of-the-destination", counts, usual) == (
        "The recipient sent 70.00 and received 80.00 in the last day")


@pytest.mark.parametrize(("counts", "expected"), [
    ({"origin_received_cents_hour": 99_00, "origin_received_cents_day": 120_00},
     "Moves 100.00; the sender received 99.00 in the last hour or two"),
    ({"origin_received_cents_day": 120_00},
     "Moves 100.00; the sender received 120.00 in the last day"),
    ({}, "Moves 100.00; the sender received 0.00 in the last day")])
def test_money_that_is_passed_on_names_the_nearest_receipts(counts, expected):
    assert text("passing-money-on", counts) == expected


NOW = 20_000 * DAY_MS + 12 * HOUR_MS


@pytest.mark.parametrize(("group", "counts", "expected"), [
    ("age-of-the-origin", {}, "The sender had no payment in the last 30 days"),
    ("age-of-the-destination", {
        "destination_received_last": NOW - 5 * HOUR_MS, "destination_first_day": 19_993},
     "The recipient had its first payment in the last 30 days 7 days ago, and its last one 5 hours "
     "ago"),
    ("age-of-the-origin", {"origin_sent_last": NOW - 60_000, "origin_first_day": 20_000},
     "The sender had its first payment in the last 30 days today, and its last one 1 minute ago"),
    ("counterparties", {},
     "Sender and recipient had no payment with each other in the last 30 days"),
    ("counterparties", {"origin_knows_other": 1, "origin_contacts_month": 3},
     "The sender had payments with 3 or more accounts in the last 30 days, the recipient "
     "with none"),
    ("amount-against-mean", {},
     "Moves 100.00; the sender sent nothing in the last 30 days"),
    ("amount-against-mean", {"origin_sent_count_month": 4, "origin_sent_cents_month": 80_00},
     "Moves 100.00; the sender sent 20.00 on average in the last 30 days"),
    ("known-frauds", {"destination_frauds_received_month": 2},
     "Frauds that became known in the last 30 days: none with the sender, 2 with the recipient"),
    ("recent-sending-of-the-origin", {"origin_sent_count_month": 9},
     "The sender sent 9 payments in the last 30 days; a usual one, none")])
def test_the_month_is_described(group, counts, expected):
    assert text(group, counts, event_time=NOW) == expected


@pytest.mark.parametrize("group", ["counterparties", "known-frauds"])
def test_a_recipient_that_does_not_exist_is_not_mentioned(group):
    assert "recipient" not in text(group, {"origin_contacts_month": 2}, destination=None)
