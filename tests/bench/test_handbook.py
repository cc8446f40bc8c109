from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import handbook
from bench.handbook import BOOK, BookMetrics
from fraud.clock import DAY_MS
from fraud.training import settings
from fraud.training.data import dataset, options
from fraud.training.errors import TrainingError
from fraud.training.features.splits import Rows
from tests.factories import stored
from tests.tools import ROOT

DELAY = 7 * DAY_MS
EIGHTH = BOOK.test          # 8 August 2018
SMALL = settings.load(ROOT / "tests/flows/train_flow.toml")


# Card precision.

def precision(rows, cards):
    """Card precision of rows of (day, card, score, label)."""
    day, card, scores, label = map(np.array, zip(*rows, strict=True))
    return handbook.card_precision(card, day, scores, label, cards)


def test_card_precision_is_the_share_of_cards_with_fraud_among_the_first():
    rows = [(1, "a", 0.9, 1), (1, "b", 0.8, 0), (1, "c", 0.7, 1), (1, "d", 0.6, 1)]
    assert precision(rows, cards=1) == 1
    assert precision(rows, cards=2) == 1 / 2
    assert precision(rows, cards=3) == 2 / 3


def test_a_card_ranks_by_its_highest_score_and_counts_once():
    rows = [(1, "a", 0.1, 1), (1, "a", 0.9, 0), (1, "a", 0.8, 0), (1, "b", 0.5, 0),
            (1, "c", 0.4, 1)]
    assert precision(rows, cards=1) == 1        # its fraud is another payment of the day
    assert precision(rows, cards=2) == 1 / 2


def test_ties_are_ranked_by_name_whatever_the_label():
    assert precision([(1, "b", 0.5, 1), (1, "a", 0.5, 0)], cards=1) == 0
    assert precision([(1, "b", 0.5, 0), (1, "a", 0.5, 1)], cards=1) == 1
    assert precision([(1, "b", 0.5, 1), (1, "a", 0.5, 0)], cards=2) == 1 / 2


def test_card_precision_is_a_mean_over_the_days():
    rows = [(1, "a", 0.9, 1), (2, "b", 0.9, 0), (2, "c", 0.1, 1), (3, "d", 0.1, 0)]
    assert precision(rows, cards=1) == pytest.approx(1 / 3)


def test_a_card_found_with_fraud_is_not_ranked_on_later_days():
    found = [(1, "a", 0.9, 1), (2, "a", 0.9, 1), (2, "b", 0.1, 0)]
    assert precision(found, cards=1) == 1 / 2
    not_found = [(1, "a", 0.1, 1), (1, "b", 0.9, 0), (2, "a", 0.9, 1)]
    assert precision(not_found, cards=1) == 1 / 2
    without_fraud = [(1, "a", 0.9, 0), (2, "a", 0.9, 1)]
    assert precision(without_fraud, cards=1) == 1 / 2


def test_a_day_with_few_cards_counts_the_missing_ones():
    assert precision([(1, "a", 0.9, 1)], cards=4) == 1 / 4


# CardDays that are left out.

def left_out(fraud_time, paid_at):
    """True if a card with a fraud at a time is left out when it pays at another."""
    time = np.array([fraud_time, paid_at])
    kept = handbook.not_left_out(np.array(["a", "a"]), time, np.array([True, False]),
                                 time + DELAY)
    return not kept[1]


@pytest.mark.parametrize(("fraud_time", "paid_at", "expected"), [
    (EIGHTH - DELAY - 1, EIGHTH, True),                     # known a moment before midnight
    (EIGHTH - DELAY - 1, EIGHTH + DAY_MS - 1, True),
    (EIGHTH - DELAY, EIGHTH, False),                        # known on the day itself
    (EIGHTH - DELAY, EIGHTH + DAY_MS - 1, False),
    (EIGHTH - DELAY, EIGHTH + DAY_MS, True),                # known by the day before
    (EIGHTH - DAY_MS, EIGHTH + 5 * DAY_MS, False),          # within the delay
])
def test_a_card_is_left_out_of_the_days_after_its_fraud_was_known(fraud_time, paid_at, expected):
    assert left_out(fraud_time, paid_at) is expected


def test_the_earliest_known_fraud_counts_and_only_that_of_the_card():
    time = np.array([EIGHTH - 2 * DELAY, EIGHTH - DAY_MS, EIGHTH, EIGHTH])
    kept = handbook.not_left_out(np.array(["a", "a", "a", "b"]), time,
                                 np.array([True, True, False, False]), time + DELAY)
    assert kept.tolist() == [True, False, False, True]


# The file.

