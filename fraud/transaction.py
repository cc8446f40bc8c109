"""What a payment is: its fields and limits, how it is parsed, what is wrong with a bad one.

Money is a number of currency units with at most two decimals outside this package and an int64
number of cents inside it, so that sums and comparisons are exact.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

TYPES = ("CASH_IN", "CASH_OUT", "DEBIT", "PAYMENT", "TRANSFER")
TYPE_CODES = {name: code for code, name in enumerate(TYPES)}

NAME_LENGTH = 64                         # characters of a transaction_id or an account name
AMOUNT_LIMIT = 1e12                      # currency units
BALANCE_LIMIT = 1e13                     # currency units either way; as cents exact in float64
EVENT_TIME_LIMIT = 4_102_444_800_000     # ms since the epoch: 2100-01-01

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH)]
Balance = Annotated[float, msgspec.Meta(ge=-BALANCE_LIMIT, le=BALANCE_LIMIT)]


class InvalidTransaction(ValueError):
    """A payment that breaks the contract. The message names field, value and fix."""


class Wire(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON form of a payment, money in currency units."""

    transaction_id: Name
    event_time: Annotated[int, msgspec.Meta(ge=0, lt=EVENT_TIME_LIMIT)]
    type: Literal[TYPES]
    amount: Annotated[float, msgspec.Meta(ge=0, le=AMOUNT_LIMIT)]
    origin: Name
    destination: Name
    origin_balance: Balance
    destination_balance: Balance


class Transaction(msgspec.Struct, frozen=True):
    """A valid payment. Balances are those before it; an overdraft is negative.

    `event_time` is in ms since the epoch, UTC; `type_code` indexes `TYPES`.
    """

    transaction_id: str
    event_time: int
    type_code: int
    amount_cents: int
    origin: str
    destination: str
    origin_balance_cents: int
    destination_balance_cents: int


_decoder = msgspec.json.Decoder(Wire)


def parse(body: bytes | str) -> Transaction:
    """The payment in one JSON object.

    Raises:
        InvalidTransaction: not JSON, a field is missing, unknown or out of its limits.
    """
    try:
        wire = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidTransaction(f"Not a valid payment: {error}") from None
    return Transaction(
        transaction_id=wire.transaction_id,
        event_time=wire.event_time,
        type_code=TYPE_CODES[wire.type],
        amount_cents=_exact_cents("amount", wire.amount),
        origin=wire.origin,
        destination=wire.destination,
        origin_balance_cents=_exact_cents("origin_balance", wire.origin_balance),
        destination_balance_cents=_exact_cents("destination_balance", wire.destination_balance),
    )


def _exact_cents(field: str, units: float) -> int:
    whole = round(units * 100)
    if whole / 100 != units:
        raise InvalidTransaction(
            f"{field} is {units!r}: more than two decimals; round it to whole cents")
    return whole


def cents(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cents of an array of currency units, and where they say the same as the units.

    Args:
        units: float64, any shape, finite and within `BALANCE_LIMIT`.

    Returns:
        int64 cents and a bool mask, false where a value has more than two decimals. The quotient
        of two exact integers is the double nearest to the decimal, so the test is exact.
    """
    whole = np.rint(units * 100)
    return whole.astype(np.int64), whole / 100 == units
