"""Measure both frameworks on the card payments of the Fraud Detection Handbook, by its protocol.

    python -m bench.handbook --transactions payments.parquet           minutes on two cores

The file has the columns of the book's simulator and holds 1 April to 14 August 2018 at least: Y.-A.
Le Borgne, W. Siblini, B. Lebichot, G. Bontempi, "Reproducible Machine Learning for Credit Card
Fraud Detection: Practical Handbook" (2022). Models learn from payments up to 31 July, whose labels
are known a week later, and are tested on 8 to 14 August. They are trained twice: from the first
payment of the file on, and on the seven days that the book trains on. Features are the same in
both; their history begins with the file.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from fraud.clock import DAY_MS, utc_day
from fraud.command_line import Arguments, command, parser
from fraud.training import settings
from fraud.training.data import dataset, options
from fraud.training.data.validation import NOT_KNOWN
from fraud.training.errors import TrainingError
from fraud.training.features import spark_job, splits
from fraud.training.features.splits import Rows
from fraud.training.models.candidate import TRAINERS
from fraud.training.models.samples import LabelledSample

MAPPING = Path(__file__).resolve().parents[1] / "docs/mappings/handbook.toml"
CARDS = 100         # that analysts check a day
FIGURES = ("ROC AUC", "average precision", f"card precision at {CARDS}")


class ProtocolDays(NamedTuple):
    """The days of the book's split: midnights, ms since the epoch, UTC."""

    week: int           # the first of the seven days of training
    train_end: int
    test: int           # the labels of training are known
    test_end: int


class BookMetrics(NamedTuple):
    """The book's three figures of one model."""

    roc_auc: float
    average_precision: float
    card_precision: float


class CardDays(NamedTuple):
    """The card payments of the test days: arrays of one length, in event order."""

    card: np.ndarray        # names
    day: np.ndarray         # the number of the day since the epoch, UTC
    tested: np.ndarray      # bool: the book's rule keeps the payment


def _midnight(month: int, day: int) -> int:
    return round(datetime(2018, month, day, tzinfo=UTC).timestamp() * 1_000)


BOOK = ProtocolDays(_midnight(7, 25), _midnight(8, 1), _midnight(8, 8), _midnight(8, 15))
OF_THE_BOOK = {     # its chapter 3, "Baseline fraud detection system"
    "logistic regression": BookMetrics(0.871, 0.606, 0.291),
    "random forest": BookMetrics(0.867, 0.658, 0.287),
    "XGBoost": BookMetrics(0.862, 0.639, 0.273),
}


def not_left_out(card: np.ndarray, event_time: np.ndarray, is_fraud: np.ndarray,
                 label_time: np.ndarray) -> np.ndarray:
    """Return the payments of cards without a known fraud at the start of the day: bool, shape (n,).

    Args:
        card: names; event_time, label_time: ms since the epoch; is_fraud: bool; shape (n,).
    """
    _, number = np.unique(card, return_inverse=True)
    known_from = np.full(card.size, NOT_KNOWN, np.int64)        # by card
    np.minimum.at(known_from, number[is_fraud], label_time[is_fraud])
    return known_from[number] >= event_time // DAY_MS * DAY_MS


def card_precision(card: np.ndarray, day: np.ndarray, scores: np.ndarray, label: np.ndarray,
                   cards: int = CARDS) -> float:
    """Return the share of cards with fraud among the first of each day, a mean over the days.

    A card ranks by its highest score of the day; ties by name. As in the book, a card that was
    among the first with fraud is not ranked on later days.

    Args:
        card: names; day: its number; label: 0 or 1; shape (n,).
        cards: checked a day; a day with fewer cards counts the missing ones as without fraud.
    """
    shares, detected = [], np.array([], card.dtype)
    for number in np.unique(day):
        today = (day == number) & ~np.isin(card, detected)
        names, index = np.unique(card[today], return_inverse=True)
        highest = np.full(names.size, -np.inf)
        np.maximum.at(highest, index, scores[today])
        first = np.argsort(-highest, kind="stable")[:cards]
        has_fraud = np.isin(first, index[label[today] == 1])
        shares.append(has_fraud.sum() / cards)
        detected = np.concatenate([detected, names[first[has_fraud]]])
    return float(np.mean(shares))


