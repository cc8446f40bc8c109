"""Comparisons without Spark: what it counts is here counted from the definition, in event order."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from fraud import bundle
from fraud.clock import DAY_MS, HOUR_MS as HOUR
from fraud.decision import Decision
from fraud.features import DEFAULT
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.training.parity.comparison import Listed, compare
from fraud.training.parity.logged_decisions import read_decisions
from fraud.training.parity.recount import recounted
from fraud.training.parity.skew import LedgerEntry
from fraud.transaction import Transaction

NOON = 480_012 * HOUR


def payment(name: str, time: int, origin: str = "C1", destination: str = "C2") -> Transaction:
    return Transaction(name, NOON + time, "TRANSFER", 100, origin, destination, 5_00, -1)


def listed(*payments: Transaction) -> Listed:
    ordered = sorted(payments, key=lambda payment: (payment.event_time, payment.transaction_id))
    return Listed(
        {payment.transaction_id: position for position, payment in enumerate(ordered)},
        [LedgerEntry(payment.event_time, payment.amount_cents, payment.origin, payment.destination)
         for payment in ordered],
        DEFAULT.columns(ordered),
        np.array(list(recounted(ordered))))


@pytest.fixture(scope="module")
def champion(bundle_directory) -> bundle.Bundle:
    return bundle.load(bundle_directory)


@pytest.fixture
def decided(champion):
    """Decisions on payments in order of arrival, by a store that knew nothing before."""
    def decide(*payments: Transaction, store=None) -> list[Decision]:
        if not store:
            store = open_store(Settings())
            store.fill([], 0, NOON)
        scorer = Scorer(store, champion, Settings(clock="event", account_key="k"),
                        fallback_on_store_error=True)
        return [scorer.score([payment])[0].decision
                for payment in payments]
    return decide


def held(decisions: list[Decision], *payments: Transaction):
    return compare(read_decisions(decisions, DEFAULT), listed(*payments), DEFAULT)


ORDERLY = [payment(f"t{position}", position * 40 * 60_000) for position in range(60)]


def test_what_came_in_order_is_equal(decided):
    parity = held(decided(*ORDERLY), *ORDERLY)
    assert (parity.decisions, parity.skew, parity.different, parity.shown) == (60, {}, 0, [])
    assert (parity.unlisted, parity.undecided, parity.gaps, parity.without_counts) == (0, 0, 0, 0)


@pytest.mark.parametrize(("first", "second", "cause"), [
    (("a", 5 * HOUR), ("b", HOUR), "late"), (("a", 1000), ("b", 0), "late"),
    (("a", 999), ("b", 0), "concurrent"), (("b", 0), ("a", 0), "tie")])
def test_skew_has_its_cause(decided, first, second, cause):
    payments = [payment(*first), payment(*second)]
    parity = held(decided(*payments), *payments)
    assert (sum(parity.skew.values()), set(parity.skew), parity.different) == (2, {cause}, 0)


def test_a_payment_later_than_a_month_has_forgotten_what_was(decided):
    payments = [payment("a", 0), payment("b", 20 * DAY_MS), payment("c", 40 * DAY_MS, "C1", "C3"),
                payment("d", 21 * DAY_MS, "C9", "C2"), payment("e", 21 * DAY_MS + 5, "C1", "C9")]
    parity = held(decided(*payments), *sorted(payments, key=lambda payment: payment.event_time))
    assert parity.different == 0 and set(parity.skew) == {"late", "forgotten"}


def test_skew_has_no_cause_outside_of_the_month_before(decided):
    payments = [payment("b", 100 * DAY_MS), payment("a", 100 * DAY_MS), payment("c", 60 * DAY_MS)]
    assert held(decided(*payments), *payments).skew == {"tie": 2}
    later = payment("d", 100 * DAY_MS + 5)
    parity = held(decided(*payments, later)[:3], *payments, later)
    assert (parity.undecided, parity.skew) == (1, {"tie": 2})


def test_a_payment_without_a_line_is_reported_and_explains_the_skew(decided):
    parity = held(decided(*ORDERLY[:3], *ORDERLY[4:]), *ORDERLY)
    assert (parity.decisions, parity.undecided, parity.gaps, parity.different) == (59, 1, 0, 0)
    assert set(parity.skew) == {"undecided"}


def test_a_line_that_was_lost_leaves_a_gap_and_what_it_explains_is_equal_to_spark(decided):
    decisions = decided(*ORDERLY)
    parity = held(decisions[:3] + decisions[4:], *ORDERLY)
    assert (parity.gaps, parity.undecided, parity.skew, parity.different) == (1, 1, {}, 0)


def test_decisions_without_counts_and_on_unlisted_payments_are_reported(decided):
    away = open_store(Settings(history="redis://127.0.0.1:1"))
    decisions = decided(*ORDERLY[:5]) + decided(payment("x", 0), store=away)
    parity = held(decisions, *ORDERLY[:4])
    assert (parity.decisions, parity.without_counts,
            parity.unlisted, parity.different) == (5, 1, 1, 0)


def test_a_payment_first_answered_without_its_store_counts_with_its_later_line(decided):
    away = open_store(Settings(history="redis://127.0.0.1:1"))
    decisions = decided(ORDERLY[0], store=away) + 2 * decided(*ORDERLY)
    parity = held(decisions, *ORDERLY)
    assert (parity.decisions, parity.without_counts, parity.different) == (60, 0, 0)


def test_a_store_that_was_filled_has_counted_what_it_was_filled_with(decided):
    payments = [payment("a", 0), payment("b", 10), payment("d", 12), payment("c", 5)]
    parity = held(decided(*payments)[1:], *payments)      # the first one was never decided
    assert (parity.decisions, parity.different, parity.skew) == (3, 0, {"concurrent": 3})
    began = [msgspec.structs.replace(one, recording_since=NOON + 10)
             for one in decided(*payments)[1:]]
    assert held(began, *payments).different == 3        # what began later cannot have counted it


def test_wrong_counts_are_spelled_out(decided):
    decisions = decided(*ORDERLY[:3])
    decisions[1].counts[0] += 1
    parity = held(decisions, *ORDERLY[:3])
    assert parity.different == 1
    assert parity.shown == ["t1: origin_sent_count_hour is 1.0, which does not follow from the "
                            "payment in the file and the logged counts"]


def test_wrong_counts_with_the_features_of_them_are_spelled_out(decided):
    decisions = decided(*ORDERLY[:3])
    decisions[1].counts[2] = 7
    decisions[1].features[DEFAULT.names.index("origin_sent_count_day")] = 7.0
    parity = held(decisions, *ORDERLY[:3])
    assert (parity.different, parity.shown) == (1, [
        "t1: origin_sent_count_day is 7, in event order it is 1, in the order of counting 1"])


def test_wrong_features_are_spelled_out(decided):
    decisions = decided(*ORDERLY[:3])
    decisions[2].features[1] = 3.0
    parity = held(decisions, *ORDERLY[:3])
    assert (parity.different, parity.shown) == (1, [
        "t2: origin_balance is 3.0, which does not follow from the payment in the file "
        "and the logged counts"])


def test_without_sequence_numbers_no_order_explains_a_difference(decided):
    payments = [payment("a", 5), payment("b", 0)]
    decisions = [msgspec.structs.replace(one, store_sequence=None) for one in decided(*payments)]
    parity = held(decisions, *payments)
    assert parity.different == 2 and "in the order of counting not known" in parity.shown[0]


def test_at_most_ten_differences_are_spelled_out(decided):
    decisions = decided(*ORDERLY)
    for decision in decisions:
        decision.features[0] = -1.0
    parity = held(decisions, *ORDERLY)
    assert (parity.different, len(parity.shown)) == (60, 10)


def test_the_summary_is_for_people(decided):
    parity = replace(held(decided(*ORDERLY), *ORDERLY), decisions=12_345,
                     skew={"late": 2_000, "tie": 1}, different=1, shown=["t1: wrong"])
    assert str(parity) == (
        "12,345 decisions with counts, 0 without; 0 not in the file, 0 payments without a "
        "decision, 0 sequence numbers without a line\nequal to Spark: 10,343\n"
        "order_skew: 2,001 (late 2,000, tie 1)\ndifferent: 1\nt1: wrong")
