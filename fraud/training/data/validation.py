"""Validation of rows: which are payments, and the reason why others are not.

A row is valid exactly when `fraud.transaction.parse` accepts the same payment, its type is one
of the settings, and its label is valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud.training.data import parsing
from fraud.training.data.paysim import LAST_STEP
from fraud.transaction import (
    AMOUNT_LIMIT, BALANCE_LIMIT, EVENT_TIME_LIMIT, EVENT_TIME_START, NAME_LENGTH, ROUNDED_NAME,
    whole_cents)

REASONS = {     # why a row is invalid; if several apply, the first counts
    "wrong-column-count": "the line has more or fewer cells than the header",
    "joined-lines": "a quote that is not closed in its line joins it with those that follow",
    "undecodable-bytes": "a cell cannot be decoded as text",
    "unknown-type": "the type is not one of the settings",
    "bad-amount": "the amount is missing, not a number or not finite",
    "negative-amount": "the amount is below 0",
    "amount-too-large": f"the amount is above {AMOUNT_LIMIT:,.0f}",
    "over-precise-amount": "the amount has more than two decimals",
    "bad-balance": "a balance is not a number or not finite",
    "balance-too-large": f"a balance is further from 0 than {BALANCE_LIMIT:,.0f}",
    "over-precise-balance": "a balance has more than two decimals",
    "missing-account": "the origin is missing",
    "rounded-account": "an account is a number that a spreadsheet rounded, such as 2.29E+15",
    "long-account": f"an account name has more than {NAME_LENGTH} characters",
    "bad-transaction-id": "the transaction_id is missing, rounded by a spreadsheet, or longer than "
                          f"{NAME_LENGTH} characters",
    "impossible-time": "the event_time is not a time from 2000 to 2099, or the step not an hour",
    "bad-label": "is_fraud is not 0 or 1, or label_time is not a time or before event_time, and "
                 "they are not both empty",
    "distant-time": "the event_time is more than ten years from that of most rows",
    "duplicate-transaction-id": "an earlier valid row has its transaction_id",
    "repeated-row": "an earlier valid row is the same in every field",
}
CODES = {reason: code for code, reason in enumerate(REASONS, 1)}      # 0: a valid row
MEASURES = ("amount", "origin_balance", "destination_balance")
NOT_KNOWN = EVENT_TIME_LIMIT      # the label_time of a payment without a label: ms since the epoch
TIMES = ("event_time", "label_time")


class CheckedRows(NamedTuple):
    """Rows after validation: arrays of one length."""

    rows: pa.RecordBatch    # money in int64 cents; meaningful only for valid rows
    codes: np.ndarray       # int8 of `CODES`, 0 for valid rows
    is_fraud: np.ndarray    # bool: labelled as fraud, valid or not
    amount: np.ndarray      # float64: currency units; 0 where it is not a number
    time: np.ndarray        # int64: event_time as given, possible or not; 0 where it is no number
    rounded: np.ndarray     # bool: money that was off whole cents by float noise alone


class Faults:
    """The first reason against each row of a batch."""

    def __init__(self, rows: int):
        self.codes = np.zeros(rows, np.int8)      # into `CODES`
        self.rounded = np.zeros(rows, bool)

    def add(self, reason: str, where: np.ndarray) -> None:
        rows = np.flatnonzero(where)
        if rows.size:
            previous, code = self.codes[rows], CODES[reason]
            self.codes[rows] = np.where(previous == 0, code, np.minimum(previous, code))


def column_fault(field: str, kind: pa.DataType) -> str | None:
    """Return why a column of this type cannot be the field; None if it can."""
    if parsing.is_text(kind):
        return None
    if field in TIMES and pa.types.is_timestamp(kind):
        return None if kind.tz else (f"holds {kind} without a time zone; name the zone in a "
                                     "mapping (--columns)")
    if field in (*TIMES, "step"):
        is_whole = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        return None if is_whole else f"holds {kind}; write it as int64"
    if field == "is_fraud":
        is_label = parsing.is_number(kind) or pa.types.is_boolean(kind)
        return None if is_label else f"holds {kind}; write it as int64"
    if field in MEASURES:
        return None if parsing.is_number(kind) else f"holds {kind}; write it as float64"
    if pa.types.is_integer(kind):
        return None
    return f"holds {kind}; write it as string"


def check(raw: dict[str, pa.Array], types: Sequence[str], label_delay: int = 0,
          undecodable: np.ndarray | None = None) -> CheckedRows:
    """Validate rows.

    Args:
        raw: a column for each field, of types that `column_fault` accepts; with `step` or
            event_time. Perhaps without transaction_id, destination, balances, label_time,
            incident_id and fraud_type. A payment with neither is_fraud nor label_time is
            unlabelled.
        types: that a payment may have.
        label_delay: ms from a payment to its label, without label_time.
        undecodable: bool, a mask of rows with such a cell, where that is known already.
    """
    faults = Faults(len(raw["amount"]))
    if undecodable is not None:
        faults.add("undecodable-bytes", undecodable)
    columns = {field: _decoded(field, column, faults) for field, column in raw.items()}
    label, is_label = parsing.labels(columns["is_fraud"])
    units = parsing.numbers(columns["amount"])
    fields = {
        **_payment(columns, units, types, faults),
        "is_fraud": pa.array(label),
        **(_hour(columns, is_label, faults) if "step" in columns
           else _identity(columns, is_label, label_delay, faults)),
        **{field: _given(columns.get(field), len(label))
           for field in ("incident_id", "fraud_type")},
    }
    return CheckedRows(
        rows=pa.RecordBatch.from_pydict(fields), codes=faults.codes,
        is_fraud=is_label & (label == 1),
        amount=np.nan_to_num(units, nan=0.0, posinf=0.0, neginf=0.0),
        time=fields["step" if "step" in fields else "event_time"].to_numpy(),
        rounded=faults.rounded)


def _decoded(field: str, column: pa.Array, faults: Faults) -> pa.Array:
    if pa.types.is_integer(column.type) and field not in (*TIMES, *MEASURES, "step", "is_fraud"):
        return column.cast(pa.string())     # an account number
    if not parsing.is_text(column.type):
        return column
    strings, undecodable = parsing.text(column)
    faults.add("undecodable-bytes", undecodable)
    return strings


def _payment(columns: dict[str, pa.Array], units: np.ndarray, types: Sequence[str],
             faults: Faults) -> dict[str, pa.Array]:
    rows = len(units)
    type_code = pc.index_in(columns["type"], pa.array(types, pa.string()))
    faults.add("unknown-type", type_code.is_null())
    faults.add("negative-amount", units < 0)
    origin, is_missing = _names(columns["origin"], faults)
    faults.add("missing-account", is_missing)
    destination, _ = _names(columns.get("destination", pa.nulls(rows, pa.string())), faults)
    return {
        "type": columns["type"],
        "amount_cents": pa.array(_cents("amount", units, AMOUNT_LIMIT, faults)),
        "origin": origin,
        "destination": destination,
        **{f"{side}_balance_cents": _balance(columns.get(f"{side}_balance"), rows, faults)
           for side in ("origin", "destination")},
    }


def _names(column: pa.Array, faults: Faults) -> tuple[pa.Array, np.ndarray]:
    """Return account names, null where missing, and a mask of the missing ones."""
    absent = parsing.missing(column)
    faults.add("rounded-account", _matches(column, ROUNDED_NAME))
    faults.add("long-account", _length(column) > NAME_LENGTH)
    return (pc.if_else(pa.array(absent), None, column) if absent.any() else column), absent


def _balance(column: pa.Array | None, rows: int, faults: Faults) -> pa.Array:
    """Return cents of a balance, null where it is not known."""
    if column is None:
        return pa.nulls(rows, pa.int64())
    unknown = parsing.missing(column)
    units = np.where(unknown, 0.0, parsing.numbers(column))
    return pa.array(_cents("balance", units, BALANCE_LIMIT, faults), mask=unknown)


def _cents(measure: str, units: np.ndarray, limit: float, faults: Faults) -> np.ndarray:
    inside = np.abs(units) <= limit
    cents, valid, rounded = whole_cents(np.where(inside, units, 0.0))
    faults.add(f"bad-{measure}", ~np.isfinite(units))
    faults.add(f"{measure}-too-large", ~inside)      # also where not finite, which counts first
    faults.add(f"over-precise-{measure}", ~valid)
    faults.rounded |= rounded
    return cents


def _length(strings: pa.Array) -> np.ndarray:
    return pc.utf8_length(strings).fill_null(0).to_numpy()


def _matches(strings: pa.Array, pattern: str) -> np.ndarray:
    matched = pc.match_substring_regex(strings, pattern, ignore_case=True)
    return matched.fill_null(False).to_numpy(zero_copy_only=False)


def _hour(columns: dict[str, pa.Array], is_label: np.ndarray, faults: Faults
          ) -> dict[str, pa.Array]:
    faults.add("bad-label", ~is_label)
    step, is_integer = parsing.integers(columns["step"])
    possible = is_integer & (0 <= step) & (step <= LAST_STEP)       # PaySim 2 counts from 0
    faults.add("impossible-time", ~possible)
    return {"step": pa.array(step)}


def _identity(columns: dict[str, pa.Array], is_label: np.ndarray, label_delay: int,
              faults: Faults) -> dict[str, pa.Array]:
    name = columns.get("transaction_id", pa.nulls(len(is_label), pa.string()))
    if "transaction_id" in columns:
        faults.add("bad-transaction-id", parsing.missing(name) | _matches(name, ROUNDED_NAME)
                   | (_length(name) > NAME_LENGTH))
    time, is_time = parsing.times(columns["event_time"])
    faults.add("impossible-time",
               ~(is_time & (EVENT_TIME_START <= time) & (time < EVENT_TIME_LIMIT)))
    return {"transaction_id": name, "event_time": pa.array(time),
            "label_time": pa.array(_label_time(columns, time, is_label, label_delay, faults))}


def _label_time(columns: dict[str, pa.Array], time: np.ndarray, is_label: np.ndarray,
                label_delay: int, faults: Faults) -> np.ndarray:
    """Return when each label became known, `NOT_KNOWN` without a label: int64 ms."""
    unlabelled = parsing.missing(columns["is_fraud"])
    if "label_time" not in columns:
        faults.add("bad-label", ~(unlabelled | is_label))
        return np.where(unlabelled, NOT_KNOWN, time + label_delay)
    unlabelled = unlabelled & parsing.missing(columns["label_time"])
    label_time, has_time = parsing.times(_without_zeros(columns["label_time"]))
    faults.add("bad-label", ~(unlabelled | is_label & has_time & (label_time >= time)))
    return np.where(unlabelled, NOT_KNOWN, label_time)


def _without_zeros(column: pa.Array) -> pa.Array:
    """Return whole numbers without the zeros that pandas writes where others are missing."""
    if not pa.types.is_string(column.type):
        return column
    return pc.replace_substring_regex(column, r"^([0-9]+)\.0$", r"\1")


def _given(strings: pa.Array | None, rows: int) -> pa.Array:
    """Return optional text, null if empty: CSV does not distinguish empty and missing cells."""
    if strings is None:
        return pa.nulls(rows, pa.string())
    return pc.if_else(pc.equal(strings, ""), None, strings)
