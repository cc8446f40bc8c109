"""The work of Spark's workers: history of whole accounts, then features of whole payments.

Each function gets the Arrow batches of one partition, as Spark hands them to `mapInArrow`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from fraud.features import FeatureTable, PaymentColumns
from fraud.training.features.account_windows import Entries, event_order, side_counts
from fraud.windows import COUNT_NAMES, SIDE_NAMES, counts_of, known_windows

BATCH_ROWS = 100_000        # of an Arrow batch
PAYMENT_COLUMNS = tuple(name for name in PaymentColumns._fields if name != "destination")


def _table(batches: Iterable):
    """Return the batches of a partition as one Arrow table, or None without any."""
    filled = [batch for batch in batches if batch.num_rows]
    return pa.Table.from_batches(filled).combine_chunks() if filled else None


def side_batches(batches: Iterable) -> Iterator:
    """Add to the entries of whole accounts the history before each of them."""
    table = _table(batches)
    if table is None:
        return
    account = table["account"].combine_chunks().dictionary_encode().indices
    entries = Entries(
        account.to_numpy().astype(np.int64), *(table[name].to_numpy() for name in (
            "time", "position", "amount_cents", "sent", "received", "other")))
    order = event_order(entries)
    entries = entries.take(order)
    is_payment = entries.position >= 0
    counts = side_counts(entries)[:, is_payment]
    payments = table.take(pa.array(order[is_payment]))
    columns = [payments["position"], payments["sent"], payments["received"],
               *(payments[name] for name in PAYMENT_COLUMNS), *map(pa.array, counts)]
    names = ["position", "is_origin", "received", *PAYMENT_COLUMNS, *SIDE_NAMES]
    yield from pa.Table.from_arrays(columns, names).to_batches(BATCH_ROWS)


def _counted(batches: Iterable):
    """Return the payments of a partition in the columns of `with_counts`, or None without any."""
    table = _table(batches)
    if table is None:
        return None
    position, is_origin, received = (table[name].to_numpy() for name in (
        "position", "is_origin", "received"))
    order = np.argsort(position, kind="stable")
    origins, receivers = order[is_origin[order]], order[~is_origin[order]]
    row = np.searchsorted(position[origins], position[receivers])
    to_itself = np.flatnonzero(received[origins])
    sides = np.stack([table[name].to_numpy() for name in SIDE_NAMES])
    counts = np.zeros((2, len(SIDE_NAMES), len(origins)), np.int64)
    counts[0] = sides[:, origins]
    counts[1][:, row] = sides[:, receivers]
    counts[1][:, to_itself] = counts[0][:, to_itself]
    destination = np.zeros(len(origins), bool)
    destination[row] = destination[to_itself] = True
    payments = table.take(pa.array(origins))
    columns = [pa.array(destination) if name == "destination" else payments[name]
               for name in PaymentColumns._fields]
    return pa.Table.from_arrays(
        [payments["position"], *columns, *map(pa.array, counts.reshape(-1, len(origins)))],
        ["position", *PaymentColumns._fields, *COUNT_NAMES])


def count_batches(batches: Iterable) -> Iterator:
    """Bring the entries of each payment into one row."""
    counted = _counted(batches)
    if counted is not None:
        yield from counted.to_batches(BATCH_ROWS)


def feature_batches(types: tuple[str, ...], left_out: tuple[str, ...], recording_since: int,
                    batches: Iterable) -> Iterator:
    """Turn the entries of payments into batches of features."""
    table = FeatureTable(types, left_out)
    for batch in count_batches(batches):
        payments = payment_columns(batch)
        windows = known_windows(recording_since, payments.event_time)
        counts = counts_of([batch[name].to_numpy() for name in COUNT_NAMES], windows)
        matrix = table.matrix(payments, counts)
        yield pa.RecordBatch.from_arrays(
            [batch["position"], batch["event_time"], *(pa.array(column) for column in matrix.T)],
            names=["position", "event_time", *table.names])


def payment_columns(counted) -> PaymentColumns:
    """Return the columns that features need of an Arrow batch or table from `with_counts`."""
    kinds = {"destination": pa.bool_(), "origin_balance_cents": pa.float64(),
             "destination_balance_cents": pa.float64()}
    columns = (counted[name].cast(kinds.get(name, pa.int64())) for name in PaymentColumns._fields)
    return PaymentColumns(*(column.to_numpy(zero_copy_only=False) for column in columns))
