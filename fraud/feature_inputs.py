"""The input of the formulas of features: a payment and its history in currency units.

What is not known is NaN, and so is every feature that depends on it.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from fraud.clock import HOUR_MS, hour_of_day
from fraud.windows import MONTH_DAYS, Activity, Background, Counts, day_of

NAN = float("nan")


class Flow(msgspec.Struct, frozen=True, gc=False):
    """An `Activity` with its money in currency units."""

    count_hour: Any
    amount_hour: Any
    count_day: Any
    amount_day: Any
    count_week: Any
    amount_week: Any
    count_month: Any
    amount_month: Any
    hours_since: Any            # since the last one, at most `MONTH_HOURS`


class Party(msgspec.Struct, frozen=True, gc=False):
    """A `Background` with its times relative to the payment."""

    age_days: Any               # since the first day of the month with a payment; 0 without one
    contacts_week: Any
    contacts_month: Any
    frauds_sent_week: Any
    frauds_received_week: Any
    frauds_sent_month: Any
    frauds_received_month: Any
    knows_other: Any


MONTH_HOURS = 24.0 * MONTH_DAYS
NO_FLOW = Flow(*[NAN] * len(Flow.__struct_fields__))
NO_PARTY = Party(*[NAN] * len(Party.__struct_fields__))


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
    origin: Any = None
    destination_sent: Any = None
    destination_received: Any = None
    destination: Any = None


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
        *(_history(payment, counts) if counts else ()),
    )


def _history(payment: Any, counts: Counts) -> list[Flow | Party]:
    """Return the history of both accounts; that of a destination that does not exist is NaN."""
    time, day = payment.event_time, day_of(payment.event_time)
    destination = payment.destination
    absent = (np.where(destination, 0.0, NAN) if isinstance(destination, np.ndarray)
              else NAN if destination is None else 0.0)
    known = counts.origin._replace(knows_other=counts.origin.knows_other + absent)
    origin: list[Flow | Party] = [_flow(counts.origin_sent, time),
                                  _flow(counts.origin_received, time), _party(known, day)]
    if destination is None:
        return [*origin, NO_FLOW, NO_FLOW, NO_PARTY]
    receiver: list[Flow | Party] = [_flow(counts.destination_sent, time),
                                    _flow(counts.destination_received, time),
                                    _party(counts.destination, day)]
    if isinstance(destination, np.ndarray) and not destination.all():
        receiver = [_plus(part, absent) for part in receiver]
    return [*origin, *receiver]


def _plus(part: Flow | Party, number: Any) -> Flow | Party:
    return type(part)(*(column + number for column in msgspec.structs.astuple(part)))


def _flow(activity: Activity, event_time: Any) -> Flow:
    (count_hour, cents_hour, count_day, cents_day, count_week, cents_week, count_month,
     cents_month, last) = activity
    hours = (event_time - last) * 1.0 / HOUR_MS
    return Flow(count_hour, _units(cents_hour), count_day, _units(cents_day),
                count_week, _units(cents_week), count_month, _units(cents_month),
                hours * ((hours > 0) & (hours < MONTH_HOURS))
                + MONTH_HOURS * (hours >= MONTH_HOURS))


def _party(background: Background, day: Any) -> Party:
    first_day, *others = background
    return Party((day - first_day) * (first_day > 0), *others)


def _units(cents: Any) -> Any:
    return cents * 1.0 / 100.0    # to float64 first: beyond 2**53 Python would divide integers
