"""Decisions held against Spark: their counts, their features, and the order they were made in."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from fraud import features, history
from fraud.scorer import Decision
from fraud.training import decision_log, feature_job, skew
from fraud.training.skew import Touch

SHOWN = 10                  # differences that are spelled out


@dataclass(frozen=True)
class Logged:
    """Decisions that were made with counts, one for each payment; arrays of one length."""

    ids: list[str]
    touches: list[Touch]        # accounts by their HMAC
    sequence: np.ndarray        # int64, 0 where the store has none
    since: np.ndarray           # int64: from when on the store has recorded
    counts: np.ndarray          # int64, shape (n, 16)
    features: np.ndarray        # float32, shape (n, features), NaN where the model saw none
    without_counts: int         # decisions left out, because the store was unavailable


@dataclass(frozen=True)
class Listed:
    """The payments of a file and what Spark counts; arrays in event order."""

    place: dict[str, int]       # by transaction_id
    touches: list[Touch]        # accounts by their name
    payments: features.Payments
    counts: np.ndarray          # int64, shape (n, 16)


@dataclass(frozen=True)
class Parity:
    """The outcome of a comparison."""

    decisions: int
    without_counts: int
    unlisted: int               # decisions on payments that the file does not hold
    undecided: int              # payments of the file without a decision
    gaps: int                   # sequence numbers that no line has
    skew: dict[str, int]        # decisions with the counts of the order of arrival alone, by cause
    different: int              # decisions that are neither equal nor explained
    shown: list[str]            # the first of them, in words

    def __str__(self) -> str:
        skewed = sum(self.skew.values())
        causes = ", ".join(f"{cause} {number:,}" for cause, number in self.skew.items())
        return "\n".join([
            f"{self.decisions:,} decisions with counts, {self.without_counts:,} without; "
            f"{self.unlisted:,} not in the file, {self.undecided:,} payments without a decision, "
            f"{self.gaps:,} sequence numbers without a line",
            f"equal to Spark: {self.decisions - skewed - self.different:,}",
            f"order_skew: {skewed:,}" + (f" ({causes})" if causes else ""),
            f"different: {self.different:,}", *self.shown])


def compare(logged: Logged, listed: Listed) -> Parity:
    """Hold decisions against Spark's counts and, where those differ, against their own order."""
    place = np.array([listed.place.get(name, -1) for name in logged.ids], np.int64)
    is_listed = place >= 0
    by_spark = is_listed & (logged.counts == listed.counts[place]).all(axis=1)
    filled = _filled(logged, listed, place)
    in_order = _counts_in_order(logged, listed, place, filled)
    by_order = (logged.counts == in_order).all(axis=1)
    wrong = _wrong_features(logged, listed, place)
    different = wrong.any(axis=1) | ~(by_spark | by_order)
    skewed = np.flatnonzero(is_listed & ~by_spark & ~different)
    rank = np.zeros(len(listed.touches), np.int64)
    rank[place[is_listed]] = logged.sequence[is_listed]
    rank[filled] = np.arange(-filled.size, 0)
    numbers = np.unique(logged.sequence[logged.sequence > 0])
    return Parity(
        decisions=len(logged.ids),
        without_counts=logged.without_counts,
        unlisted=int((~is_listed).sum()),
        undecided=len(listed.touches) - int(is_listed.sum()),
        gaps=int(numbers[-1] - numbers[0] + 1 - numbers.size) if numbers.size else 0,
        skew=skew.by_cause(place[skewed], listed.touches, rank),
        different=int(different.sum()),
        shown=[_spelled_out(which, logged, listed, place[which], in_order, wrong)
               for which in np.flatnonzero(different)[:SHOWN]])


def _filled(logged: Logged, listed: Listed, place: np.ndarray) -> np.ndarray:
    """Positions of payments that the store was filled with, before it recorded: those without a
    decision, from when it is complete to the first decision.
    """
    decided = np.flatnonzero(logged.sequence)
    if not decided.size:
        return decided
    first = decided[np.argmin(logged.sequence[decided])]
    times = listed.payments.event_time
    known = (times >= logged.since[first]) & (times < logged.touches[first].event_time)
    known[place[place >= 0]] = False
    return np.flatnonzero(known)


