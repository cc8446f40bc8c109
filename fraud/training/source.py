"""The rows of a source file as it has them: which columns are which fields, batch by batch."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from fraud.training.errors import TrainingError
from fraud.training.files import BLOCK, File, reason
from fraud.training.paysim import SPELLINGS
from fraud.training.validation import column_fault

OPTIONAL = ("incident_id", "fraud_type")
PAYMENT_FIELDS = ("transaction_id", "event_time", "type", "amount", "origin", "destination",
                  "origin_balance", "destination_balance", "is_fraud", "label_time")
FORMS = {                       # of each form the fields and how they may be spelled
    "payments": {field: (field,) for field in PAYMENT_FIELDS + OPTIONAL},
    "PaySim": SPELLINGS,
}
BATCH_ROWS = 250_000            # of Parquet


class Malformed(NamedTuple):
    """A line without the right number of cells."""

    position: int               # 0-based data row in the file
    line: str


class Source(Protocol):
    """An opened source file.

    Attributes:
        columns: the file's column of each field; a file of PaySim has the field `step`.
    """

    columns: dict[str, str]

    def batches(self, malformed: list[Malformed]) -> Iterator[pa.RecordBatch]:
        """Rows in file order, from the first; malformed lines go to the list instead.

        Raises:
            TrainingError: the file breaks off or is not what its name says.
        """


def opened(file: File) -> Source:
    """The file, its columns recognised.

    Raises:
        TrainingError: it is not what its extension says, lacks columns or has one of a wrong type.
    """
    return _Parquet(file) if file.is_parquet else _Csv(file)


class _Csv:
    """Cells come as bytes. Blank lines hold no row; a line with bytes that are not UTF-8 does.

    Arrow stops at a malformed line that it cannot decode. A file that is not UTF-8 is therefore
    read as Latin-1, which decodes everything, and its cells are turned back into their bytes.
    """

    def __init__(self, file: File):
        self._file = file
        with _readable(file, "CSV"):
            self._encoding = "utf8" if _is_utf8(file) else "latin1"
            self._read_names = self._reader({}, lambda row: "skip").schema.names
        self._names = [self._original(name) for name in self._read_names]
        self.columns = _columns(file, self._names)

    def batches(self, malformed: list[Malformed]) -> Iterator[pa.RecordBatch]:
        def keep(row: pacsv.InvalidRow) -> str:
            # Arrow counts from 1 at the header.
            malformed.append(Malformed(row.number - 2, self._original(row.text)))
            return "skip"

        with _readable(self._file, "CSV"):
            as_bytes = {name: pa.binary() for name in self._read_names}
            for batch in self._reader(as_bytes, keep):
                cells = [_cells(column, self._encoding) for column in batch.columns]
                yield pa.RecordBatch.from_arrays(cells, names=self._names)

    def _reader(self, types: dict[str, pa.DataType],
                on_malformed: Callable[[pacsv.InvalidRow], str]) -> pacsv.CSVStreamingReader:
        return pacsv.open_csv(
            _past_byte_order_mark(self._file),
            # Only one thread knows the numbers of malformed rows.
            pacsv.ReadOptions(use_threads=False, block_size=BLOCK, encoding=self._encoding),
            pacsv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_malformed),
            pacsv.ConvertOptions(column_types=types, strings_can_be_null=False))

    def _original(self, decoded: str) -> str:
        return decoded.encode(self._encoding).decode("utf-8", "replace")


class _Parquet:
    """Cells come in the file's own types; of its columns only those of fields are read."""

    def __init__(self, file: File):
        self._file = file
        with _readable(file, "Parquet"):
            schema = pq.read_schema(file.path)
        self.columns = _columns(file, schema.names)
        for field, column in self.columns.items():
            fault = column_fault(field, schema.field(column).type)
            if fault:
                raise TrainingError(f"{file.name}: column {column!r} {fault}")

    def batches(self, malformed: list[Malformed]) -> Iterator[pa.RecordBatch]:
        with _readable(self._file, "Parquet"), pq.ParquetFile(self._file.path) as parquet:
            yield from parquet.iter_batches(BATCH_ROWS, columns=list(self.columns.values()))


@contextmanager
def _readable(file: File, kind: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if "Empty CSV" in str(error):
            raise TrainingError(f"{file.name}: holds no rows; export it again") from None
        raise TrainingError(
            f"{file.name}: cannot be read as {kind} ({reason(error)}); it may be cut off"
            + (", or have a quote that is never closed" if kind == "CSV" else "")
            + ": export or copy it again") from None


def _columns(file: File, names: list[str]) -> dict[str, str]:
    """The column of each field, in the form that the file fits best."""
    fits = {form: {field: next((name for name in spellings if name in names), None)
                   for field, spellings in fields.items()}
            for form, fields in FORMS.items()}
    lacks = {form: [FORMS[form][field][0] for field, name in fit.items()
                    if name is None and field not in OPTIONAL]
             for form, fit in fits.items()}
    form = min(FORMS, key=lambda form: len(lacks[form]))
    if lacks[form]:
        raise TrainingError(
            f"{file.name}: lacks the columns {', '.join(lacks[form])} of the {form} form; it has "
            f"{', '.join(map(repr, names[:20]))}; rename or add them")
    columns = {field: name for field, name in fits[form].items() if name is not None}
    twice = [name for name in columns.values() if names.count(name) > 1]
    if twice:
        raise TrainingError(f"{file.name}: has the column {twice[0]!r} twice; keep one")
    return columns


def _stream(file: File) -> pa.NativeFile:
    return pa.input_stream(str(file.path), compression=file.compression)


def _past_byte_order_mark(file: File) -> pa.NativeFile:
    stream = _stream(file)
    return stream if stream.read(3) == codecs.BOM_UTF8 else _stream(file)


def _is_utf8(file: File) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _stream(file) as stream:
        try:
            while block := stream.read(BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _cells(column: pa.BinaryArray, encoding: str) -> pa.BinaryArray:
    """The bytes in the file of cells that Arrow holds as UTF-8."""
    if encoding == "utf8" or pc.all(pc.string_is_ascii(column.cast(pa.string()))).as_py():
        return column
    return pa.array([cell.decode().encode(encoding) for cell in column.to_pylist()], pa.binary())
