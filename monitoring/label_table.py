"""Labels as a table: one row a verdict, of a CSV or Parquet file or from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from fraud.training.errors import TrainingError
from fraud.training.files import reason

NEEDED = {"transaction_id": "string", "is_fraud": "Int64", "label_time": "Int64"}
OPTIONAL = {"incident_id": "string", "fraud_type": "string", "source": "string"}
COLUMNS = (*NEEDED, *OPTIONAL)


def read(path: Path) -> pd.DataFrame:
    """The labels in a CSV or Parquet file, with all of `COLUMNS`.

    Raises:
        TrainingError: it cannot be read, lacks a column or holds something else than labels.
    """
    try:
        table = (pd.read_parquet(path) if path.suffix == ".parquet"
                 else pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""]))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TrainingError(f"{path}: cannot be read ({reason(error)}); give labels as CSV or "
                            "Parquet") from None
    if missing := [name for name in NEEDED if name not in table]:
        raise TrainingError(f"{path}: has no column {missing[0]!r}; it needs "
                            f"{', '.join(NEEDED)}")
    table = table.reindex(columns=list(COLUMNS))
    for name in NEEDED:
        if table[name].isna().any():
            row = int(table[name].isna().to_numpy().argmax())
            raise TrainingError(f"{path}: row {row} has no {name}; leave payments without a "
                                "verdict out")
    try:
        table = table.astype(NEEDED | OPTIONAL)
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{path}: is_fraud and label_time must be integers "
                            f"({reason(error)})") from None
    odd = table[~table["is_fraud"].isin((0, 1))]
    if len(odd):
        raise TrainingError(f"{path}: {odd['transaction_id'].iloc[0]} has is_fraud "
                            f"{odd['is_fraud'].iloc[0]}; write 0 or 1")
    return table
