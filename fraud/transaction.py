"""A payment: its fields and limits, how it is parsed, and why a bad one is refused.

Money is a number of currency units with at most two decimals outside this package and an int64
number of cents inside it, so that sums and comparisons are exact. A balance that is not known and a
destination that a payment does not have are None, never 0 or "".
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from fraud.errors import JSON_ERRORS, FraudError

TYPES = ("CASH_IN", "CASH_OUT", "DEBIT", "PAYMENT", "TRANSFER")     # of the settings, by default
TYPE_CODES = {name: code for code, name in enumerate(TYPES)}

NAME_LENGTH = 64                         # characters of a transaction_id, an account or a type
AMOUNT_LIMIT = 1e12                      # currency units
BALANCE_LIMIT = 1e13                     # currency units either way; as cents exact in float64
EVENT_TIME_START = 946_684_800_000       # ms since the epoch: 2000-01-01
EVENT_TIME_LIMIT = 4_102_444_800_000     # ms since the epoch: 2100-01-01
NOISE = 1e-6                             # cents: what arithmetic on floats adds to an amount
RELATIVE_NOISE = 2.0 ** -51              # the same of large amounts: a few units of the last place

# Texts that programs write for a missing value, in lower case: not names.
MISSING_NAMES = frozenset({"nan", "null", "none", "na", "n/a", "#n/a", "nil", "<na>", "nat", "-"})
# A spreadsheet rounds a long number and writes it so: different accounts become one.
ROUNDED_NAME = r"^[0-9]([.,][0-9]+)?E\+[0-9]+$"
_is_rounded = re.compile(ROUNDED_NAME, re.IGNORECASE).match

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH)]
Balance = Annotated[float, Meta(ge=-BALANCE_LIMIT, le=BALANCE_LIMIT)]


class InvalidTransaction(FraudError):
    """A payment that breaks the contract. The message names the field, its value and the fix."""


class Payment(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON form of a payment, money in currency units."""

    transaction_id: Annotated[Name, Meta(description=(
        "chosen by the caller, unique for each payment; a repeat gets the first answer"))]
    event_time: Annotated[int, Meta(ge=EVENT_TIME_START, lt=EVENT_TIME_LIMIT, description=(
        "time of the payment in milliseconds since 1970-01-01, UTC; from 2000 on"))]
    type: Annotated[Name, Meta(description=(
        "kind of payment: one of the types of the model that serves, see /v1/model"))]
    amount: Annotated[float, Meta(ge=0, le=AMOUNT_LIMIT, description="in currency units")]
    origin: Annotated[Name, Meta(description="account of the sender")]
    destination: Annotated[Name | None, Meta(description=(
        "account of the recipient; null or absent if there is none"))] = None
    origin_balance: Annotated[Balance | None, Meta(description=(
        "balance of the sender before the payment, in currency units; null if not known"))] = None
    destination_balance: Annotated[Balance | None, Meta(description=(
        "balance of the recipient before the payment, in currency units; null if not known"
    ))] = None


class Transaction(msgspec.Struct, frozen=True):
    """A valid payment. Balances are those before it; an overdraft is negative.

    `event_time` is in ms since the epoch, UTC.
    """

    transaction_id: str
    event_time: int
    type: str
    amount_cents: int
    origin: str
    destination: str | None
    origin_balance_cents: int | None
    destination_balance_cents: int | None


_decoder = msgspec.json.Decoder(Payment)


def parse(body: bytes | str) -> Transaction:
    """Return the payment in one JSON object. Blanks around names are removed.

    Raises:
        InvalidTransaction: not JSON, or a field is missing, unknown or out of its limits.
    """
    try:
        wire = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidTransaction(_explanation(body) or f"Not a valid payment: {error}") from error
    except JSON_ERRORS as error:
        raise InvalidTransaction(
            f"Not a valid payment: {error}; send one JSON object, in which NaN is not a number: "
            "leave out a balance that is not known") from error
    destination = wire.destination
    return Transaction(
        transaction_id=clean_name("transaction_id", wire.transaction_id),
        event_time=wire.event_time,
        type=wire.type,
        amount_cents=_whole_cents("amount", wire.amount),
        origin=clean_name("origin", wire.origin),
        destination=None if destination is None else clean_name("destination", destination),
        origin_balance_cents=_optional_cents("origin_balance", wire.origin_balance),
        destination_balance_cents=_optional_cents("destination_balance", wire.destination_balance),
    )


def clean_name(field: str, text: str) -> str:
    """Return a name without the blanks around it.

    Raises:
        InvalidTransaction: it stands for a missing value, or a spreadsheet has rounded it.
    """
    name = text.strip()
    if not name or name.lower() in MISSING_NAMES:
        raise InvalidTransaction(f"{field} is {text!r}, which stands for a missing value; give its "
                                 "name" + (" or null" if field == "destination" else ""))
    if _is_rounded(name):
        raise InvalidTransaction(f"{field} is {text!r}, a number that a spreadsheet has rounded: "
                                 "different ones become the same; give all of its digits")
    return name


