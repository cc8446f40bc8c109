"""Point-in-time copies: payments as they were known at a moment.

Later payments are deleted, later knowledge is overwritten. In addition a few payments of each
account are deleted anywhere in the copy: the payments before each of them must not change, so that
there are as many cuts as deleted payments, at any second of the day. Features computed from the
copy must equal those computed from everything, bit for bit, in all rows for which nothing that was
known earlier differs (`comparable`); a feature that differs there knows the future. A copy of the
last rows of a file is compared with the same rows of the original, so that both lack what came
before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.clock import DAY_MS
from fraud.training.data.validation import NOT_KNOWN
from fraud.windows import MONTH_DAYS, day_of

# Columns that are known at authorisation. All others are overwritten.
KNOWN = ("position", "transaction_id", "event_time", "type", "amount_cents", "origin",
         "destination", "origin_balance_cents", "destination_balance_cents")
DELETED_A_MONTH = 0.5   # payments of an account: the month before most others stays whole
MOST_DELETED = 0.1      # share of the payments of accounts that pay rarely
COMPARED = ["position", "event_time", "origin", "destination", "is_fraud", "label_time"]


@dataclass(frozen=True)
class PointInTimeCopy:
    """A file with most of the rows `first` <= position < `end` of a file of payments."""

    transactions: str
    original: str       # a file with all of these rows, as they were
    first: int
    end: int


def point_in_time_copy(transactions: str, time: int, rows: int, destination: Path,
                       seed: int) -> PointInTimeCopy:
    """Write the last payments before a time, with later knowledge shuffled among the rows.

    That is labels, and any column that is unknown at authorisation. A label keeps the delay after
    which it became known. A few payments are left out, see above.

    Args:
        transactions: a clean Parquet file of `dataset.SCHEMA`, perhaps with more columns.
        time: ms since the epoch; later payments are left out.
        rows: the least number of rows, if there are as many; more if they span less than two days.
    """
    times = pq.read_table(transactions, columns=["event_time"])["event_time"].to_numpy()
    end = int(np.searchsorted(times, time))
    first = _first(times[:end], rows)
    original = pq.read_table(transactions, filters=[
        ("position", ">=", first), ("position", "<", end)])
    rng = np.random.default_rng(seed)
    table = _shuffled(original, rng.permutation(original.num_rows))
    table = table.filter(pa.array(rng.random(table.num_rows) >= _deletion_chance(table)))
    destination.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, destination)
    beginning = destination.with_name(f"original-{destination.name}")
    pq.write_table(original, beginning)
    return PointInTimeCopy(str(destination), str(beginning), first, end)


def _first(times: np.ndarray, rows: int) -> int:
    """Return the index where the last `rows` times begin, or the last two days if longer."""
    two_days = int(np.searchsorted(times, times[-1] - 2 * DAY_MS))
    return max(0, min(len(times) - rows, two_days))


def _shuffled(table: pa.Table, order: np.ndarray) -> pa.Table:
    """Return the rows with the columns that are not `KNOWN` in another order."""
    event_time, label_time = table["event_time"].to_numpy(), table["label_time"].to_numpy()
    delay = np.where(label_time == NOT_KNOWN, NOT_KNOWN, label_time - event_time)[order]
    for name in table.column_names:
        if name not in KNOWN:
            column = (pa.array(np.where(delay == NOT_KNOWN, NOT_KNOWN, event_time + delay))
                      if name == "label_time" else table[name].take(pa.array(order)))
            table = table.set_column(table.schema.get_field_index(name), name, column)
    return table


def _deletion_chance(table: pa.Table) -> np.ndarray:
    """Return the chance of each payment to be deleted, by the busier of its accounts."""
    times = table["event_time"].to_numpy()
    days = (times[-1] - times[0]) / DAY_MS + 1
    entries = _entries(table.select(COMPARED).to_pandas())
    a_day = entries.groupby("account")["position"].transform("size") / days
    busier = a_day.groupby(entries["position"]).max()       # in order of position
    return np.minimum(MOST_DELETED, DELETED_A_MONTH / (MONTH_DAYS * busier.to_numpy()))


def comparable(copy: PointInTimeCopy) -> np.ndarray:
    """Return a mask of the rows of the original whose features must not have changed.

    They are in the copy and, of their accounts, it holds all payments of the month before them and
    the same labels of frauds, as far as these were known before them.
    """
    rows = pq.read_table(copy.original, columns=COMPARED).to_pandas()
    copied = pq.read_table(copy.transactions, columns=["position", "is_fraud", "label_time"]
                           ).to_pandas().set_index("position").reindex(rows["position"])
    here, there = (np.where(frame["is_fraud"] == 1, frame["label_time"], np.inf)
                   for frame in (rows, copied))
    rows["relabelled"] = np.where(here == there, np.inf, np.minimum(here, there))
    deleted = copied["is_fraud"].isna().to_numpy()
    rows["deleted"] = np.where(deleted, day_of(rows["event_time"]), -np.inf)
    entries = _entries(rows)
    accounts = entries["account"]
    # Of the earlier payments of an account: the row itself is left out.
    relabelled = entries.groupby(accounts)["relabelled"].cummin().groupby(accounts).shift()
    last_deleted = entries.groupby(accounts)["deleted"].cummax().groupby(accounts).shift()
    differs = ((relabelled <= entries["event_time"])
               | (day_of(entries["event_time"]) - last_deleted < MONTH_DAYS))
    position = rows["position"].to_numpy()
    return ~deleted & ~np.isin(position, entries["position"][differs])


def _entries(rows: pd.DataFrame) -> pd.DataFrame:
    """Return two rows for a payment between two accounts, in order of position; else one."""
    other = rows["destination"].notna() & (rows["destination"] != rows["origin"])
    entries = pd.concat([rows.assign(account=rows["origin"]),
                         rows[other].assign(account=rows["destination"][other])])
    return entries.sort_values("position", kind="stable")


def read_features(folder: str, first: int, end: int) -> pa.Table:
    """Read the features of the rows `first` <= position < `end`, in order of position.

    Args:
        folder: of Parquet files with `position` and one float32 column for each feature.
    """
    table = pq.read_table(folder, partitioning=None, filters=[
        ("position", ">=", first), ("position", "<", end)])
    return table.take(pa.array(np.argsort(table["position"].to_numpy())))


def changed_rows(before: pa.Table, after: pa.Table, compared: np.ndarray) -> dict[str, int]:
    """Count the rows in which a feature has other bits.

    Features without a change are left out.

    Args:
        before, after: from `read_features`; `after` may lack rows.
        compared: a mask of the rows of `before`. All that it keeps are in `after`.
    """
    before = before.filter(pa.array(compared))
    rows = np.searchsorted(after["position"].to_numpy(), before["position"].to_numpy())
    after = after.take(pa.array(rows))
    counts = {name: int(np.count_nonzero(_differ(before[name], after[name])))
              for name in before.column_names if name != "position"}
    return {name: count for name, count in counts.items() if count}


def _differ(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Return a mask of values with other bits; NaN equals NaN."""
    values = [column.to_numpy().astype(np.float32, copy=False) for column in (before, after)]
    unknown = np.isnan(values[0]) & np.isnan(values[1])
    return (values[0].view(np.uint32) != values[1].view(np.uint32)) & ~unknown