def _counts_in_order(logged: Logged, listed: Listed, place: np.ndarray,
                     filled: np.ndarray) -> np.ndarray:
    """Counts as they must be in the order of the sequence numbers: int64, shape (n, 16); -1 where
    a decision has none.
    """
    counts = np.full(logged.counts.shape, -1, np.int64)
    order = np.argsort(logged.sequence, kind="stable")
    order = order[logged.sequence[order] > 0]
    names = _account_names(logged, listed, place)
    arrived = [listed.touches[position] for position in filled]
    for which in order:
        touch = logged.touches[which]
        arrived.append(touch._replace(origin=names.get(touch.origin, touch.origin),
                                      destination=names.get(touch.destination, touch.destination)))
    recounted = decision_log.recounted(tqdm(arrived, "counting again", disable=None, delay=5))
    for which, its in zip(order, islice(recounted, filled.size, None)):
        counts[which] = its
    return counts


def _account_names(logged: Logged, listed: Listed, place: np.ndarray) -> dict[str, str]:
    """Accounts by the HMAC under which logs know them, as far as the file names them."""
    names = {}
    for touch, position in zip(logged.touches, place):
        if position >= 0:
            names[touch.origin] = listed.touches[position].origin
            names[touch.destination] = listed.touches[position].destination
    return names


def _wrong_features(logged: Logged, listed: Listed, place: np.ndarray) -> np.ndarray:
    """Where logged features are not those of payment and counts: bool, shape (n, features)."""
    payments = features.Payments(*(column[place] for column in listed.payments))
    rows = features.matrix(payments, history.counts_of(logged.counts.T))
    seen = ~np.isnan(logged.features) & (place >= 0)[:, None]
    return seen & (rows != logged.features)


def _spelled_out(which: int, logged: Logged, listed: Listed, position: int, in_order: np.ndarray,
                 wrong: np.ndarray) -> str:
    name = logged.ids[which]
    if wrong[which].any():
        column = int(np.argmax(wrong[which]))
        return (f"{name}: {features.NAMES[column]} is {logged.features[which, column]}, which is "
                "not what the payment in the file and the logged counts give")
    spark = listed.counts[position] if position >= 0 else in_order[which]
    column = int(np.argmax(logged.counts[which] != spark))
    return (f"{name}: {history.NAMES[column]} is {logged.counts[which, column]}, in event order "
            f"it is {spark[column]}, in the order of counting "
            f"{in_order[which, column] if logged.sequence[which] else 'not known'}")


def read_decisions(decided: Iterable[Decision]) -> Logged:
    """Decisions, of each payment the first that was made with counts."""
    ids: dict[str, None] = {}
    without: set[str] = set()
    touches, sequence, since = [], array("q"), array("q")
    counts, rows = array("q"), array("f")
    for decision in decided:
        if decision.counts is None:
            without.add(decision.transaction_id)
        elif decision.transaction_id not in ids:
            ids[decision.transaction_id] = None
            touches.append(Touch(decision.event_time, decision.amount_cents, decision.origin,
                                 decision.destination))
            sequence.append(decision.sequence or 0)
            since.append(decision.recording_since)
            counts.extend(decision.counts)
            rows.extend(decision.features)
            rows.extend([math.nan] * (len(features.NAMES) - len(decision.features)))
    return Logged(
        list(ids), touches, np.frombuffer(sequence, np.int64), np.frombuffer(since, np.int64),
        np.frombuffer(counts, np.int64).reshape(-1, len(history.NAMES)),
        np.frombuffer(rows, np.float32).reshape(-1, len(features.NAMES)),
        len(without.difference(ids)))


def read_transactions(clean_file: str, spark) -> Listed:
    """The payments of a clean Parquet file, counted by Spark."""
    counted = feature_job.with_counts(
        spark.read.schema(feature_job.READ).parquet(clean_file),
        spark.sparkContext.defaultParallelism).toArrow()
    counted = counted.sort_by("position")
    table = pq.read_table(clean_file, columns=["transaction_id", *Touch._fields])
    columns = [table[name].to_pylist() for name in table.column_names]
    return Listed(
        {name: place for place, name in enumerate(columns[0])},
        [Touch(*row) for row in zip(*columns[1:])],
        features.Payments(*(counted[name].to_numpy() for name in features.Payments._fields)),
        np.stack([counted[name].to_numpy() for name in history.NAMES], axis=1))
