"""What the model sees of a payment: one definition, for one payment and for arrays of them.

`values` uses only comparisons and + - * / // % on integers and float64, which Python and numpy
round alike, and casts to float32 last: the same payment has the same bits wherever it is computed.
Logarithms and scaling are part of the model's graph. Every feature is known when the payment asks
to be authorised.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fraud.history import BUCKET_MS, Counts
from fraud.transaction import TYPE_CODES

TINY = 0.01    # one cent: keeps a share defined where both of its parts are zero


class Feature(NamedTuple):
    name: str
    group: str       # what an analyst would call the reason: explanations work on whole groups
    meaning: str


PAYMENT_FEATURES = (
    Feature("amount", "amount", "the amount, in currency units"),
    Feature("origin_balance", "origin balance", "what the origin held before the payment"),
    Feature("destination_balance", "destination balance", "what the destination held before it"),
    Feature("balance_left", "amount against balance", "origin balance less the amount"),
    Feature("amount_share_of_balance", "amount against balance",
            "amount / (amount + origin balance): 0.5 where the payment takes all"),
    Feature("empties_account", "amount against balance", "1 where the amount is the balance"),
    Feature("exceeds_balance", "amount against balance", "1 where it is more than the balance"),
    Feature("is_cash_in", "type", "1 for CASH_IN"),
    Feature("is_cash_out", "type", "1 for CASH_OUT"),
    Feature("is_debit", "type", "1 for DEBIT"),
    Feature("is_payment", "type", "1 for PAYMENT"),
    Feature("is_transfer", "type", "1 for TRANSFER"),
    Feature("hour_of_day", "time of day", "the hour of the day, UTC, 0 to 23"),
)

_WINDOWS = {"hour": "in this hour and the one before", "day": "in the last 24 hourly buckets"}
_SIDES = {
    "origin_sent": ("recent sending of the origin", "the origin sent"),
    "origin_received": ("recent receiving of the origin", "the origin received"),
    "destination_sent": ("recent sending of the destination", "the destination sent"),
    "destination_received": ("recent receiving of the destination", "the destination received"),
}
HISTORY_FEATURES = tuple(
    Feature(f"{side}_{measure}_{window}", group, f"{what} {subject} {when}")
    for side, (group, subject) in _SIDES.items()
    for window, when in _WINDOWS.items()
    for measure, what in (("count", "number of payments"), ("amount", "currency units"))
) + (
    Feature("amount_share_of_received_hour", "passing money on",
            "amount / (amount + received by the origin in the hour): 0.5 where it passes on"),
    Feature("amount_share_of_received_day", "passing money on", "the same of the day"),
    Feature("drained_share_day", "recent sending of the origin",
            "share of what the origin held a day ago that has left with this payment"),
    Feature("destination_passed_on_share_day", "recent sending of the destination",
            "sent / (sent + received) of the destination's day: 0.5 where it keeps nothing"),
)

FEATURES = PAYMENT_FEATURES + HISTORY_FEATURES
NAMES = tuple(feature.name for feature in FEATURES)
FALLBACK_NAMES = tuple(feature.name for feature in PAYMENT_FEATURES)    # need no history
GROUPS = {feature.name: feature.group for feature in FEATURES}


class Payments(NamedTuple):
    """The columns of many payments that features need: int64 arrays of one length.

    A `Transaction` has the same attributes for one payment.
    """

    event_time: np.ndarray
    type_code: np.ndarray
    amount_cents: np.ndarray
    origin_balance_cents: np.ndarray
    destination_balance_cents: np.ndarray


def values(payment, counts: Counts | None) -> tuple[Any, ...]:
    """Features of one payment (numbers) or of many (arrays), in float64 or integers.

    Args:
        payment: a `Transaction`, or `Payments`.
        counts: integers for one payment, int64 arrays for many; None where history is not known.

    Returns:
        one value or array a feature, in the order of `NAMES`; without counts `FALLBACK_NAMES`.
    """
    amount = _units(payment.amount_cents)
    balance_cents = payment.origin_balance_cents
    held = _units(balance_cents * (balance_cents > 0))
    type_code = payment.type_code
    of_payment = (
        amount,
        _units(balance_cents),
        _units(payment.destination_balance_cents),
        _units(balance_cents - payment.amount_cents),
        _share(amount, held),
        payment.amount_cents == balance_cents,
        payment.amount_cents > balance_cents,
        type_code == TYPE_CODES["CASH_IN"],
        type_code == TYPE_CODES["CASH_OUT"],
        type_code == TYPE_CODES["DEBIT"],
        type_code == TYPE_CODES["PAYMENT"],
        type_code == TYPE_CODES["TRANSFER"],
        payment.event_time // BUCKET_MS % 24,
    )
    if counts is None:
        return of_payment
    left = balance_cents - payment.amount_cents
    kept = _units(left * (left > 0))
    sent, received = counts.origin_sent, counts.origin_received
    passed_on, taken_in = counts.destination_sent, counts.destination_received
    return of_payment + tuple(
        value
        for activity in counts
        for value in (activity.count_hour, _units(activity.cents_hour),
                      activity.count_day, _units(activity.cents_day))
    ) + (
        _share(amount, _units(received.cents_hour)),
        _share(amount, _units(received.cents_day)),
        _share(_units(sent.cents_day) + amount, kept),
        _share(_units(passed_on.cents_day), _units(taken_in.cents_day)),
    )


def vector(payment, counts: Counts | None) -> np.ndarray:
    """Features of one payment: float32, shape (1, features)."""
    return np.array([values(payment, counts)], dtype=np.float32)


def matrix(payments: Payments, counts: Counts | None) -> np.ndarray:
    """Features of many payments: float32, shape (payments, features)."""
    return np.column_stack([np.asarray(column, dtype=np.float32)
                            for column in values(payments, counts)])


def _units(cents):
    return cents * 1.0 / 100.0    # to float64 first: beyond 2**53 Python would divide integers


def _share(part, rest):
    return part / (part + rest + TINY)
