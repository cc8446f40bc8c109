"""Columns of PaySim that are known only once a payment was decided. No feature is made of them.

The leakage audit shows what a model would make of them: balances after a fraud that PaySim has
cancelled give its label away, as its authors say.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from fraud.training.files import fetched

PAYSIM_ID = re.compile(r"[0-9a-f]{8}-[0-9]+")
SPELLINGS = {                       # each column, as PaySim and PaySim 2 call it
    "origin_balance_after": ("newbalanceOrig", "newBalanceOrig"),
    "destination_balance_after": ("newbalanceDest", "newBalanceDest"),
    "flagged": ("isFlaggedFraud",),
}


def read(source: str, transactions: str, first: int, end: int,
         directory: Path) -> dict[str, np.ndarray]:
    """Those columns of some rows; none where the file has no such column, or is not of PaySim.

    Args:
        source: the file that `transactions` was made from: a path or an s3:// URI.
        transactions: a clean Parquet file. If it is of PaySim, its ids are made of the digest of
            `source` and the row's number.
        first, end: the rows `first` <= position < `end`.
        directory: holds the copy of a file on S3.

    Returns:
        float64 arrays of shape (rows,), by name.

    Raises:
        TrainingError: see `fetched`.
    """
    import pandas as pd

    ids = pq.read_table(transactions, columns=["transaction_id"], filters=[
        ("position", ">=", first), ("position", "<", end)])["transaction_id"].to_pylist()
    if not PAYSIM_ID.fullmatch(ids[0]):
        return {}       # without another look at the file, which may be far away
    with fetched(source, directory) as file:
        names = (pq.read_schema(file.path).names if file.is_parquet
                 else pd.read_csv(file.path, nrows=0, compression=file.compression,
                                  encoding_errors="replace").columns)
        columns = {ours: theirs for ours, spellings in SPELLINGS.items()
                   for theirs in spellings if theirs in names}
        if not columns or not ids[0].startswith(file.digest[:8]):
            return {}
        # Of a CSV file's malformed lines pandas makes rows too, so that rows keep their numbers.
        table = (pd.read_parquet(file.path, columns=list(columns.values())) if file.is_parquet
                 else pd.read_csv(file.path, usecols=list(columns.values()), low_memory=False,
                                  compression=file.compression, encoding_errors="replace"))
    table = table.iloc[[int(name.rpartition("-")[2]) for name in ids]]
    return {ours: pd.to_numeric(table[theirs], "coerce").to_numpy(np.float64)
            for ours, theirs in columns.items()}
