"""Column forms: which columns of a file are which fields of a payment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import pyarrow as pa

from fraud.training.data.paysim import SPELLINGS
from fraud.training.data.validation import column_fault
from fraud.training.errors import TrainingError

REQUIRED = ("transaction_id", "event_time", "type", "amount", "origin", "is_fraud")
OPTIONAL = ("destination", "origin_balance", "destination_balance", "label_time", "incident_id",
            "fraud_type")
PAYMENTS, PAYSIM = "payments", "PaySim"
FORMS: dict[str, Mapping[str, tuple[str, ...]]] = {     # fields of each form, and their spellings
    PAYMENTS: {field: (field,) for field in REQUIRED + OPTIONAL},
    PAYSIM: SPELLINGS,
}
CURRENCY = re.compile(r"curr(ency)?|ccy", re.IGNORECASE)


class FileColumns(NamedTuple):
    """The fields of a payment in a file whose columns have the names of a form."""

    form: str                   # of `FORMS`
    by_field: dict[str, str]    # column of each field; PaySim has the field `step`
    ignored: list[str]          # columns that are no field

    @property
    def names(self) -> list[str]:
        """The columns to read; a column of currencies among them, to check it."""
        return [*self.by_field.values(), *(name for name in self.ignored if CURRENCY.search(name))]

    @property
    def time_base(self) -> str:
        """The origin of its times: "step" where they only count steps, else "event_time"."""
        return "step" if "step" in self.by_field else "event_time"

    def fields(self, batch: pa.RecordBatch) -> tuple[dict[str, pa.Array], None]:
        """Return the column of each field; no row is known to be undecodable yet."""
        return {field: batch.column(name) for field, name in self.by_field.items()}, None


def match_columns(file: str, columns: Mapping[str, pa.DataType]) -> FileColumns:
    """Return the column of each field, in the form that fits a file best.

    Case, blanks, `_` and `-` in names do not matter.

    Args:
        file: for messages.
        columns: the file's columns and types.

    Raises:
        TrainingError: the best form lacks columns, or a column is of a wrong type.
    """
    by_key: dict[str, list[str]] = {}
    for name in columns:
        by_key.setdefault(_key(name), []).append(name)
    form, by_field, missing = min(
        (_match(form, spellings, by_key) for form, spellings in FORMS.items()),
        key=lambda match: len(match[2]) / len(FORMS[match[0]]))
    if missing:
        raise TrainingError(_lacking(file, form, missing, list(columns)))
    for field, name in by_field.items():
        if len(by_key[_key(name)]) > 1:
            raise TrainingError(f"{file}: has the columns {' and '.join(by_key[_key(name)])}, "
                                f"which may both be {field}; keep one")
        fault = column_fault(field, columns[name])
        if fault:
            raise TrainingError(f"{file}: column {name!r} {fault}")
    order = list(columns)
    in_order = dict(sorted(by_field.items(), key=lambda item: order.index(item[1])))
    ignored = [name for name in columns if name not in by_field.values()]
    return FileColumns(form, in_order, ignored)


def _match(form: str, spellings: Mapping[str, tuple[str, ...]], by_key: Mapping[str, Sequence[str]]
           ) -> tuple[str, dict[str, str], list[str]]:
    columns, missing = {}, []
    for field, candidates in spellings.items():
        present = [by_key[_key(name)][0] for name in candidates if _key(name) in by_key]
        if present:
            columns[field] = present[0]
        elif field not in OPTIONAL:
            missing.append(candidates[0])
    return form, columns, missing


def _key(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _lacking(file: str, form: str, missing: list[str], names: list[str]) -> str:
    nearest = {name: get_close_matches(name.lower(), [given.lower() for given in names], 1)
               for name in missing}
    near = ", ".join(f"{name} (perhaps {given[0]})" if given else name
                     for name, given in nearest.items())
    return (f"{file}: lacks the columns {near} of the {form} form; it has "
            f"{', '.join(names)}. Rename columns, or describe them in a mapping: "
            f"python -m fraud.training.data check {file} drafts one")
