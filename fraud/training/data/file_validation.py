"""Validation of a whole file: each row is a payment, an invalid row with a reason, or blank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from fraud import clock
from fraud.training.data import parsing, validation
from fraud.training.data.column_forms import CURRENCY, FileColumns
from fraud.training.data.mapped_columns import MappedColumns
from fraud.training.data.readers import Malformed, Source
from fraud.training.data.validation import CODES
from fraud.training.errors import TrainingError

BLANK = -1                              # the code of a row without any value
DISTANT_MS = 10 * 365 * clock.DAY_MS    # from the median event_time
ROWS_FOR_MEDIAN = 100                   # fewer say nothing about the time of most


class ValidatedFile(NamedTuple):
    """A whole file after validation: arrays of one length, in file order.

    Malformed lines are not in the arrays.
    """

    good: pa.Table              # valid rows of `validation.check`
    codes: np.ndarray           # int8 of `CODES`, 0 for valid rows, `BLANK`
    is_fraud: np.ndarray        # bool: labelled as fraud, valid or not
    amount: np.ndarray          # float64: currency units; 0 where it is not a number
    time: np.ndarray            # int64: event_time or step as given; 0 where it is no number
    rounded: int                # valid rows with money off whole cents by float noise
    positions: np.ndarray       # int64, in the file
    malformed: list[Malformed]

    @property
    def blank(self) -> int:
        """The number of blank rows."""
        return int(np.count_nonzero(self.codes == BLANK))


def validate_file(source: Source, columns: FileColumns | MappedColumns, types: Sequence[str],
                  label_delay: int) -> ValidatedFile:
    """Validate the rows of a file.

    Args:
        types: that a payment may have.
        label_delay: ms from a payment to its label, without label_time.

    Raises:
        TrainingError: the file holds no rows, is cut off, or has amounts of several currencies.
    """
    malformed: list[Malformed] = []
    good, codes, is_fraud, amount, time = [], [], [], [], []
    rounded, currencies = 0, _Currencies(source, columns)
    for batch in tqdm(source.batches(columns.names, malformed), "validating", unit="batch",
                      disable=None, delay=5, leave=False):
        raw, undecodable = columns.fields(batch)
        checked = validation.check(raw, types, label_delay, undecodable)
        joined = _joined_lines(batch, source.separator)
        checked.codes[joined] = CODES["joined-lines"]
        checked.codes[_blank(batch)] = BLANK
        currencies.add(batch)
        is_good = checked.codes == 0
        good.append(checked.rows if is_good.all() else checked.rows.filter(pa.array(is_good)))
        codes.append(checked.codes)
        is_fraud.append(checked.is_fraud & (checked.codes != BLANK))
        amount.append(checked.amount)
        time.append(checked.time)
        rounded += int(np.count_nonzero(checked.rounded & is_good))
    currencies.check()
    if not codes:
        good.append(_no_rows(columns, types))
    all_codes = np.concatenate([np.empty(0, np.int8), *codes])
    _check_rows(source, all_codes, malformed)
    positions = np.delete(np.arange(all_codes.size + len(malformed)),
                          np.array([line.position for line in malformed], np.int64))
    validated = ValidatedFile(
        good=pa.Table.from_batches(good), codes=all_codes,
        is_fraud=np.concatenate([np.empty(0, bool), *is_fraud]),
        amount=np.concatenate([np.empty(0), *amount]),
        time=np.concatenate([np.empty(0, np.int64), *time]),
        rounded=rounded, positions=positions, malformed=malformed)
    return _without_repeats(_without_distant(validated))


def _no_rows(columns: FileColumns | MappedColumns, types: Sequence[str]) -> pa.RecordBatch:
    return validation.check({field: pa.array([], pa.string()) for field in columns.by_field}
                            | {"is_fraud": pa.array([], pa.string())}, types).rows


def _check_rows(source: Source, codes: np.ndarray, malformed: list[Malformed]) -> None:
    if not np.any(codes != BLANK) and not malformed:
        raise TrainingError(f"{source.name}: holds no rows; export it again")
    last = codes.size + len(malformed) - 1
    is_invalid = (any(line.position == last for line in malformed)
                  or codes.size > 0 and codes[-1] > 0)
    if is_invalid and not source.ends_with_line:
        raise TrainingError(f"{source.name}: is cut off: its last line is no payment and has no "
                            "line break; export or copy it again, or end that line")


class _Currencies:
    """The values of columns that seem to hold currencies and are no field."""

    def __init__(self, source: Source, columns: FileColumns | MappedColumns):
        self._file = source.name
        self._values: dict[str, set[str]] = {
            name: set() for name in columns.ignored if CURRENCY.search(name)}

    def add(self, batch: pa.RecordBatch) -> None:
        for name, values in self._values.items():
            column = batch.column(name)
            if parsing.is_text(column.type) and len(values) < 2:
                unique = pc.unique(parsing.text(column)[0]).to_pylist()
                values.update(value for value in unique if value)

    def check(self) -> None:
        """Raise TrainingError if a column has several values: amounts would be added up."""
        for name, values in self._values.items():
            if len(values) > 1:
                raise TrainingError(
                    f"{self._file}: column {name!r} holds several currencies "
                    f"({', '.join(sorted(values)[:5])}); convert the amounts to one in a mapping, "
                    "or name the column there under [columns] ignore")


def _blank(batch: pa.RecordBatch) -> np.ndarray:
    """Return a mask of rows without any value."""
    blank = np.ones(batch.num_rows, bool)
    for column in batch.columns:
        if not blank.any():
            break
        if parsing.is_text(column.type):
            empty = pc.less_equal(pc.binary_length(column.cast(pa.binary())), 0)
            if empty.fill_null(True).false_count:
                stripped = pc.utf8_trim_whitespace(parsing.text(column)[0])
                empty = pc.equal(pc.utf8_length(stripped), 0)
            blank &= empty.fill_null(True).to_numpy(zero_copy_only=False)
        else:
            blank &= column.is_null().to_numpy(zero_copy_only=False)
    return blank


def _joined_lines(batch: pa.RecordBatch, separator: str) -> np.ndarray:
    """Return a mask of rows in which a quote has swallowed the beginning of another row.

    A cell with a line break is one if it holds as many separators as a whole row.
    """
    joined = np.zeros(batch.num_rows, bool)
    for column in batch.columns:
        if not pa.types.is_binary(column.type) or not _has_line_break(column):
            continue
        strings = parsing.text(column)[0]
        has_break = pc.match_substring_regex(strings, r"[\r\n]").fill_null(False)
        separators = pc.count_substring(strings, separator).fill_null(0).to_numpy()
        joined |= (has_break.to_numpy(zero_copy_only=False)
                   & (separators >= batch.num_columns - 1))
    return joined


def _has_line_break(column: pa.BinaryArray) -> bool:
    content = column.buffers()[2]
    if content is None:
        return False
    characters = content.to_pybytes()
    return b"\n" in characters or b"\r" in characters


def _without_distant(validated: ValidatedFile) -> ValidatedFile:
    """Make rows invalid whose event_time is more than ten years from the median."""
    if ("event_time" not in validated.good.column_names
            or validated.good.num_rows < ROWS_FOR_MEDIAN):
        return validated
    times = validated.good["event_time"].to_numpy()
    if times.max() - times.min() <= DISTANT_MS:
        return validated
    return _marked(validated, np.abs(times - np.median(times)) > DISTANT_MS, "distant-time")


def _without_repeats(validated: ValidatedFile) -> ValidatedFile:
    """Make all but the first row of a transaction_id invalid, or of equal rows without ids."""
    good = validated.good
    if "step" in good.column_names or good["transaction_id"].null_count == good.num_rows:
        return _marked(validated, _repeated(good), "repeated-row")
    chunks = good["transaction_id"].dictionary_encode().chunks      # with one dictionary for all
    seen = np.concatenate([np.empty(0, np.int32), *(chunk.indices for chunk in chunks)])
    newest = np.maximum.accumulate(seen) if seen.size else seen
    repeated = np.zeros(seen.size, bool)
    repeated[1:] = seen[1:] <= newest[:-1]      # the dictionary grows with each id not seen before
    return _marked(validated, repeated, "duplicate-transaction-id")


def _repeated(good: pa.Table) -> np.ndarray:
    """Return a mask of rows that equal an earlier one in every field."""
    mixed = np.zeros(good.num_rows, np.uint64)
    for name in ("step", "event_time", "amount_cents", "origin_balance_cents",
                 "destination_balance_cents"):
        if name in good.column_names:
            numbers = good[name].fill_null(-1).to_numpy().astype(np.uint64)
            mixed = (mixed ^ numbers) * np.uint64(0x9E3779B97F4A7C15)
    order = np.argsort(mixed, kind="stable")
    same = mixed[order[1:]] == mixed[order[:-1]]
    candidates = np.unique(np.concatenate([order[1:][same], order[:-1][same]]))
    repeated = np.zeros(good.num_rows, bool)
    frame = good.take(pa.array(candidates)).to_pandas()
    repeated[candidates] = frame.duplicated().to_numpy()
    return repeated


def _marked(validated: ValidatedFile, where: np.ndarray, reason: str) -> ValidatedFile:
    """Make some of the valid rows invalid."""
    if not where.any():
        return validated
    codes = validated.codes.copy()
    codes[np.flatnonzero(codes == 0)[where]] = CODES[reason]
    return validated._replace(good=validated.good.filter(pa.array(~where)), codes=codes)
