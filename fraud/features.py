"""The features that models see, as a table for one payment and for arrays of payments."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from fraud.feature_definitions import (
    AMOUNT_FEATURES, HISTORY_FEATURES, TIME_FEATURES, TYPE, Feature)
from fraud.feature_inputs import NAN, Known, known_of
from fraud.transaction import TYPES, Transaction
from fraud.windows import COUNT_NAMES as COUNTS, WINDOWS, Counts, counts_of


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
        self._formulas = [(feature.formula, feature.windows) for feature in self.features]
        self._known_formulas = [[feature.formula if feature.windows <= windows else _unknown
                                 for feature in self.features]
                                for windows in range(len(WINDOWS) + 1)]
        self._fallback_formulas = [feature.formula for feature in payment]
        self._by_name = {feature.name: feature
                         for feature in (*AMOUNT_FEATURES, *type_features, *TIME_FEATURES,
                                         *HISTORY_FEATURES)}

    def vector(self, payment: Transaction, counts: Counts | None) -> np.ndarray:
        """Return the features of one payment: float32, shape (1, features).

        Args:
            counts: integers; None where history is not known: only `fallback_names` then.
        """
        return self.vectors([payment], [counts])

    def vectors(self, payments: Sequence[Transaction], counts: Sequence[Counts | None]
                ) -> np.ndarray:
        """Return the features of a few payments: float32, shape (payments, features).

        Args:
            counts: of each payment, as for `vector`; known for all or for none.
        """
        return np.array([self.values(payment, before)
                         for payment, before in zip(payments, counts, strict=True)], np.float32)

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
        return ExactValues(payment.type, self._known(payment, counts), self._by_name,
                           counts.windows if counts else 0)

    def unknown(self, payment: Transaction) -> list[str]:
        """Return the names of the features that are NaN for a payment like this one."""
        exact = self.exact(payment, counts_of([0] * len(COUNTS)))
        return [name for name in self.names if math.isnan(exact[name])]

    def of_balance(self, side: str) -> set[str]:
        """Return the names of the features that need the balance of `origin` or `destination`."""
        payment = Transaction("", 0, self.types[0], 1, "origin", "destination", 1, 1)
        return set(self.unknown(replace(payment, **{f"{side}_balance_cents": None})))

    def values(self, payment: Transaction | PaymentColumns, counts: Counts | None) -> list[Any]:
        """Return integers or float64 of one payment, or arrays of many, in the order of names."""
        known = self._known(payment, counts)
        if counts is None:
            return [formula(known) for formula in self._fallback_formulas]
        windows = counts.windows
        if not isinstance(windows, np.ndarray):
            return [formula(known) for formula in self._known_formulas[windows]]
        hidden = {needed: windows < needed for needed in range(1, len(WINDOWS) + 1)
                  if np.any(windows < needed)}
        return [np.where(hidden[needed], NAN, formula(known)) if needed in hidden
                else formula(known) for formula, needed in self._formulas]

    def _known(self, payment: Transaction | PaymentColumns, counts: Counts | None) -> Known:
        kind = payment.type
        return known_of(payment, self.type_codes[kind] if isinstance(kind, str) else kind, counts)


def _unknown(known: Known) -> float:
    return NAN


def _type_feature(name: str, code: int) -> Feature:
    return Feature(f"is_{name.lower()}", TYPE, f"1 for {name}",
                   lambda known: known.type_code == code)


class ExactValues:
    """The features of one payment by name, not rounded to float32, and computed on access.

    Without counts, only the features that need no history are known. `type` is the payment's.
    """

    def __init__(self, type: str, known: Known, features: dict[str, Feature], windows: int):
        self.type = type
        self._known, self._features, self._windows = known, features, windows

    def __getitem__(self, name: str) -> float:
        feature = self._features[name]
        return float(feature.formula(self._known)) if feature.windows <= self._windows else NAN


DEFAULT = FeatureTable()        # of the default types
