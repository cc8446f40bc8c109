"""Features, each in one place: name, group of reasons, meaning and formula.

Formulas use only comparisons and + - * / // % on integers and float64, which Python and numpy round
alike, and the result is cast to float32 last: the features of a payment have the same bits wherever
they are computed. Logarithms and scaling are part of the model's graph. Every feature is known when
the payment asks to be authorised, or NaN: a feature of a balance that nobody gave, or of a
destination that the payment does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from operator import attrgetter
from typing import Any, NamedTuple

from fraud.feature_inputs import Flow, Known
from fraud.windows import WINDOWS

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
ORIGIN_AGE = "age-of-the-origin"
DESTINATION_AGE = "age-of-the-destination"
COUNTERPARTIES = "counterparties"
AMOUNT_AGAINST_MEAN = "amount-against-mean"
KNOWN_FRAUDS = "known-frauds"

# Windows that the features of a group need: the number of `fraud.windows.WINDOWS`.
HOUR, DAY, WEEK, MONTH = range(1, len(WINDOWS) + 1)


class Feature(NamedTuple):
    """One column of a model's input."""

    name: str
    group: str                  # explanations set whole groups to their reference
    meaning: str
    formula: Callable[[Known], Any]
    windows: int = 0            # of history that must be known; else the feature is NaN


def _share(part: Any, rest: Any) -> Any:
    return part / (part + rest + TINY)


def _mean(flow: Flow) -> Any:
    return flow.amount_month / (flow.count_month + TINY)


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

SIDES = ("origin", "destination")
DIRECTIONS = ("sent", "received")
OWN_DIRECTIONS = {"origin": "sent", "destination": "received"}      # that of this payment
LONG_WINDOWS = ("week", "month")
FLOW_GROUPS = {("origin", "sent"): ORIGIN_SENDING, ("origin", "received"): ORIGIN_RECEIVING,
               ("destination", "sent"): DESTINATION_SENDING,
               ("destination", "received"): DESTINATION_RECEIVING}
AGE_GROUPS = {"origin": ORIGIN_AGE, "destination": DESTINATION_AGE}
MEASURES = {"count": "number of payments", "amount": "currency units"}
WINDOW_MEANINGS = {"hour": "in this hour and the one before",
                   "day": "in the last 24 hourly buckets",
                   "week": "in the last 7 daily buckets", "month": "in the last 30 daily buckets"}


def _flow_feature(side: str, direction: str, measure: str, window: str) -> Feature:
    return Feature(f"{side}_{direction}_{measure}_{window}", FLOW_GROUPS[side, direction],
                   f"{MEASURES[measure]} the {side} {direction} {WINDOW_MEANINGS[window]}",
                   attrgetter(f"{side}_{direction}.{measure}_{window}"),
                   1 + WINDOWS.index(window))


def _recency_feature(side: str, direction: str) -> Feature:
    return Feature(f"{side}_hours_since_{direction}", AGE_GROUPS[side],
                   f"hours since the {side} last {direction} a payment, at most 720",
                   attrgetter(f"{side}_{direction}.hours_since"), MONTH)


def _age_feature(side: str) -> Feature:
    return Feature(f"{side}_age_days", AGE_GROUPS[side],
                   f"days since the first day of the last 30 on which the {side} had a payment",
                   attrgetter(f"{side}.age_days"), MONTH)


def _contacts_feature(side: str, window: str) -> Feature:
    return Feature(f"{side}_contacts_{window}", COUNTERPARTIES,
                   f"bits of the sketch of those with whom the {side} had payments "
                   + WINDOW_MEANINGS[window],
                   attrgetter(f"{side}.contacts_{window}"), 1 + WINDOWS.index(window))


def _frauds_feature(side: str, direction: str, window: str) -> Feature:
    return Feature(f"{side}_frauds_{direction}_{window}", KNOWN_FRAUDS,
                   f"frauds the {side} {direction} that became known {WINDOW_MEANINGS[window]}",
                   attrgetter(f"{side}.frauds_{direction}_{window}"), 1 + WINDOWS.index(window))


def _fraud_share_feature(side: str, direction: str, window: str) -> Feature:
    frauds = attrgetter(f"{side}.frauds_{direction}_{window}")
    count = attrgetter(f"{side}_{direction}.count_{window}")
    return Feature(f"{side}_fraud_share_{window}", KNOWN_FRAUDS,
                   f"frauds / (frauds + payments) of what the {side} {direction}, "
                   f"{WINDOW_MEANINGS[window]}: 0.5 where all were frauds",
                   lambda known: _share(frauds(known), count(known)), 1 + WINDOWS.index(window))


HISTORY_FEATURES = (
    *(_flow_feature(side, direction, measure, window)
      for side, direction, window, measure in product(SIDES, DIRECTIONS, WINDOWS, MEASURES)),
    Feature("amount_share_of_received_hour", PASSING_ON,
            "amount / (amount + received by the origin in the hour): 0.5 where it passes on",
            lambda known: _share(known.amount, known.origin_received.amount_hour), HOUR),
    Feature("amount_share_of_received_day", PASSING_ON, "the same of the day",
            lambda known: _share(known.amount, known.origin_received.amount_day), DAY),
    Feature("drained_share_day", ORIGIN_SENDING,
            "share of the origin's balance of a day ago that has left with this payment",
            lambda known: _share(known.origin_sent.amount_day + known.amount,
                                 known.positive_left), DAY),
    Feature("destination_passed_on_share_day", DESTINATION_SENDING,
            "sent / (sent + received) of the destination's day: 0.5 where it keeps nothing",
            lambda known: _share(known.destination_sent.amount_day,
                                 known.destination_received.amount_day), DAY),
    Feature("amount_share_of_mean_sent", AMOUNT_AGAINST_MEAN,
            "amount / (amount + mean of what the origin sent in the month): 0.5 where it is usual",
            lambda known: _share(known.amount, _mean(known.origin_sent)), MONTH),
    Feature("amount_share_of_mean_received", AMOUNT_AGAINST_MEAN,
            "amount / (amount + mean of what the destination received in the month)",
            lambda known: _share(known.amount, _mean(known.destination_received)), MONTH),
    *(_recency_feature(side, direction) for side, direction in product(SIDES, DIRECTIONS)),
    *(_age_feature(side) for side in SIDES),
    *(_contacts_feature(side, window) for side, window in product(SIDES, LONG_WINDOWS)),
    Feature("new_destination", COUNTERPARTIES,
            "1 where the origin had no payment with the destination in the last 30 daily buckets",
            lambda known: 1 - known.origin.knows_other, MONTH),
    Feature("new_origin", COUNTERPARTIES,
            "1 where the destination had no payment with the origin in the last 30 daily buckets",
            lambda known: 1 - known.destination.knows_other, MONTH),
    *(_frauds_feature(side, direction, window)
      for side, direction, window in product(SIDES, DIRECTIONS, LONG_WINDOWS)),
    *(_fraud_share_feature(side, direction, window)
      for (side, direction), window in product(OWN_DIRECTIONS.items(), LONG_WINDOWS)),
)
