"""Parsing of columns into text, numbers, times and labels, exactly or not at all."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from fraud.transaction import MISSING_NAMES

JSON_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
JSON_INTEGER = r"^-?(?:0|[1-9][0-9]{0,17})$"     # at most 18 digits: always within int64
ISO_TIME = (r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
            r" ?(Z|[+-][0-9]{2}:?[0-9]{2})$")
LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1, "no": 0, "yes": 1}
LIMIT = 2.0 ** 53       # below it every whole number is a float64


def is_text(kind: pa.DataType) -> bool:
    """Return True if `text` reads a column of this type; a column without any value counts too."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    return (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
            or types.is_binary(kind) or types.is_large_binary(kind) or types.is_null(kind))


def is_number(kind: pa.DataType) -> bool:
    """Return True if `numbers` reads a column of this type."""
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def text(column: pa.Array) -> tuple[pa.StringArray, np.ndarray]:
    """Return the text of a column for which `is_text` holds, without blanks around it.

    Returns:
        strings, null without text, and a mask of the cells that are not UTF-8.
    """
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    raw = column.cast(pa.binary())      # Parquet does not check that its strings are UTF-8
    undecodable = np.zeros(len(raw), bool)
    try:
        strings = raw.cast(pa.string())
    except pa.ArrowInvalid:
        undecodable = np.array([not _is_utf8(cell) for cell in raw.to_pylist()])
        strings = pc.if_else(pa.array(~undecodable), raw, None).cast(pa.string())
    return pc.utf8_trim_whitespace(strings), undecodable


def missing(column: pa.Array) -> np.ndarray:
    """Return a mask of cells that hold no value: null, NaN, blank, or a word such as NULL."""
    if types.is_string(column.type):
        absent = pc.is_in(pc.utf8_lower(column), pa.array(["", *sorted(MISSING_NAMES)]))
        return pc.or_(absent, column.is_null()).to_numpy(zero_copy_only=False)
    return column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)


def numbers(column: pa.Array) -> np.ndarray:
    """Return float64 of a column of strings or numbers, NaN for other cells.

    Text must be a number of JSON, as in the API. Decimals are converted through their digits, which
    gives the nearest float64.
    """
    if types.is_decimal(column.type):
        column = column.cast(pa.string())
    if types.is_string(column.type):
        column = _matching(column, JSON_NUMBER)
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def integers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 of a column of strings or numbers, and a mask of the whole numbers.

    An unsigned integer beyond int64 becomes negative, which is invalid in every field.
    """
    if types.is_floating(column.type):
        values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        whole = np.isfinite(values) & (np.abs(values) < LIMIT) & (values == np.rint(values))
        return np.where(whole, values, 0).astype(np.int64), whole
    if types.is_string(column.type):
        column = _matching(column, JSON_INTEGER)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    return column.cast(pa.int64(), safe=False).fill_null(0).to_numpy(), valid


def times(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 ms since the epoch, and a mask of the cells that are times.

    Times are integers, timestamps with a zone, or ISO 8601 text with an offset.
    """
    if types.is_timestamp(column.type):
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        milliseconds = column.cast(pa.timestamp("ms", column.type.tz), safe=False)
        return milliseconds.cast(pa.int64()).fill_null(0).to_numpy(), valid
    values, valid = integers(column)
    if types.is_string(column.type) and not valid.all():
        rows = np.flatnonzero(pc.match_substring_regex(column, ISO_TIME).fill_null(False))
        moments, are_times = _moments(column.take(pa.array(rows)))
        values, valid = values.copy(), valid.copy()
        values[rows], valid[rows] = moments, are_times
    return values, valid


def labels(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return int8 labels, and a mask of the cells that are one: 0, 1, true, false, yes or no."""
    if types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not types.is_string(column.type):
        values, valid = integers(column)
        return (values == 1).astype(np.int8), valid & ((values == 0) | (values == 1))
    index = pc.index_in(pc.utf8_lower(column), pa.array(list(LABELS)))
    valid = index.is_valid().to_numpy(zero_copy_only=False)
    return np.array(list(LABELS.values()), np.int8)[index.fill_null(0).to_numpy()], valid


def _moments(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Return int64 ms since the epoch of ISO 8601 text, and a mask: a month may be 13."""
    try:
        moments = texts.cast(pa.timestamp("ns", "UTC")).cast(pa.timestamp("ms", "UTC"), safe=False)
        return moments.cast(pa.int64()).to_numpy(), np.ones(len(texts), bool)
    except pa.ArrowInvalid:
        each = [_moment(text) for text in texts.to_pylist()]
        return (np.array([moment or 0 for moment in each], np.int64),
                np.array([moment is not None for moment in each]))


def _moment(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
    except ValueError:
        return None
    return math.floor(moment.timestamp() * 1000)


def _is_utf8(cell: bytes | None) -> bool:
    try:
        (cell or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _matching(strings: pa.StringArray, pattern: str) -> pa.StringArray:
    """Return the strings that match, null for others."""
    return pc.if_else(pc.match_substring_regex(strings, pattern), strings, None)
