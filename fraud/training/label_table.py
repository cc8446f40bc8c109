"""Labels as a table, one row each, from a CSV or Parquet file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from fraud.training.errors import TrainingError
from fraud.training.files import reason

REQUIRED = {"transaction_id": "string", "is_fraud": "Int64", "label_time": "Int64"}
OPTIONAL = {"incident_id": "string", "fraud_type": "string", "source": "string"}
COLUMNS = (*REQUIRED, *OPTIONAL)


def read_label_table(path: Path) -> pd.DataFrame:
    """Return the labels in a CSV or Parquet file, with all of `COLUMNS`.

    Raises:
        TrainingError: it cannot be read, lacks a column or holds something other than labels.
    """
    table = _read(path)
    if missing := [name for name in REQUIRED if name not in table]:
        raise TrainingError(f"{path}: has no column {missing[0]!r}; it needs "
                            f"{', '.join(REQUIRED)}")
    table = table.reindex(columns=list(COLUMNS))
    for name in REQUIRED:
        if table[name].isna().any():
            row = int(table[name].isna().to_numpy().argmax())
            raise TrainingError(f"{path}: row {row} has no {name}; leave unlabelled payments out")
    try:
        table = table.astype(REQUIRED | OPTIONAL)
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path}: is_fraud and label_time must be integers "
                            f"({reason(error)})") from error
    invalid = table[~table["is_fraud"].isin((0, 1))]
    if len(invalid):
        raise TrainingError(f"{path}: {invalid['transaction_id'].iloc[0]} has is_fraud "
                            f"{invalid['is_fraud'].iloc[0]}; write 0 or 1")
    return table


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TrainingError(f"{path}: cannot be read ({reason(error)}); give labels as CSV or "
                            "Parquet") from error
