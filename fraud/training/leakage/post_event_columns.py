"""Post-event columns of PaySim, which are known only after the decision. No feature uses them.

The leakage audit shows how a model would exploit them: PaySim cancels fraudulent payments, so the
balances after them reveal the label, as its authors say.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.training.data import parsing
from fraud.training.data.readers import Malformed, open_source
from fraud.training.files import fetched

PAYSIM_ID = re.compile(r"[0-9a-f]{8}-[0-9]+")
SPELLINGS = {                       # names of each column in PaySim and PaySim 2
    "origin_balance_after": ("newbalanceOrig", "newBalanceOrig"),
    "destination_balance_after": ("newbalanceDest", "newBalanceDest"),
    "flagged": ("isFlaggedFraud",),
}


def read_columns(source: str, transactions: str, first: int, end: int,
                 directory: Path) -> dict[str, np.ndarray]:
    """Read these columns of some rows; none if the file is not PaySim's or has no such column.

    Args:
        source: the file that `transactions` was made from: a path or an s3:// URI.
        transactions: a clean Parquet file. The ids of a PaySim file are made of the digest of
            `source` and the row number.
        first, end: the rows `first` <= position < `end`.
        directory: holds the copy of a file on S3.

    Returns:
        float64 arrays of shape (rows,), by name.

    Raises:
        TrainingError: see `fetched`.
    """
    ids = pq.read_table(transactions, columns=["transaction_id"], filters=[
        ("position", ">=", first), ("position", "<", end)])["transaction_id"].to_pylist()
    if not PAYSIM_ID.fullmatch(ids[0]):
        return {}       # without reading the file again, which may be remote
    with fetched(source, directory) as file, open_source(file) as opened:
        columns = {ours: theirs for ours, spellings in SPELLINGS.items()
                   for theirs in spellings if theirs in opened.columns}
        if not columns or not ids[0].startswith(file.digest[:8]):
            return {}
        malformed: list[Malformed] = []
        batches = [batch.select(list(columns.values()))
                   for batch in opened.batches(list(columns.values()), malformed)]
    table = pa.Table.from_batches(batches)
    rows = np.array([int(name.rpartition("-")[2]) for name in ids])
    rows -= np.searchsorted([line.position for line in malformed], rows)    # these are in no batch
    return {ours: _numbers(table[theirs].combine_chunks().take(pa.array(rows)))
            for ours, theirs in columns.items()}


def _numbers(column: pa.Array) -> np.ndarray:
    return parsing.numbers(parsing.text(column)[0] if parsing.is_text(column.type) else column)
