"""Readers of CSV and Parquet files: rows as the file has them, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fraud.training.data import dialect
from fraud.training.data.formats import PARQUET, OpenedFile, opened
from fraud.training.errors import TrainingError
from fraud.training.files import ALL_HISTORY, BLOCK, File, reason

BATCH_ROWS = 250_000            # of Parquet


class Malformed(NamedTuple):
    """A line with the wrong number of cells."""

    position: int               # 0-based data row in the source
    line: str


class Part(Protocol):
    """One opened file.

    Attributes:
        columns: names and types; CSV has bytes.
        description: its format, for people.
        repeated: names that several columns have.
        separator: of CSV, or a comma.
        ends_with_line: False if the last line has no line break: it may be cut off.
        holds_all_history: True if it says that nobody had paid before it begins.
    """

    columns: dict[str, pa.DataType]
    repeated: set[str]
    description: str
    separator: str
    ends_with_line: bool
    holds_all_history: bool

    def batches(self, names: Sequence[str], malformed: list[Malformed]
                ) -> Iterator[pa.RecordBatch]:
        """Give the columns of these names; malformed lines are added to the list instead."""


class Source:
    """A file, or the parts of a folder or glob, which have the same columns.

    Attributes:
        columns: names and types of the columns.
        repeated: names that several columns have.
        description: the format, for people.
        separator: of CSV, or a comma.
    """

    def __init__(self, name: str, parts: Sequence[Part]):
        self.name, self._parts = name, parts
        first = parts[0]
        self.columns, self.repeated = first.columns, first.repeated
        self.separator = first.separator
        self.description = first.description + (
            f", {len(parts)} parts" if len(parts) > 1 else "")

    @property
    def ends_with_line(self) -> bool:
        """False if the last line of the last part has no line break: it may be cut off."""
        return self._parts[-1].ends_with_line

    @property
    def holds_all_history(self) -> bool:
        """True if the file says that nobody had paid before it begins, as simulated ones do."""
        return self._parts[0].holds_all_history

    def batches(self, names: Sequence[str], malformed: list[Malformed]
                ) -> Iterator[pa.RecordBatch]:
        """Give the rows in the order of files and lines.

        Args:
            names: of columns. CSV gives all of its columns.
            malformed: receives lines with the wrong number of cells, which are in no batch.

        Raises:
            TrainingError: a file is cut off, or its content does not fit its beginning.
        """
        before = 0
        for part in self._parts:
            of_part: list[Malformed] = []
            rows = 0
            for batch in part.batches(names, of_part):
                rows += batch.num_rows
                yield batch
            malformed += [line._replace(position=before + line.position) for line in of_part]
            before += rows + len(of_part)


@contextmanager
def open_source(file: File) -> Iterator[Source]:
    """Open a file or its parts for a block.

    Raises:
        TrainingError: a part is of a format that is not read, or has other columns than the first.
    """
    with ExitStack() as stack:
        parts: list[Part] = []
        for path in file.paths:
            name = file.name if len(file.paths) == 1 else str(path)
            part = _part(stack.enter_context(opened(name, path)))
            if parts and list(part.columns) != list(parts[0].columns):
                raise TrainingError(f"{name}: has the columns {', '.join(part.columns)}, and the "
                                    f"first part of {file.name} has {', '.join(parts[0].columns)}; "
                                    "name parts of one table")
            parts.append(part)
        yield Source(file.name, parts)


def _part(file: OpenedFile) -> Part:
    return _Parquet(file) if file.format.kind == PARQUET else _Csv(file)


class _Csv:
    """A CSV file. Cells are bytes; blank lines hold no row, lines with invalid UTF-8 do.

    Arrow stops at a malformed line that it cannot decode. A file that is UTF-8 with damaged cells
    is therefore read as Latin-1, which decodes everything, and its cells are encoded back into
    their bytes.
    """

    holds_all_history = False

    def __init__(self, file: OpenedFile):
        self._file = file
        with _readable(file, "CSV"):
            self._dialect = dialect.sniff(file)
            self._read_names = self._reader({}, lambda row: "skip").schema.names
        self._names = [self._original(name).strip() for name in self._read_names]
        self.columns = dict.fromkeys(self._names, pa.binary())
        self.repeated = _repeated(self._names)
        self.description = f"{file.format.description} ({self._dialect.description})"
        self.separator = self._dialect.separator
        self.ends_with_line = self._dialect.ends_with_line

    def batches(self, names: Sequence[str], malformed: list[Malformed]
                ) -> Iterator[pa.RecordBatch]:
        header = 2 + self._dialect.skipped      # Arrow counts lines from 1

        def keep(row: pacsv.InvalidRow) -> str:
            malformed.append(Malformed(row.number - header, self._original(row.text)))
            return "skip"

        with _readable(self._file, "CSV"):
            as_bytes = {name: pa.binary() for name in self._read_names}
            for batch in self._reader(as_bytes, keep):
                cells = [self._cells(column) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(cells, names=self._names)

    def _reader(self, types: dict[str, pa.DataType],
                on_malformed: Callable[[pacsv.InvalidRow], str]) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            dialect.stream(self._file),
            # Only one thread knows the numbers of malformed rows.
            pacsv.ReadOptions(use_threads=False, block_size=BLOCK, skip_rows=self._dialect.skipped,
                              encoding=self._dialect.encoding),
            pacsv.ParseOptions(delimiter=self._dialect.separator, quote_char=self._dialect.quote,
                               newlines_in_values=True, invalid_row_handler=on_malformed),
            pacsv.ConvertOptions(column_types=types, strings_can_be_null=False))

    def _original(self, decoded: str) -> str:
        if self._dialect.encoding != "latin-1":
            return decoded
        return decoded.encode("latin-1").decode("utf-8", "replace")

    def _cells(self, column: pa.BinaryArray) -> pa.BinaryArray:
        """Return the bytes in the file of cells that Arrow holds as UTF-8."""
        if (self._dialect.encoding != "latin-1"
                or pc.all(pc.string_is_ascii(column.cast(pa.string()))).as_py()):
            return column
        return pa.array([cell.decode().encode("latin-1") for cell in column.to_pylist()],
                        pa.binary())


class _Parquet:
    """A Parquet file. Cells have the file's types; only the named columns are read."""

    separator = ","
    ends_with_line = True

    def __init__(self, file: OpenedFile):
        self._file = file
        with _readable(file, PARQUET):
            schema = pq.read_schema(file.path)
        self.columns = dict(zip(schema.names, schema.types, strict=True))
        self.repeated = _repeated(schema.names)
        self.description = file.format.description
        self.holds_all_history = ALL_HISTORY in (schema.metadata or {})

    def batches(self, names: Sequence[str], malformed: list[Malformed]
                ) -> Iterator[pa.RecordBatch]:
        with _readable(self._file, PARQUET), pq.ParquetFile(self._file.path) as parquet:
            yield from parquet.iter_batches(BATCH_ROWS, columns=list(dict.fromkeys(names)))


def _repeated(names: Sequence[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


@contextmanager
def _readable(file: OpenedFile, kind: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if "Empty CSV" in str(error):
            raise TrainingError(f"{file.name}: holds no rows; export it again") from error
        raise TrainingError(
            f"{file.name}: cannot be read as {kind} ({reason(error)}); it may be cut off"
            + (", or have a quote that is never closed" if kind == "CSV" else "")
            + ": export or copy it again") from error
