"""Quarantine: rows that are not payments, with row number, reason and content."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.training.data.file_validation import ValidatedFile
from fraud.training.data.readers import Source
from fraud.training.data.validation import CODES, REASONS
from fraud.training.errors import TrainingError
from fraud.training.files import reason, write_parquet
from fraud.transaction import time_problem

SCHEMA = pa.schema({
    "row": pa.int64(),          # 0-based data row in the file
    "reason": pa.string(),      # of `REASONS`
    "is_fraud": pa.bool_(),     # null where the line has the wrong number of cells
    "amount": pa.float64(),     # currency units; null likewise
    "event_time": pa.int64(),   # or step, as given; null likewise
    "line": pa.string(),        # the whole row of a CSV, the used columns of a Parquet file
})
LINE_SHOWN = 200            # characters


@dataclass(frozen=True)
class Loss:
    """The rows, frauds and money that one reason costs."""

    lines: int          # a row is one line, unless a stray quote joined several, which all count
    frauds: int         # rows labelled as fraud
    amount: float       # currency units


def write(source: Source, names: Sequence[str], validated: ValidatedFile, path: Path
          ) -> dict[str, Loss]:
    """Write the invalid rows in file order, even if there are none.

    The file is read a second time only if it has invalid rows.

    Args:
        names: of the columns that were read.

    Returns:
        the loss of each reason, in the order of `REASONS`.

    Raises:
        TrainingError: the directory is not writable.
    """
    invalid, malformed = validated.codes > 0, validated.malformed
    unknown = [None] * len(malformed)
    rows = np.concatenate([validated.positions[invalid],
                           np.array([line.position for line in malformed], np.int64)])
    codes = np.concatenate([validated.codes[invalid],
                            np.full(len(malformed), CODES["wrong-column-count"], np.int8)])
    lines = [*_lines(source, names, invalid), *(line.line for line in malformed)]
    table = pa.table([
        rows, pa.array(list(REASONS)).take(pa.array(codes - 1)),
        pa.array([*validated.is_fraud[invalid].tolist(), *unknown], pa.bool_()),
        pa.array([*validated.amount[invalid].tolist(), *unknown], pa.float64()),
        pa.array([*validated.time[invalid].tolist(), *unknown], pa.int64()),
        pa.array(lines, pa.string())], schema=SCHEMA)
    write_parquet(table.take(pa.array(np.argsort(rows))), path)
    return _losses(codes, lines, table)


def _losses(codes: np.ndarray, lines: list[str], table: pa.Table) -> dict[str, Loss]:
    def total(weights) -> np.ndarray:
        return np.bincount(codes, weights, minlength=len(REASONS) + 1)

    # A quote that the last line leaves open takes in the line break at the end of the file.
    counts = total([1 + line.rstrip('"\r\n').count("\n") for line in lines])
    frauds = total(table["is_fraud"].fill_null(False).to_numpy().astype(int))
    amounts = total(table["amount"].fill_null(0.0).to_numpy())
    return {reason: Loss(int(counts[code]), int(frauds[code]), float(amounts[code]))
            for reason, code in CODES.items() if counts[code]}


def _lines(source: Source, names: Sequence[str], invalid: np.ndarray) -> Iterator[str]:
    if not invalid.any():
        return
    start = 0
    for batch in source.batches(names, []):
        mask = invalid[start:start + batch.num_rows]
        start += batch.num_rows
        if not mask.any():
            continue
        columns = batch.filter(pa.array(mask)).columns
        for cells in zip(*(column.to_pylist() for column in columns), strict=True):
            yield _line(cells, source.separator)


def _line(cells: tuple, separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="").writerow(
        cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell for cell in cells)
    return text.getvalue()


def first(path: Path) -> str:
    """Return the first invalid row of a quarantine, with its reason, in one sentence."""
    return explained(read(path).slice(0, 1).to_pylist()[0])


def explained(row: Mapping) -> str:
    """Return an invalid row with its reason, in one sentence.

    Args:
        row: of `SCHEMA`.
    """
    text = REASONS[row["reason"]]
    if row["reason"] == "impossible-time" and row["event_time"]:
        text = f"event_time {row['event_time']} is {time_problem(row['event_time'])}"
    return f"row {row['row'] + 1:,} ({row['line'][:LINE_SHOWN]}): {text}"


def read(path: Path) -> pa.Table:
    """Read a quarantine: a table of `SCHEMA`.

    Raises:
        TrainingError: it cannot be read or is none.
    """
    try:
        return pq.read_table(path, schema=SCHEMA)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{path}: is not a quarantine ({reason(error)}); name the "
                            "quarantine.parquet of a run") from error
