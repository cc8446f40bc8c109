"""Which rows of a file are payments, and what is wrong with the others.

A row is good exactly when `fraud.transaction.parse` takes the same payment, and its label is one.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud.training import parsing
from fraud.training.paysim import LAST_STEP
from fraud.transaction import (
    AMOUNT_LIMIT, BALANCE_LIMIT, EVENT_TIME_LIMIT, NAME_LENGTH, TYPES, cents)

REASONS = {     # why a row is bad; of several the first counts
    "wrong-column-count": "the line has more or fewer cells than the header",
    "undecodable-bytes": "a cell is not UTF-8",
    "unknown-type": f"the type is not one of {', '.join(TYPES)}",
    "bad-amount": "the amount is missing, not a number or not finite",
    "negative-amount": "the amount is below 0",
    "amount-too-large": f"the amount is above {AMOUNT_LIMIT:,.0f}",
    "over-precise-amount": "the amount has more than two decimals",
    "bad-balance": "a balance is missing, not a number or not finite",
    "balance-too-large": f"a balance is further from 0 than {BALANCE_LIMIT:,.0f}",
    "over-precise-balance": "a balance has more than two decimals",
    "missing-account": "the origin or the destination is missing",
    "long-account": f"an account name has more than {NAME_LENGTH} characters",
    "bad-transaction-id": f"the transaction_id is missing or longer than {NAME_LENGTH} characters",
    "impossible-time": "the event_time or step is not an integer, or out of its range",
    "bad-label": "is_fraud is not 0 or 1, or label_time is not an integer or before event_time, "
                 "and they are not both empty",
    "duplicate-transaction-id": "a good row before this one has its transaction_id",
}
CODES = {reason: code for code, reason in enumerate(REASONS, 1)}      # 0: a good row
MEASURES = ("amount", "origin_balance", "destination_balance")
NOT_KNOWN = EVENT_TIME_LIMIT      # the label_time of a payment without a label: ms since the epoch
WHOLE_NUMBERS = ("step", "event_time", "is_fraud", "label_time")


class Faults:
    """The first reason against each row of a batch."""

    def __init__(self, rows: int):
        self.codes = np.zeros(rows, np.int8)      # into `CODES`

    def add(self, reason: str, where: np.ndarray) -> None:
        rows = np.flatnonzero(where)
        if rows.size:
            found, code = self.codes[rows], CODES[reason]
            self.codes[rows] = np.where(found == 0, code, np.minimum(found, code))


def column_fault(field: str, kind: pa.DataType) -> str | None:
    """Why a column of this type cannot be the field at all; None where it can."""
    if parsing.is_text(kind):
        return None
    if field in WHOLE_NUMBERS:
        return None if pa.types.is_integer(kind) else f"holds {kind}; write it as int64"
    if field in MEASURES:
        return None if parsing.is_number(kind) else f"holds {kind}; write it as float64"
    return f"holds {kind}; write it as string"


def check(raw: dict[str, pa.Array]) -> tuple[pa.RecordBatch, np.ndarray]:
    """Judge rows.

    Args:
        raw: a column a field, of types that `column_fault` lets pass; with `step`, or with
            transaction_id, event_time, label_time and perhaps incident_id, fraud_type. A payment
            with neither is_fraud nor label_time is one of which nobody knows.

    Returns:
        the same rows with money in int64 cents and type_code, of which only good ones mean
        anything, and int8 codes of `CODES`, 0 where a row is good.
    """
    faults = Faults(len(raw["type"]))
    columns = {field: _decoded(column, faults) for field, column in raw.items()}
    special = _hour if "step" in columns else _identity
    unknown = _unknown(columns)
    fields = {**_payment(columns, unknown, faults), **special(columns, unknown, faults)}
    return pa.RecordBatch.from_pydict(fields), faults.codes


def _decoded(column: pa.Array, faults: Faults) -> pa.Array:
    if not parsing.is_text(column.type):
        return column
    strings, undecodable = parsing.text(column)
    faults.add("undecodable-bytes", undecodable)
    return strings


def _unknown(columns: dict[str, pa.Array]) -> np.ndarray:
    """Where neither label nor label_time is given; PaySim gives all labels."""
    if "label_time" not in columns:
        return np.zeros(len(columns["type"]), bool)
    return np.logical_and(*(_absent(columns[field]) for field in ("is_fraud", "label_time")))


def _absent(column: pa.Array) -> np.ndarray:
    if pa.types.is_string(column.type):
        return _length(column) == 0
    return column.is_null().to_numpy(zero_copy_only=False)


def _payment(columns: dict[str, pa.Array], unknown: np.ndarray, faults: Faults
             ) -> dict[str, pa.Array]:
    type_code = pc.index_in(columns["type"], pa.array(TYPES))
    faults.add("unknown-type", type_code.is_null())
    units = parsing.numbers(columns["amount"])
    faults.add("negative-amount", units < 0)
    for side in ("origin", "destination"):
        length = _length(columns[side])
        faults.add("missing-account", length == 0)
        faults.add("long-account", length > NAME_LENGTH)
    label, is_label = parsing.integers(columns["is_fraud"])
    faults.add("bad-label", ~(unknown | is_label & ((label == 0) | (label == 1))))
    return {
        "type_code": type_code.fill_null(0).cast(pa.int8()),
        "amount_cents": _cents("amount", units, AMOUNT_LIMIT, faults),
        "origin": columns["origin"],
        "destination": columns["destination"],
        **{f"{side}_balance_cents": _cents(
            "balance", parsing.numbers(columns[f"{side}_balance"]), BALANCE_LIMIT, faults)
            for side in ("origin", "destination")},
        "is_fraud": pa.array((label == 1).astype(np.int8)),
    }


def _cents(measure: str, units: np.ndarray, limit: float, faults: Faults) -> pa.Array:
    inside = np.abs(units) <= limit
    whole, exact = cents(np.where(inside, units, 0.0))
    faults.add(f"bad-{measure}", ~np.isfinite(units))
    faults.add(f"{measure}-too-large", ~inside)      # not finite is neither, but counts first
    faults.add(f"over-precise-{measure}", ~exact)
    return pa.array(whole)


def _length(strings: pa.Array) -> np.ndarray:
    return pc.utf8_length(strings).fill_null(0).to_numpy()


def _hour(columns: dict[str, pa.Array], unknown: np.ndarray, faults: Faults) -> dict[str, pa.Array]:
    step, is_integer = parsing.integers(columns["step"])
    possible = is_integer & (1 <= step) & (step <= LAST_STEP)
    faults.add("impossible-time", ~possible)
    return {"step": pa.array(np.where(possible, step, 0))}


def _identity(columns: dict[str, pa.Array], unknown: np.ndarray, faults: Faults
              ) -> dict[str, pa.Array]:
    length = _length(columns["transaction_id"])
    faults.add("bad-transaction-id", (length == 0) | (length > NAME_LENGTH))
    time, is_integer = parsing.integers(columns["event_time"])
    faults.add("impossible-time", ~(is_integer & (0 <= time) & (time < EVENT_TIME_LIMIT)))
    label_time, is_label = parsing.integers(columns["label_time"])
    faults.add("bad-label", ~(unknown | is_label & (label_time >= time)))
    return {
        "transaction_id": columns["transaction_id"],
        "event_time": pa.array(time),
        "label_time": pa.array(np.where(unknown, NOT_KNOWN, label_time)),
        **{field: _given(columns.get(field), len(time)) for field in ("incident_id", "fraud_type")},
    }


def _given(strings: pa.Array | None, rows: int) -> pa.Array:
    """Optional text, null where there is none: CSV cannot tell an empty cell from a missing one."""
    if strings is None:
        return pa.nulls(rows, pa.string())
    return pc.if_else(pc.equal(strings, ""), None, strings)
