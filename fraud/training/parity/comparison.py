"""Comparison of decisions with Spark: counts, features, and the order of counting."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from fraud.features import FeatureTable, PaymentColumns
from fraud.training.features import spark_job
from fraud.training.features.partitions import payment_columns
from fraud.training.parity import skew
from fraud.training.parity.logged_decisions import LoggedDecisions
from fraud.training.parity.recount import recounted
from fraud.training.parity.skew import LedgerEntry, accounts_of
from fraud.windows import COUNT_NAMES, counts_of, known_windows

SHOWN = 10                  # differences that are described
ACCOUNTS = ("origin", "destination")
OF_LABELS = np.array(["_frauds_" in name for name in COUNT_NAMES])


@dataclass(frozen=True)
class Listed:
    """The payments of a file with Spark's counts; arrays in event order."""

    position: dict[str, int]    # by transaction_id
    entries: list[LedgerEntry]
    payments: PaymentColumns
    counts: np.ndarray          # int64, shape (n, names)


@dataclass(frozen=True)
class Parity:
    """The result of a comparison."""

    decisions: int
    without_counts: int
    unlisted: int               # decisions on payments that are not in the file
    undecided: int              # payments of the file without a decision
    gaps: int                   # sequence numbers without a line
    skew: dict[str, int]        # decisions that match only the order of arrival, by cause
    different: int              # decisions that are neither equal nor explained
    shown: list[str]            # descriptions of the first of them

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


@dataclass(frozen=True)
class Joined:
    """Decisions with the payments of the file; arrays in the order of the decisions."""

    logged: LoggedDecisions
    listed: Listed
    position: np.ndarray        # int64: of the payment in the file, -1 if it is not listed
    spark_counts: np.ndarray    # int64, shape (n, names), -1 if it is not listed
    filled: np.ndarray          # int64: positions that the store was filled with

    @property
    def is_listed(self) -> np.ndarray:
        return self.position >= 0


def compare(logged: LoggedDecisions, listed: Listed, table: FeatureTable) -> Parity:
    """Compare decisions with Spark's counts and, if those differ, with their own order."""
    joined = _join(logged, listed)
    equal_to_spark = joined.is_listed & (logged.counts == joined.spark_counts).all(axis=1)
    counts_in_order = _counts_in_order(joined, ~equal_to_spark)
    equal_in_order = (logged.counts == counts_in_order)[:, ~OF_LABELS].all(axis=1)
    wrong_features = _wrong_features(joined, table)
    different = wrong_features.any(axis=1) | ~(equal_to_spark | equal_in_order)
    skewed = joined.is_listed & ~equal_to_spark & ~different
    only_labels = skewed & (logged.counts == joined.spark_counts)[:, ~OF_LABELS].all(axis=1)
    by_cause = skew.by_cause(joined.position[skewed & ~only_labels], listed.entries,
                             _arrival_rank(joined))
    if only_labels.any():
        by_cause[skew.LABEL] = int(only_labels.sum())
    return Parity(
        decisions=len(logged.ids),
        without_counts=logged.without_counts,
        unlisted=int((~joined.is_listed).sum()),
        undecided=len(listed.entries) - int(joined.is_listed.sum()),
        gaps=_gaps(logged.store_sequence),
        skew=by_cause,
        different=int(different.sum()),
        shown=[_difference(joined, row, counts_in_order[row], wrong_features[row], table)
               for row in np.flatnonzero(different)[:SHOWN]])


def _join(logged: LoggedDecisions, listed: Listed) -> Joined:
    position = np.array([listed.position.get(name, -1) for name in logged.ids], np.int64)
    spark_counts = np.where((position >= 0)[:, None], listed.counts[position], -1)
    return Joined(logged, listed, position, spark_counts, _filled(logged, listed, position))


def _filled(logged: LoggedDecisions, listed: Listed, position: np.ndarray) -> np.ndarray:
    """Return the positions of payments that the store was filled with before it recorded.

    They have no decision, and lie between the start of complete history and the first decision.
    """
    decided = np.flatnonzero(logged.store_sequence)
    if not decided.size:
        return decided
    first = decided[np.argmin(logged.store_sequence[decided])]
    times = listed.payments.event_time
    known = (times >= logged.since[first]) & (times < logged.entries[first].event_time)
    known[position[position >= 0]] = False
    return np.flatnonzero(known)


def _gaps(store_sequence: np.ndarray) -> int:
    numbers = np.unique(store_sequence[store_sequence > 0])
    return int(numbers[-1] - numbers[0] + 1 - numbers.size) if numbers.size else 0


