"""The rows that are not payments: where they stand in the file, why, and what they say."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from fraud.training.files import write_parquet
from fraud.training.source import Malformed, Source
from fraud.training.validation import CODES, REASONS

SCHEMA = pa.schema({
    "row": pa.int64(),          # 0-based data row in the file
    "reason": pa.string(),      # of `REASONS`
    "line": pa.string(),        # of a CSV the whole row, of a Parquet the columns that are used
})
WRONG_COUNT = CODES["wrong-column-count"]


def write(source: Source, codes: np.ndarray, positions: np.ndarray, malformed: list[Malformed],
          path: Path) -> dict[str, int]:
    """Write the bad rows in file order, also where there are none.

    The file is read a second time if it has any: good files pay nothing for their text.

    Args:
        codes: int8 of `CODES`, of each row that `source` gives.
        positions: int64, of each such row in the file.
        malformed: the lines that it does not give.

    Returns:
        how many lines the bad rows take, by reason, in the order of `REASONS`. A row is one line,
        unless a stray quote has made one row of many: those are as bad as they are many.

    Raises:
        TrainingError: the directory is not writable.
    """
    bad = codes != 0
    rows = np.concatenate([positions[bad], [line.position for line in malformed]]).astype(np.int64)
    found = np.concatenate([codes[bad], np.full(len(malformed), WRONG_COUNT, np.int8)])
    lines = [*_lines(source, bad), *(line.line for line in malformed)]
    table = pa.table([rows, pa.array(REASONS).take(pa.array(found - 1)), lines], schema=SCHEMA)
    write_parquet(table.take(pa.array(np.argsort(rows))), path)
    taken = [1 + line.count("\n") for line in lines]
    counts = np.bincount(found, taken, minlength=len(REASONS) + 1)
    return {reason: int(counts[code]) for reason, code in CODES.items() if counts[code]}


def _lines(source: Source, bad: np.ndarray) -> Iterator[str]:
    if not bad.any():
        return
    start = 0
    for batch in source.batches([]):
        here = bad[start:start + batch.num_rows]
        start += batch.num_rows
        columns = batch.filter(pa.array(here)).columns
        for cells in zip(*(column.to_pylist() for column in columns)):
            yield _line(cells)


def _line(cells: tuple) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(
        cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell for cell in cells)
    return text.getvalue()
