"""Columns of a file as text, numbers and integers: exactly, or not at all.

A number in text is what JSON calls a number: a file and the API then read the same payments.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

JSON_NUMBER = r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
JSON_INTEGER = r"^-?(?:0|[1-9][0-9]{0,17})$"      # at most 18 digits: always within int64


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type is read by `text`; one without any value is."""
    if types.is_dictionary(kind):
        kind = kind.value_type
    return (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
            or types.is_binary(kind) or types.is_large_binary(kind) or types.is_null(kind))


def is_number(kind: pa.DataType) -> bool:
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def text(column: pa.Array) -> tuple[pa.StringArray, np.ndarray]:
    """Text of a column for which `is_text` holds, and where its bytes are not UTF-8.

    Returns:
        strings, null where there is no text, and a bool mask of the same length.
    """
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    raw = column.cast(pa.binary())      # Parquet does not check what it calls a string
    try:
        return raw.cast(pa.string()), np.zeros(len(raw), bool)
    except pa.ArrowInvalid:
        undecodable = np.array([not _is_utf8(cell) for cell in raw.to_pylist()])
        return pc.if_else(pa.array(~undecodable), raw, None).cast(pa.string()), undecodable


def numbers(column: pa.Array) -> np.ndarray:
    """float64 of a column of strings or numbers, NaN where it holds none.

    A decimal goes by way of its digits, which gives the nearest float64.
    """
    if types.is_decimal(column.type):
        column = column.cast(pa.string())
    if types.is_string(column.type):
        column = _matching(column, JSON_NUMBER)
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def integers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """int64 of a column of strings or integers, and a bool mask: true where it holds one.

    An unsigned integer beyond int64 comes out negative, which no field of a payment may be.
    """
    if types.is_string(column.type):
        column = _matching(column, JSON_INTEGER)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    return column.cast(pa.int64(), safe=False).fill_null(0).to_numpy(), valid


def _is_utf8(cell: bytes | None) -> bool:
    try:
        (cell or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _matching(strings: pa.StringArray, pattern: str) -> pa.StringArray:
    """The strings that match, the others null."""
    return pc.if_else(pc.match_substring_regex(strings, pattern), strings, None)
