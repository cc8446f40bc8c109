"""Point-in-time copies: payments as they were known at a moment.

Later payments are deleted, later knowledge is overwritten. Features computed from the copy must
equal those computed from everything, bit for bit; a feature that differs knows the future.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.history import DAY_BUCKETS, bucket_of

# Columns that are known at authorisation. All others are overwritten.
KNOWN = ("position", "transaction_id", "event_time", "type", "amount_cents", "origin",
         "destination", "origin_balance_cents", "destination_balance_cents")


@dataclass(frozen=True)
class PointInTimeCopy:
    """A file with the rows `first` <= position < `end` of the original."""

    transactions: str
    first: int
    compared: int       # from this position on, the whole day before a row is in the file
    end: int


def point_in_time_copy(transactions: str, time: int, rows: int, destination: Path,
                       seed: int) -> PointInTimeCopy:
    """Write the last payments before a time, with later knowledge shuffled among the rows.

    That is labels, and any column that is unknown at authorisation.

    Args:
        transactions: a clean Parquet file of `dataset.SCHEMA`, perhaps with more columns.
        time: ms since the epoch; later payments are left out.
        rows: the least number of rows, if there are as many; more if they span less than two days.
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
    return PointInTimeCopy(str(destination), first,
                           int(np.searchsorted(bucket_of(times[:end]), whole_day)), end)


def _first(times: np.ndarray, rows: int) -> int:
    """Return the index where the last `rows` times begin, or the last two days if longer."""
    two_days = int(np.searchsorted(bucket_of(times), bucket_of(times[-1]) - 2 * DAY_BUCKETS))
    return max(0, min(len(times) - rows, two_days))


def read_features(folder: str, first: int, end: int) -> pa.Table:
    """Read the features of the rows `first` <= position < `end`, in order of position.

    Args:
        folder: of Parquet files with `position` and one float32 column for each feature.
    """
    table = pq.read_table(folder, partitioning=None, filters=[
        ("position", ">=", first), ("position", "<", end)])
    return table.take(pa.array(np.argsort(table["position"].to_numpy())))


def changed_rows(before: pa.Table, after: pa.Table, compared: int) -> dict[str, int]:
    """Count the rows from a position on in which a feature has other bits.

    Features without a change are left out.

    Args:
        before, after: from `read_features`, of the same rows.
    """
    rows = before["position"].to_numpy() >= compared
    counts = {name: int(np.count_nonzero(_differ(before[name], after[name])[rows]))
              for name in before.column_names if name != "position"}
    return {name: count for name, count in counts.items() if count}


def _differ(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Return a mask of values with other bits; NaN equals NaN."""
    values = [column.to_numpy().astype(np.float32, copy=False) for column in (before, after)]
    unknown = np.isnan(values[0]) & np.isnan(values[1])
    return (values[0].view(np.uint32) != values[1].view(np.uint32)) & ~unknown
