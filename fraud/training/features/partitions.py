"""The work of Spark's workers: history of whole accounts, then features of whole payments.

Each function gets the Arrow batches of one partition, as Spark hands them to `mapInArrow`. Spark
shuffles rows, and converts batches to rows and back value by value. So an entry with its history is
one value to Spark, the bytes of a `RECORD`; and the workers write features, which Spark never sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.features import FeatureTable, PaymentColumns
from fraud.training.features.account_windows import Entries, event_order, side_counts
from fraud.windows import COUNT_NAMES, SIDE_NAMES, counts_of, known_windows

BATCH_ROWS = 100_000        # of an Arrow batch
FOLDER = "split={}"         # of the features of a split
PAYMENT_COLUMNS = tuple(name for name in PaymentColumns._fields if name != "destination")
BALANCES = ("origin_balance_cents", "destination_balance_cents")
# An entry of a payment with the history before it. Balances are NaN where not known.
RECORD = np.dtype([("is_origin", "?"), ("received", "?"),
                   *((name, "<f8" if name in BALANCES else "<i8") for name in PAYMENT_COLUMNS),
                   *((name, "<i8") for name in SIDE_NAMES)])


class CountedPayments(NamedTuple):
    """Payments with the history before them, in order of position."""

    position: np.ndarray        # int64, shape (payments,)
    columns: PaymentColumns
    counts: np.ndarray          # int64, shape (len(COUNT_NAMES), payments)

    def batches(self) -> Iterator[CountedPayments]:
        """Give at most `BATCH_ROWS` payments at a time."""
        for first in range(0, self.position.size, BATCH_ROWS):
            rows = slice(first, first + BATCH_ROWS)
            yield CountedPayments(
                self.position[rows], PaymentColumns(*(column[rows] for column in self.columns)),
                self.counts[:, rows])


def side_batches(batches: Iterable) -> Iterator:
    """Turn the entries of whole accounts into positions and `RECORD`s of payments."""
    given = [batch for batch in batches if batch.num_rows]
    if not given:
        return
    table = pa.Table.from_batches(given)
    # The names of a busy account are more than the 2 GiB that one Arrow array holds: codes first.
    account = table["account"].dictionary_encode().combine_chunks().indices
    entries = Entries(
        account.to_numpy().astype(np.int64), *(table[name].to_numpy() for name in (
            "event_time", "position", "amount_cents", "sent", "received", "other")))
    order = event_order(entries)
    entries = entries.take(order)
    counts = side_counts(entries)
    payments = np.flatnonzero(entries.position >= 0)
    columns = {"is_origin": entries.sent, "received": entries.received,
               **{name: table[name].to_numpy()[order] for name in PAYMENT_COLUMNS},
               **dict(zip(SIDE_NAMES, counts, strict=True))}
    for first in range(0, payments.size, BATCH_ROWS):
        rows = payments[first:first + BATCH_ROWS]
        records = np.empty(rows.size, RECORD)
        for name, column in columns.items():
            records[name] = column[rows]
        yield pa.RecordBatch.from_arrays([pa.array(entries.position[rows]), _bytes(records)],
                                         ["position", "record"])


def _bytes(records: np.ndarray) -> pa.Array:
    """Return records as an array of their bytes, without a copy."""
    offsets = np.arange(records.size + 1, dtype=np.int32) * RECORD.itemsize
    return pa.Array.from_buffers(pa.binary(), records.size, [
        None, pa.py_buffer(offsets), pa.py_buffer(records.view(np.uint8))])


def _records(array: pa.Array) -> np.ndarray:
    """Return the records of which these are the bytes, without a copy."""
    return np.frombuffer(array.buffers()[2], RECORD, len(array), array.offset * RECORD.itemsize)


def _counted(batches: Iterable) -> CountedPayments:
    """Join the records of a partition: two for each payment between two accounts."""
    given = list(batches)
    position = np.concatenate([np.zeros(0, np.int64),
                               *(batch["position"].to_numpy() for batch in given)])
    records = np.concatenate([np.zeros(0, RECORD), *(_records(batch["record"]) for batch in given)])
    order = np.argsort(position, kind="stable")
    is_origin = records["is_origin"][order]
    origins, receivers = order[is_origin], order[~is_origin]
    payment = np.searchsorted(position[origins], position[receivers])
    to_itself = np.flatnonzero(records["received"][origins])
    counts = np.zeros((2, len(SIDE_NAMES), origins.size), np.int64)
    for index, name in enumerate(SIDE_NAMES):
        counts[0, index] = records[name][origins]
        counts[1, index, payment] = records[name][receivers]
    counts[1][:, to_itself] = counts[0][:, to_itself]
    destination = np.zeros(origins.size, bool)
    destination[payment] = destination[to_itself] = True
    columns = {name: records[name][origins] for name in PAYMENT_COLUMNS}
    return CountedPayments(position[origins], PaymentColumns(destination=destination, **columns),
                           counts.reshape(len(COUNT_NAMES), origins.size))


def count_batches(batches: Iterable) -> Iterator:
    """Give the payments of a partition in the columns of `spark_job.with_counts`."""
    for payments in _counted(batches).batches():
        yield pa.RecordBatch.from_arrays(
            [pa.array(column) for column in (payments.position, *payments.columns,
                                             *payments.counts)],
            ["position", *PaymentColumns._fields, *COUNT_NAMES])


def write_features(types: tuple[str, ...], left_out: tuple[str, ...], recording_since: int,
                   ends: Mapping[str, int], destination: str, batches: Iterable) -> Iterator:
    """Write the features of a partition, a file in the folder of each split; give the rows written.

    A task that runs again after a failure replaces the files of the first attempt.
    """
    from pyspark import TaskContext

    table, payments = FeatureTable(types, left_out), _counted(batches)
    split = np.searchsorted(list(ends.values()), payments.columns.event_time, side="right")
    features = [np.zeros((0, len(table.names)), np.float32)]
    for part in payments.batches():
        windows = known_windows(recording_since, part.columns.event_time)
        features.append(table.matrix(part.columns, counts_of(list(part.counts), windows)))
    matrix, written = np.concatenate(features), 0
    for index, name in enumerate(ends):
        rows = np.flatnonzero(split == index)
        if rows.size:
            folder = Path(destination, FOLDER.format(name))
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / f"part-{TaskContext.get().partitionId():05}.parquet", table.names,
                   payments.position[rows], matrix[rows])
            written += rows.size
    yield pa.RecordBatch.from_arrays([pa.array([written])], ["rows"])


def _write(path: Path, names: Sequence[str], position: np.ndarray, matrix: np.ndarray) -> None:
    """Write features as a Parquet file, which gets its name only once it is complete."""
    columns = pa.table([position, *np.asfortranarray(matrix).T], ["position", *names])
    partial = path.with_name(f".{path.name}")       # readers skip it
    pq.write_table(columns, partial, compression="lz4", use_dictionary=False)
    partial.replace(path)


def payment_columns(counted) -> PaymentColumns:
    """Return the columns that features need of an Arrow batch or table from `with_counts`."""
    columns = (counted[name] for name in PaymentColumns._fields)
    return PaymentColumns(*(column.to_numpy(zero_copy_only=False) for column in columns))