@pytest.fixture
def card_payments() -> pd.DataFrame:
    """Payments of 400 cards from 20 July to 14 August, in the columns of the book.

    Frauds are payments of 500 and more, others of less than 100.
    """
    rng, days, count = np.random.default_rng(7), 26, 26 * 120
    seconds = np.sort(rng.integers(0, days * 86_400, count))
    fraud = rng.random(count) < 0.05
    amount = np.where(fraud, rng.uniform(500, 600, count), rng.uniform(1, 100, count)).round(2)
    return pd.DataFrame({
        "TRANSACTION_ID": np.arange(count),
        "TX_DATETIME": pd.Timestamp("2018-07-20") + pd.to_timedelta(seconds, "s"),
        "CUSTOMER_ID": rng.integers(0, 400, count), "TERMINAL_ID": rng.integers(0, 50, count),
        "TX_AMOUNT": amount * 1.1 / 1.1,        # float noise, as published
        "TX_FRAUD": fraud.astype(np.int8)})


def prepare(payments: pd.DataFrame, directory: Path) -> dataset.Prepared:
    file = directory / "payments.parquet"
    payments.to_parquet(file, index=False)
    return dataset.prepare(str(file), directory,
                           options.reading(SMALL.data, str(handbook.MAPPING)))


def kept_by_the_book(payments: pd.DataFrame) -> pd.DataFrame:
    """The payments of the test days that the book keeps, day by day as its text says."""
    day = payments.TX_DATETIME.dt.floor("D")
    kept = []
    for test_day in pd.date_range("2018-08-08", "2018-08-14"):
        known = (payments.TX_FRAUD == 1) & (day >= "2018-07-25") & (
            day <= test_day - pd.Timedelta(days=8))
        cards = set(payments.CUSTOMER_ID[known])
        kept.append(payments[(day == test_day) & ~payments.CUSTOMER_ID.isin(cards)])
    return pd.concat(kept)


def test_the_test_days_hold_the_payments_that_the_book_keeps(card_payments, tmp_path):
    cards = handbook.cards_of_test(prepare(card_payments, tmp_path).transactions, BOOK)
    expected = kept_by_the_book(card_payments)
    assert 0 < len(expected) < len(cards.card)
    assert cards.card[cards.tested].tolist() == [f"C{card}" for card in expected.CUSTOMER_ID]
    days = expected.TX_DATETIME.dt.floor("D") - pd.Timestamp("1970-01-01")
    assert cards.day[cards.tested].tolist() == days.dt.days.tolist()


def test_both_frameworks_are_trained_on_both_periods(spark, card_payments, tmp_path):
    prepared = prepare(card_payments, tmp_path)
    assert prepared.rounded > 0
    measured, data = handbook.measure(spark, prepared, tmp_path, BOOK, SMALL)
    assert list(measured) == [
        "amount alone", "xgboost, from 2018-07-20", "tensorflow, from 2018-07-20",
        "xgboost, seven days", "tensorflow, seven days"]
    assert measured["amount alone"][:2] == (1, 1)
    expected = kept_by_the_book(card_payments)
    found = expected[expected.TX_FRAUD == 1].CUSTOMER_ID.nunique()
    for metrics in measured.values():       # the amount gives each fraud away
        assert metrics.roc_auc > 0.999
        assert metrics.average_precision > 0.95
        assert metrics.card_precision == pytest.approx(found / handbook.CARDS / 7)
    time = card_payments.TX_DATETIME
    week = card_payments[(time >= "2018-07-25") & (time < "2018-08-01")]
    until = card_payments[time < "2018-08-01"]
    assert data == (
        f"Trained from 2018-07-20: {len(until):,} payments, {until.TX_FRAUD.sum()} frauds; "
        f"seven days: {len(week)} payments, {week.TX_FRAUD.sum()} frauds; "
        f"tested on {len(expected)} payments, {expected.TX_FRAUD.sum()} frauds.")


def test_a_file_without_the_test_days_is_refused(spark, card_payments, tmp_path):
    prepared = prepare(card_payments[card_payments.TX_DATETIME < "2018-08-08"], tmp_path)
    with pytest.raises(TrainingError, match="the test period has no fraud among its 0 labelled"):
        handbook.measure(spark, prepared, tmp_path, BOOK, SMALL)


def test_rows_without_fraud_for_early_stopping_are_refused():
    count = 100
    empty, time = np.full(count, None), BOOK.week + np.arange(count) * 3_600_000
    rows = Rows(features=stored(np.ones((count, 1), np.float32), ["amount"]),
                label=(np.arange(count) == 3).astype(np.int8), event_time=time,
                amount=np.ones(count), type=np.full(count, "PAYMENT"), incident=empty,
                fraud_type=empty, days=1.0)
    with pytest.raises(TrainingError, match="17 payments from 2018-07-28 on hold 0 frauds"):
        handbook.fit_and_score("xgboost", rows, rows, ("PAYMENT",), SMALL)


def test_the_table_shows_the_figures_next_to_those_of_the_book():
    lines = handbook.table({"xgboost, seven days": BookMetrics(0.5, 0.25, 0.125)}).splitlines()
    assert lines[0] == "| | ROC AUC | average precision | card precision at 100 |"
    assert lines[4] == "| book: XGBoost, seven days | 0.862 | 0.639 | 0.273 |"
    assert lines[-1] == "| xgboost, seven days | 0.500 | 0.250 | 0.125 |"
