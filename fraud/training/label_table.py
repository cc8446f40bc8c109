"""Labels as a table, one row each, from a CSV or Parquet file or a label log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import pandas as pd
import pyarrow as pa

from fraud.labels import InvalidLabel, Label, parse
from fraud.training.errors import TrainingError
from fraud.training.files import reason

REQUIRED = {"transaction_id": "string", "is_fraud": "Int64", "label_time": "Int64"}
OPTIONAL = {"incident_id": "string", "fraud_type": "string", "source": "string"}
COLUMNS = (*REQUIRED, *OPTIONAL)
ACCOUNTS = dict.fromkeys(("origin", "destination", "origin_pseudonym", "destination_pseudonym"),
                         "string")
LOG = ".jsonl"


def read_label_table(path: Path) -> pd.DataFrame:
    """Return the labels in a CSV or Parquet file or a label log, with all of `COLUMNS`.

    Raises:
        TrainingError: see `read_named_labels`.
    """
    return read_named_labels(path)[list(COLUMNS)]


def read_named_labels(path: Path) -> pd.DataFrame:
    """Return the labels in a file, with all of `COLUMNS` and `ACCOUNTS`.

    Raises:
        TrainingError: it cannot be read, lacks a column or holds something other than labels.
    """
    if path.suffix == LOG:
        return table_of(_logged(path))
    table = _read(path)
    if missing := [name for name in REQUIRED if name not in table]:
        raise TrainingError(f"{path}: has no column {missing[0]!r}; it needs "
                            f"{', '.join(REQUIRED)}")
    table = table.reindex(columns=[*COLUMNS, *ACCOUNTS])
    for name in REQUIRED:
        if table[name].isna().any():
            row = int(table[name].isna().to_numpy().argmax())
            raise TrainingError(f"{path}: row {row} has no {name}; leave unlabelled payments out")
    try:
        table = table.astype(REQUIRED | OPTIONAL | ACCOUNTS)
    except (ValueError, TypeError, OverflowError) as error:
        raise TrainingError(f"{path}: is_fraud and label_time must be integers "
                            f"({reason(error)})") from error
    invalid = table[~table["is_fraud"].isin((0, 1))]
    if len(invalid):
        raise TrainingError(f"{path}: {invalid['transaction_id'].iloc[0]} has is_fraud "
                            f"{invalid['is_fraud'].iloc[0]}; write 0 or 1")
    return table


def table_of(labels: Iterable[Label]) -> pd.DataFrame:
    """Return labels as a table, with all of `COLUMNS` and `ACCOUNTS`."""
    rows = [msgspec.structs.astuple(label) for label in labels]
    return pd.DataFrame(rows, columns=list(Label.__struct_fields__)).astype(
        REQUIRED | OPTIONAL | ACCOUNTS)


def _logged(path: Path) -> Iterator[Label]:
    """Give the lines of a label log; a last line that a crash cut off is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({reason(error)}); name the file of "
                            "FRAUD_LABEL_LOG") from error
    for number, line in enumerate(lines[:-1], 1):
        try:
            yield parse(line)
        except InvalidLabel as error:
            raise TrainingError(f"{path}: line {number}: {error}; name a label log") from error


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype="string", keep_default_na=False, na_values=[""])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TrainingError(f"{path}: cannot be read ({reason(error)}); give labels as CSV, "
                            "Parquet or JSON lines (.jsonl)") from error
