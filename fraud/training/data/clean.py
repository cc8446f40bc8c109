"""Payments and labels of a clean Parquet file (`dataset.SCHEMA`), as serving receives them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraud.history import KnownFraud
from fraud.transaction import Transaction

COLUMNS = list(Transaction.__struct_fields__)


def batches(path: str, size: int, since: int = 0) -> Iterator[list[Transaction]]:
    """Give the payments of a file in event order, in batches of at most `size`.

    Args:
        since: ms since the epoch; earlier payments are left out.
    """
    for batch in pq.ParquetFile(path).iter_batches(size, columns=COLUMNS):
        kept = batch.filter(pc.greater_equal(batch["event_time"], since))
        yield [Transaction(*row) for row in zip(
            *(kept[name].to_pylist() for name in COLUMNS), strict=True)]


def known_frauds(path: str, since: int, until: int) -> list[KnownFraud]:
    """Return the frauds that became known from `since` to `until`, in the order of `label_time`."""
    table = pq.read_table(path, columns=list(KnownFraud._fields), filters=[
        ("is_fraud", "==", 1), ("label_time", ">=", since), ("label_time", "<=", until)])
    table = table.sort_by("label_time")
    return [KnownFraud(*row) for row in zip(
        *(table[name].to_pylist() for name in KnownFraud._fields), strict=True)]