def _optional_cents(field: str, units: float | None) -> int | None:
    return None if units is None else _whole_cents(field, units)


def _whole_cents(field: str, units: float) -> int:
    cents = units * 100
    whole = round(cents)
    if whole / 100 != units and abs(cents - whole) > max(NOISE, abs(cents) * RELATIVE_NOISE):
        raise InvalidTransaction(
            f"{field} is {units!r}: more than two decimals; round it to whole cents")
    return whole


def whole_cents(units: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return cents of an array of currency units, and masks of valid and of rounded ones.

    Args:
        units: float64, any shape, finite and within `BALANCE_LIMIT`.

    Returns:
        int64 cents; a bool mask, false where a value has more than two decimals; and a bool mask of
        values such as 61.699999999999996, which arithmetic on floats has moved off whole cents.
    """
    cents = units * 100
    whole = np.rint(cents)
    exact = whole / 100 == units        # the quotient of exact integers is the nearest double
    near = np.abs(cents - whole) <= np.maximum(NOISE, np.abs(cents) * RELATIVE_NOISE)
    return whole.astype(np.int64), exact | near, near & ~exact


def _explanation(body: bytes | str) -> str | None:
    """Return which field is invalid, its value and what is allowed, or None if that is unclear."""
    try:
        payment = msgspec.json.decode(body)
    except JSON_ERRORS:
        return None         # damaged behind the invalid field
    if not isinstance(payment, dict):
        return None
    fields = {field.encode_name: field for field in msgspec.structs.fields(Payment)}
    for name, value in payment.items():
        if name not in fields:
            return f"{name!r} is not a field of a payment; the fields are {', '.join(fields)}"
        problem = _problem(name, value)
        if problem:
            return problem
    for name, field in fields.items():
        if name not in payment and field.required:
            return f"{name} is missing; {_ALLOWED[name]}"
    return None


_ALLOWED = {
    "transaction_id": f"give a string of 1 to {NAME_LENGTH} characters, unique for each payment",
    "event_time": "give an integer: milliseconds since 1970-01-01, UTC",
    "type": "give a type of the model that serves, such as PAYMENT; /v1/model lists them",
    "amount": f"give a number from 0 to {AMOUNT_LIMIT:,.0f}, in currency units",
    "origin": f"give a string of 1 to {NAME_LENGTH} characters",
    "destination": f"give a string of 1 to {NAME_LENGTH} characters, or null if there is none",
    "origin_balance": f"give a number from -{BALANCE_LIMIT:,.0f} to {BALANCE_LIMIT:,.0f}, or null "
                      "if it is not known",
    "destination_balance": f"give a number from -{BALANCE_LIMIT:,.0f} to {BALANCE_LIMIT:,.0f}, or "
                           "null if it is not known",
}


def _problem(name: str, value: Any) -> str | None:
    try:
        msgspec.convert({**_VALID, name: value}, Payment)
    except msgspec.ValidationError:
        if name == "event_time" and type(value) is int:
            return f"event_time is {value}: {time_problem(value)}"
        return f"{name} is {shown(value)}; {_ALLOWED[name]}"
    return None


_VALID: dict[str, Any] = {"transaction_id": "t", "event_time": EVENT_TIME_START, "type": "PAYMENT",
                          "amount": 0, "origin": "a"}


def shown(value: Any) -> str:
    """Return a value as JSON, cut to a length that fits into a message."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 100 else f"{text[:100]}... ({len(text)} characters)"


def time_problem(value: int) -> str:
    """Return why an integer is not an event_time, with the unit that it looks like."""
    unit = _unit(value)
    problem = "before the year 2000" if value < EVENT_TIME_START else "after the year 2099"
    return (f"{problem} as milliseconds since 1970-01-01, UTC; "
            + (f"it looks like {unit}: convert it" if unit else "give milliseconds"))


def _unit(value: int) -> str | None:
    if EVENT_TIME_START <= value * 1000 < EVENT_TIME_LIMIT:
        return "seconds"
    if EVENT_TIME_START <= value // 1000 < EVENT_TIME_LIMIT:
        return "microseconds"
    if EVENT_TIME_START <= value // 1_000_000 < EVENT_TIME_LIMIT:
        return "nanoseconds"
    if _is_date(value):
        return "a date written as yyyymmdd"
    if len(str(value)) == 14 and _is_date(value // 1_000_000):
        return "a date written as yyyymmddHHMMSS"
    if 36_526 <= value < 73_051:        # of the years 2000 to 2099
        return "a date of a spreadsheet, in days"
    return None


def _is_date(value: int) -> bool:
    year, month_and_day = divmod(value, 10_000)
    if not 1900 <= year < 2100:
        return False
    try:
        return bool(date(year, *divmod(month_and_day, 100)))
    except ValueError:
        return False
