"""The input of the formulas of features: a payment and its history in currency units.

What is not known is NaN, and so is every feature that depends on it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from fraud.clock import hour_of_day
from fraud.history import Activity, Counts

NAN = float("nan")


class Flow(msgspec.Struct, frozen=True, gc=False):
    """An `Activity` with its money in currency units."""

    count_hour: Any
    amount_hour: Any
    count_day: Any
    amount_day: Any


NOTHING_KNOWN = Flow(NAN, NAN, NAN, NAN)


class Known(msgspec.Struct, frozen=True, gc=False):
    """The input of formulas, for one payment or for arrays of them. Money is in currency units."""

    type_code: Any
    hour: Any
    amount: Any
    origin_balance: Any
    destination_balance: Any
    balance_left: Any           # origin balance less the amount
    positive_balance: Any       # origin balance, 0 if it is negative
    positive_left: Any          # `balance_left`, 0 if it is negative
    takes_all: Any              # 1 or 0, compared in cents: exact
    takes_more: Any
    # Of history. Only the features in `HISTORY_FEATURES` use it.
    origin_sent: Any = None
    origin_received: Any = None
    destination_sent: Any = None
    destination_received: Any = None


def known_of(payment: Any, type_code: Any, counts: Counts | None) -> Known:
    """Return the input of formulas for a `Transaction` or `PaymentColumns`.

    Args:
        type_code: index of the payment's type, or an array of them.
    """
    amount_cents, balance_cents = payment.amount_cents, payment.origin_balance_cents
    destination_balance_cents = payment.destination_balance_cents
    if balance_cents is None:
        balance_cents = NAN
    if destination_balance_cents is None:
        destination_balance_cents = NAN
    left_cents = balance_cents - amount_cents
    unknown = 0.0 * balance_cents       # NaN where the balance is unknown
    return Known(
        type_code,
        hour_of_day(payment.event_time),
        _units(amount_cents),
        _units(balance_cents),
        _units(destination_balance_cents),
        _units(left_cents),
        _units(balance_cents * (balance_cents > 0)),
        _units(left_cents * (left_cents > 0)),
        (amount_cents == balance_cents) + unknown,
        (amount_cents > balance_cents) + unknown,
        *(_flows(payment.destination, counts) if counts else ()),
    )


def _flows(destination: Any, counts: Counts) -> list[Flow]:
    """Return the history of both accounts; that of a destination that does not exist is NaN."""
    flows = [_flow(activity) for activity in counts]
    if destination is None:
        return [*flows[:2], NOTHING_KNOWN, NOTHING_KNOWN]
    if isinstance(destination, np.ndarray) and not destination.all():
        absent = np.where(destination, 0.0, NAN)
        flows[2:] = [Flow(*(column + absent for column in msgspec.structs.astuple(flow)))
                     for flow in flows[2:]]
    return flows


def _flow(activity: Activity) -> Flow:
    count_hour, cents_hour, count_day, cents_day = activity
    return Flow(count_hour, _units(cents_hour), count_day, _units(cents_day))


def _units(cents: Any) -> Any:
    return cents * 1.0 / 100.0    # to float64 first: beyond 2**53 Python would divide integers
