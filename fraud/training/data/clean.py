"""Payments of a clean Parquet file (`dataset.SCHEMA`), as serving receives them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc
import pyarrow.parquet as pq

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
