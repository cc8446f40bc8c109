"""The features that models see: one definition, for one payment and for arrays of them.

Formulas use only comparisons and + - * / // % on integers and float64, which Python and numpy round
alike, and the result is cast to float32 last: the features of a payment have the same bits wherever
they are computed. Logarithms and scaling are part of the model's graph. Every feature is known when
the payment asks to be authorised, or NaN: a feature of a balance that nobody gave, or of a
destination that the payment does not have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from fraud.feature_inputs import Known, known_of
from fraud.history import NAMES as COUNTS, Counts, counts_of
from fraud.transaction import TYPES, Transaction

TINY = 0.01    # one cent: keeps a share defined where both of its parts are zero

# Groups of features, by the code of the reason that names them (`fraud.reasons`).
AMOUNT = "amount"
ORIGIN_BALANCE = "origin-balance"
DESTINATION_BALANCE = "destination-balance"
AMOUNT_AGAINST_BALANCE = "amount-against-balance"
TYPE = "type"
TIME_OF_DAY = "time-of-day"
ORIGIN_SENDING = "recent-sending-of-the-origin"
ORIGIN_RECEIVING = "recent-receiving-of-the-origin"
DESTINATION_SENDING = "recent-sending-of-the-destination"
DESTINATION_RECEIVING = "recent-receiving-of-the-destination"
PASSING_ON = "passing-money-on"


class Feature(NamedTuple):
    """One column of a model's input."""

    name: str
    group: str                  # explanations set whole groups to their reference
    meaning: str
    formula: Callable[[Known], Any]


def _share(part: Any, rest: Any) -> Any:
    return part / (part + rest + TINY)


AMOUNT_FEATURES = (
    Feature("amount", AMOUNT, "the amount, in currency units", lambda known: known.amount),
    Feature("origin_balance", ORIGIN_BALANCE, "balance of the origin before the payment",
            lambda known: known.origin_balance),
    Feature("destination_balance", DESTINATION_BALANCE,
            "balance of the destination before the payment",
            lambda known: known.destination_balance),
    Feature("balance_left", AMOUNT_AGAINST_BALANCE, "origin balance less the amount",
            lambda known: known.balance_left),
    Feature("amount_share_of_balance", AMOUNT_AGAINST_BALANCE,
            "amount / (amount + origin balance): 0.5 where the payment takes all",
            lambda known: _share(known.amount, known.positive_balance)),
    Feature("empties_account", AMOUNT_AGAINST_BALANCE, "1 where the amount is the balance",
            lambda known: known.takes_all),
    Feature("exceeds_balance", AMOUNT_AGAINST_BALANCE, "1 where it is more than the balance",
            lambda known: known.takes_more),
)

TIME_FEATURES = (
    Feature("hour_of_day", TIME_OF_DAY, "the hour of the day, UTC, 0 to 23",
            lambda known: known.hour),
)

HISTORY_FEATURES = (
    Feature("origin_sent_count_hour", ORIGIN_SENDING,
            "number of payments the origin sent in this hour and the one before",
            lambda known: known.origin_sent.count_hour),
    Feature("origin_sent_amount_hour", ORIGIN_SENDING,
            "currency units the origin sent in this hour and the one before",
            lambda known: known.origin_sent.amount_hour),
    Feature("origin_sent_count_day", ORIGIN_SENDING,
            "number of payments the origin sent in the last 24 hourly buckets",
            lambda known: known.origin_sent.count_day),
    Feature("origin_sent_amount_day", ORIGIN_SENDING,
            "currency units the origin sent in the last 24 hourly buckets",
            lambda known: known.origin_sent.amount_day),
    Feature("origin_received_count_hour", ORIGIN_RECEIVING,
            "number of payments the origin received in this hour and the one before",
            lambda known: known.origin_received.count_hour),
    Feature("origin_received_amount_hour", ORIGIN_RECEIVING,
            "currency units the origin received in this hour and the one before",
            lambda known: known.origin_received.amount_hour),
    Feature("origin_received_count_day", ORIGIN_RECEIVING,
            "number of payments the origin received in the last 24 hourly buckets",
            lambda known: known.origin_received.count_day),
    Feature("origin_received_amount_day", ORIGIN_RECEIVING,
            "currency units the origin received in the last 24 hourly buckets",
            lambda known: known.origin_received.amount_day),
    Feature("destination_sent_count_hour", DESTINATION_SENDING,
            "number of payments the destination sent in this hour and the one before",
            lambda known: known.destination_sent.count_hour),
    Feature("destination_sent_amount_hour", DESTINATION_SENDING,
            "currency units the destination sent in this hour and the one before",
            lambda known: known.destination_sent.amount_hour),
    Feature("destination_sent_count_day", DESTINATION_SENDING,
            "number of payments the destination sent in the last 24 hourly buckets",
            lambda known: known.destination_sent.count_day),
    Feature("destination_sent_amount_day", DESTINATION_SENDING,
            "currency units the destination sent in the last 24 hourly buckets",
            lambda known: known.destination_sent.amount_day),
    Feature("destination_received_count_hour", DESTINATION_RECEIVING,
            "number of payments the destination received in this hour and the one before",
            lambda known: known.destination_received.count_hour),
    Feature("destination_received_amount_hour", DESTINATION_RECEIVING,
            "currency units the destination received in this hour and the one before",
            lambda known: known.destination_received.amount_hour),
    Feature("destination_received_count_day", DESTINATION_RECEIVING,
            "number of payments the destination received in the last 24 hourly buckets",
            lambda known: known.destination_received.count_day),
    Feature("destination_received_amount_day", DESTINATION_RECEIVING,
            "currency units the destination received in the last 24 hourly buckets",
            lambda known: known.destination_received.amount_day),
    Feature("amount_share_of_received_hour", PASSING_ON,
            "amount / (amount + received by the origin in the hour): 0.5 where it passes on",
            lambda known: _share(known.amount, known.origin_received.amount_hour)),
    Feature("amount_share_of_received_day", PASSING_ON, "the same of the day",
            lambda known: _share(known.amount, known.origin_received.amount_day)),
    Feature("drained_share_day", ORIGIN_SENDING,
            "share of the origin's balance of a day ago that has left with this payment",
            lambda known: _share(known.origin_sent.amount_day + known.amount,
                                 known.positive_left)),
    Feature("destination_passed_on_share_day", DESTINATION_SENDING,
            "sent / (sent + received) of the destination's day: 0.5 where it keeps nothing",
            lambda known: _share(known.destination_sent.amount_day,
                                 known.destination_received.amount_day)),
)


