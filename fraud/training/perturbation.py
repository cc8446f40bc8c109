"""Payments as they were known at a time, with all that came later deleted or overwritten.

Features computed from them must be those computed from everything, bit for bit: what differs knew
the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.history import DAY_BUCKETS, bucket_of

# What is known of a payment when it asks to be authorised. All else is overwritten.
KNOWN = ("position", "transaction_id", "event_time", "type_code", "amount_cents", "origin",
         "destination", "origin_balance_cents", "destination_balance_cents")


@dataclass(frozen=True)
class Perturbed:
    """A file of perturbed payments: the rows `first` <= position < `end` of the original."""

    transactions: str
    first: int
    compared: int       # from this position on, a row's whole day is in the file
    end: int


def perturb(transactions: str, time: int, rows: int, destination: Path, seed: int) -> Perturbed:
    """Write the last payments before a time, with what was known only later dealt out at random.

    Labels, and any column that no payment has at authorisation, are shuffled among the rows.

    Args:
        transactions: a clean Parquet file of `dataset.SCHEMA`, perhaps with more columns.
        time: ms since the epoch; what happened from then on is left out.
        rows: how many at least, if there are as many; more where they span less than two days.
    """
    times = pq.read_table(transactions, columns=["event_time"])["event_time"].to_numpy()
    end = int(np.searchsorted(times, time))
    first = _first(times[:end], rows)
    table = pq.read_table(transactions, filters=[
        ("position", ">=", first), ("position", "<", end)])
    order = pa.array(np.random.default_rng(seed).permutation(table.num_rows))
    for name in table.column_names:
        if name not in KNOWN:
            column = table.schema.get_field_index(name)
            table = table.set_column(column, name, table[name].take(order))
    destination.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, destination)
    whole_day = bucket_of(times[first]) + DAY_BUCKETS if first else bucket_of(times[0])
    return Perturbed(str(destination), first,
                     int(np.searchsorted(bucket_of(times[:end]), whole_day)), end)


def _first(times: np.ndarray, rows: int) -> int:
    """Where the last `rows` times begin, or the last two days where those are more."""
    two_days = int(np.searchsorted(bucket_of(times), bucket_of(times[-1]) - 2 * DAY_BUCKETS))
    return max(0, min(len(times) - rows, two_days))


def read_features(folder: str, first: int, end: int) -> pa.Table:
    """Features of the rows `first` <= position < `end`, in order of position.

    Args:
        folder: of Parquet files with `position` and one float32 column a feature.
    """
    table = pq.read_table(folder, partitioning=None, filters=[
        ("position", ">=", first), ("position", "<", end)])
    return table.take(pa.array(np.argsort(table["position"].to_numpy())))


def changed(before: pa.Table, after: pa.Table, compared: int) -> dict[str, int]:
    """In how many rows from a position on each feature has other bits; those that have none less.

    Args:
        before, after: of `read_features`, of the same rows.
    """
    rows = before["position"].to_numpy() >= compared
    counts = {name: int(np.count_nonzero(
        (_bits(before[name]) != _bits(after[name]))[rows]))
        for name in before.column_names if name != "position"}
    return {name: count for name, count in counts.items() if count}


def _bits(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy().astype(np.float32, copy=False).view(np.uint32)