def cards_of_test(transactions: str, protocol: ProtocolDays) -> CardDays:
    """Return the cards of the test days and the payments that the book tests on.

    A card is left out of a day if a fraud from the training week on was known when the day began.

    Args:
        transactions: a clean Parquet file of `dataset.SCHEMA`.
    """
    table = pq.read_table(transactions, columns=["origin", "event_time", "is_fraud", "label_time"],
                          filters=[("event_time", ">=", protocol.week),
                                   ("event_time", "<", protocol.test_end)])
    card, event_time, is_fraud, label_time = (column.to_numpy() for column in table.columns)
    tested = not_left_out(card.astype(str), event_time, is_fraud == 1, label_time)
    days = event_time >= protocol.test
    return CardDays(card[days].astype(str), event_time[days] // DAY_MS, tested[days])


def metrics_of(cards: CardDays, label: np.ndarray, scores: np.ndarray) -> BookMetrics:
    """Return the figures of scores of the tested payments.

    Args:
        label: 0 or 1; scores: higher for fraud; shape (tested payments,).
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    return BookMetrics(
        float(roc_auc_score(label, scores)), float(average_precision_score(label, scores)),
        card_precision(cards.card[cards.tested], cards.day[cards.tested], scores, label))


def fit_and_score(framework: str, rows: Rows, test: Rows, types: tuple[str, ...],
                  chosen: settings.TrainingSettings) -> np.ndarray:
    """Fit a framework's model and return its logits of the test rows: float32, shape (n,).

    The last part of the rows, by the settings' shares, is for early stopping. A calibration period
    is not needed: these figures depend on the order of scores alone.

    Raises:
        TrainingError: a part has one class only.
    """
    share = chosen.split.train / (chosen.split.train + chosen.split.early_stopping)
    start, last = int(rows.event_time[0]), int(rows.event_time[-1])
    is_early = rows.event_time >= start + share * (last - start)
    train, early = rows.only(~is_early), rows.only(is_early)
    for part in (train, early):
        if part.label.sum() in (0, part.label.size):
            raise TrainingError(
                f"{part.label.size:,} payments from {utc_day(part.event_time[0])} on hold "
                f"{part.label.sum():,} frauds; give a file with fraud and legitimate payments")
    trainer = TRAINERS[framework]
    model, _ = trainer.fit(
        *(LabelledSample(part.features.matrix(), part.label) for part in (train, early)),
        getattr(chosen, framework), chosen.seed)
    return trainer.logits(model, test.features.matrix())


def measure(spark, prepared: dataset.Prepared, directory: Path, protocol: ProtocolDays,
            chosen: settings.TrainingSettings) -> tuple[dict[str, BookMetrics], str]:
    """Return the figures of each framework and training period, and a sentence on the data.

    The amount as the score is measured as well: a model must be better than that.

    Raises:
        TrainingError: a period has one class only.
    """
    # All that may be learned is one split, whose labels may come until the test.
    ends = dict(zip(splits.NAMES, (prepared.first_time, *protocol[1:]), strict=True))
    folder = str(directory / "features")
    spark_job.write_features(spark, prepared.feature_table, prepared.transactions, folder, ends,
                             prepared.recording_since)
    history = splits.read_split(folder, prepared.transactions, splits.EARLY_STOPPING, ends)
    cards = cards_of_test(prepared.transactions, protocol)
    test = splits.read_split(folder, prepared.transactions, splits.TEST, ends).only(cards.tested)
    periods = {f"from {utc_day(prepared.first_time)}": history,
               "seven days": history.only(history.event_time >= protocol.week)}
    measured = {"amount alone": metrics_of(cards, test.label, test.amount)}
    for period, rows in periods.items():
        for framework in TRAINERS:
            logits = fit_and_score(framework, rows, test, prepared.types, chosen)
            measured[f"{framework}, {period}"] = metrics_of(cards, test.label, logits)
    learned = "; ".join(f"{period}: {rows.label.size:,} payments, {rows.label.sum():,} frauds"
                        for period, rows in periods.items())
    return measured, (f"Trained {learned}; tested on {test.label.size:,} payments, "
                      f"{test.label.sum():,} frauds.")


def table(measured: dict[str, BookMetrics]) -> str:
    """Return the figures as a Markdown table, those of the book first."""
    rows = {**{f"book: {name}, seven days": figures for name, figures in OF_THE_BOOK.items()},
            **measured}
    return "\n".join([f"| | {' | '.join(FIGURES)} |", "| --- |" + " ---: |" * len(FIGURES),
                      *(f"| {name} | {' | '.join(f'{value:.3f}' for value in figures)} |"
                        for name, figures in rows.items())])


@command
def main(arguments: Arguments) -> None:
    chosen = _parser().parse_args(arguments)
    file = settings.load(settings.FILE)
    with tempfile.TemporaryDirectory() as name, spark_job.session() as spark:
        prepared = dataset.prepare(chosen.transactions, Path(name),
                                   options.reading(file.data, str(chosen.columns)))
        measured, data = measure(spark, prepared, Path(name), BOOK, file)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}\n\n{data}\n\n{table(measured)}")


def _parser() -> argparse.ArgumentParser:
    root = parser("python -m bench.handbook", __doc__)
    root.add_argument("--transactions", required=True, metavar="FILE",
                      help="payments in the columns of the book's simulator")
    root.add_argument("--columns", type=Path, default=MAPPING, metavar="MAPPING",
                      help="a mapping of the file's columns (default docs/mappings/handbook.toml)")
    return root


if __name__ == "__main__":
    main()