class PaymentColumns(NamedTuple):
    """The columns of many payments that features need: arrays of one length.

    A `Transaction` has the same attributes for one payment.
    """

    event_time: np.ndarray                  # int64
    type: np.ndarray                        # int64: indexes the types of the `FeatureTable`
    amount_cents: np.ndarray                # int64
    destination: np.ndarray                 # bool: the payment has one
    origin_balance_cents: np.ndarray        # float64: whole cents, NaN where not known
    destination_balance_cents: np.ndarray


class FeatureTable:
    """The features of payments of some types: names, groups and values, in the models' order.

    Args:
        types: names of the types that a payment may have. Each is a feature.
        left_out: names of features that models do not see, such as those of balances where nobody
            knows a balance.
    """

    def __init__(self, types: Sequence[str] = TYPES, left_out: Collection[str] = ()):
        self.types = tuple(types)
        self.left_out = frozenset(left_out)
        type_features = [_type_feature(name, code) for code, name in enumerate(self.types)]
        payment = [feature for feature in (*AMOUNT_FEATURES, *type_features, *TIME_FEATURES)
                   if feature.name not in self.left_out]
        self.features = (*payment, *(feature for feature in HISTORY_FEATURES
                                     if feature.name not in self.left_out))
        self.names = tuple(feature.name for feature in self.features)
        self.fallback_names = tuple(feature.name for feature in payment)    # need no history
        self.groups = {feature.name: feature.group for feature in self.features}
        self.type_codes = {name: code for code, name in enumerate(self.types)}
        self._formulas = tuple(feature.formula for feature in self.features)
        self._fallback_formulas = tuple(feature.formula for feature in payment)
        self._by_name = {feature.name: feature.formula
                         for feature in (*AMOUNT_FEATURES, *type_features, *TIME_FEATURES,
                                         *HISTORY_FEATURES)}

    def vector(self, payment: Transaction, counts: Counts | None) -> np.ndarray:
        """Return the features of one payment: float32, shape (1, features).

        Args:
            counts: integers; None where history is not known: only `fallback_names` then.
        """
        return np.array([self.values(payment, counts)], dtype=np.float32)

    def matrix(self, payments: PaymentColumns, counts: Counts | None) -> np.ndarray:
        """Return the features of many payments: float32, shape (payments, features).

        Args:
            counts: int64 arrays; None where history is not known: only `fallback_names` then.
        """
        return np.column_stack([np.asarray(column, dtype=np.float32)
                                for column in self.values(payments, counts)])

    def columns(self, payments: Sequence[Transaction]) -> PaymentColumns:
        """Return the columns of payments."""
        return PaymentColumns(
            np.array([payment.event_time for payment in payments], np.int64),
            np.array([self.type_codes[payment.type] for payment in payments], np.int64),
            np.array([payment.amount_cents for payment in payments], np.int64),
            np.array([payment.destination is not None for payment in payments], bool),
            np.array([payment.origin_balance_cents for payment in payments], np.float64),
            np.array([payment.destination_balance_cents for payment in payments], np.float64))

    def exact(self, payment: Transaction, counts: Counts | None) -> ExactValues:
        """Return the features of one payment by name, not rounded to float32."""
        return ExactValues(payment.type, self._known(payment, counts), self._by_name)

    def unknown(self, payment: Transaction) -> list[str]:
        """Return the names of the features that are NaN for a payment like this one."""
        exact = self.exact(payment, counts_of([0] * len(COUNTS)))
        return [name for name in self.names if math.isnan(exact[name])]

    def values(self, payment: Transaction | PaymentColumns, counts: Counts | None) -> list[Any]:
        """Return integers or float64 of one payment, or arrays of many, in the order of names."""
        known = self._known(payment, counts)
        formulas = self._fallback_formulas if counts is None else self._formulas
        return [formula(known) for formula in formulas]

    def _known(self, payment: Transaction | PaymentColumns, counts: Counts | None) -> Known:
        kind = payment.type
        return known_of(payment, self.type_codes[kind] if isinstance(kind, str) else kind, counts)


def _type_feature(name: str, code: int) -> Feature:
    return Feature(f"is_{name.lower()}", TYPE, f"1 for {name}",
                   lambda known: known.type_code == code)


class ExactValues:
    """The features of one payment by name, not rounded to float32, and computed on access.

    Without counts, only the features that need no history are known. `type` is the payment's.
    """

    def __init__(self, type: str, known: Known, formulas: dict[str, Callable[[Known], Any]]):
        self.type = type
        self._known, self._formulas = known, formulas

    def __getitem__(self, name: str) -> float:
        return float(self._formulas[name](self._known))


DEFAULT = FeatureTable()        # of the default types