def _arrival_rank(joined: Joined) -> np.ndarray:
    """Return the rank of each listed payment by arrival; 0 if it did not arrive."""
    rank = np.zeros(len(joined.listed.entries), np.int64)
    rank[joined.position[joined.is_listed]] = joined.logged.store_sequence[joined.is_listed]
    rank[joined.filled] = np.arange(-joined.filled.size, 0)
    return rank


def _counts_in_order(joined: Joined, wanted: np.ndarray) -> np.ndarray:
    """Recount payments in the order of the store sequence: int64; -1 without a sequence.

    The log does not say when labels arrived: counts of frauds are 0.

    Args:
        wanted: a mask of the decisions to recount; the counts of others are -1.
    """
    logged, listed = joined.logged, joined.listed
    order = np.argsort(logged.store_sequence, kind="stable")
    order = order[logged.store_sequence[order] > 0]
    accounts = {account for row in np.flatnonzero(wanted)
                for account in accounts_of(logged.entries[row])}
    arrived = [(-1, listed.entries[position]) for position in joined.filled]
    arrived += [(int(row), logged.entries[row]) for row in order]
    involved = [(row, entry) for row, entry in arrived if accounts & accounts_of(entry)]

    counts = np.full(logged.counts.shape, -1, np.int64)
    recounts = recounted(entry for _, entry in tqdm(involved, "recounting", disable=None, delay=5))
    for (row, _), recount in zip(involved, recounts, strict=True):
        if row >= 0 and wanted[row]:
            counts[row] = recount
    return counts


def _wrong_features(joined: Joined, table: FeatureTable) -> np.ndarray:
    """Return a mask of logged features that do not follow from payment and counts."""
    logged = joined.logged
    payments = PaymentColumns(
        *(column[joined.position] for column in joined.listed.payments))
    windows = known_windows(logged.since, payments.event_time)
    rows = table.matrix(payments, counts_of(list(logged.counts.T), windows))
    is_logged = np.arange(len(table.names)) < logged.width[:, None]
    is_equal = (rows == logged.features) | (np.isnan(rows) & np.isnan(logged.features))
    return is_logged & joined.is_listed[:, None] & ~is_equal


def _difference(joined: Joined, row: int, in_order: np.ndarray, wrong: np.ndarray,
                table: FeatureTable) -> str:
    """Describe why a decision differs."""
    logged = joined.logged
    name = logged.ids[row]
    if wrong.any():
        column = int(np.argmax(wrong))
        return (f"{name}: {table.names[column]} is {logged.features[row, column]}, which does "
                "not follow from the payment in the file and the logged counts")
    expected = joined.spark_counts[row] if joined.is_listed[row] else in_order
    column = int(np.argmax(logged.counts[row] != expected))
    recount = in_order[column] if logged.store_sequence[row] else "not known"
    return (f"{name}: {COUNT_NAMES[column]} is {logged.counts[row, column]}, in event order "
            f"it is {expected[column]}, in the order of counting {recount}")


def read_transactions(clean_file: str, types: tuple[str, ...], spark,
                      logged: LoggedDecisions | None = None) -> Listed:
    """Read the payments of a clean Parquet file, counted by Spark.

    Args:
        types: of the payments, as the model knows them.
        logged: decisions on some of them: their pseudonyms replace the accounts' names.
    """
    table = pq.read_table(clean_file)
    with tempfile.TemporaryDirectory() as directory:
        if logged is not None:
            table = _with_logged_names(table, logged)
            clean_file = str(Path(directory, "renamed.parquet"))
            pq.write_table(table, clean_file)
        counted = spark_job.with_counts(
            spark_job.read_payments(spark, clean_file, types),
            spark.sparkContext.defaultParallelism).toArrow()
    counted = counted.sort_by("position")
    columns = [table[name].to_pylist() for name in ("transaction_id", *LedgerEntry._fields)]
    return Listed(
        {name: position for position, name in enumerate(columns[0])},
        [LedgerEntry(*row) for row in zip(*columns[1:], strict=True)],
        payment_columns(counted),
        np.stack([counted[name].to_numpy() for name in COUNT_NAMES], axis=1))


def _with_logged_names(payments: pa.Table, logged: LoggedDecisions) -> pa.Table:
    """Return payments with the accounts of the log in place of names, as far as it has them."""
    entries = dict(zip(logged.ids, logged.entries, strict=True))
    names: dict[str, str] = {}
    columns = [payments[name].to_pylist() for name in ("transaction_id", *ACCOUNTS)]
    for transaction_id, origin, destination in zip(*columns, strict=True):
        if entry := entries.get(transaction_id):
            names[origin] = entry.origin
            if destination is not None and entry.destination is not None:
                names[destination] = entry.destination
    for name in ACCOUNTS:
        renamed = [names.get(account, account) for account in payments[name].to_pylist()]
        payments = payments.set_column(payments.schema.get_field_index(name), name,
                                       pa.array(renamed, pa.string()))
    return payments
