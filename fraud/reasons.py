"""Reasons of a review or decline: one sentence for each group of features.

A sentence is filled with the payment's numbers and with those of a usual payment, the medians of
legitimate payments of its type. It states facts that hold for all values; how much they weigh is
`logit_drop`. No sentence mentions what is not known. The type itself is never a reason: a payment
is compared with others of its type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from fraud import feature_definitions as features, wording
from fraud.feature_inputs import MONTH_HOURS

IN_THE_HOUR = "in the last hour or two"     # the running hour and the one before
IN_THE_DAY = "in the last day"
WHEN = {"hour": IN_THE_HOUR, "day": IN_THE_DAY, "week": "in the last week",
        "month": "in the last 30 days"}


class Values(Protocol):
    """Features by name, money in currency units: `fraud.features.ExactValues`, `UsualPayment`."""

    @property
    def type(self) -> str: ...

    def __getitem__(self, name: str, /) -> float: ...


Sentence = Callable[[Values, Values], str]


class UsualPayment(dict[str, float]):
    """The medians of legitimate payments of a type, by feature."""

    def __init__(self, medians: Mapping[str, float], type: str):
        super().__init__(medians)
        self.type = type


class Reason(msgspec.Struct, frozen=True):
    """A reason why a score is high: a group of features."""

    code: Annotated[str, Meta(description="code of the group; stable")]
    text: Annotated[str, Meta(description="a sentence with the payment's numbers")]
    logit_drop: Annotated[float, Meta(description=(
        "decrease of the score's logit when the group is set to its reference"))]
    value: Annotated[dict[str, float], Meta(description="the features of the group")]
    reference: Annotated[dict[str, float], Meta(description=(
        "their medians among legitimate payments of the type"))]


def sentence(group: str, value: Values, reference: Values) -> str:
    """Return the sentence of a group.

    Args:
        group: a key of `SENTENCES`.
        value: all features of the payment that the model sees, not rounded to float32.
        reference: the same of a usual payment.
    """
    return SENTENCES[group](value, reference)


def _amount(value: Values, reference: Values) -> str:
    return (f"Moves {wording.money(value['amount'])}; a usual {reference.type}, "
            f"{wording.money(reference['amount'])}")


def _origin_balance(value: Values, reference: Values) -> str:
    return (f"The sender {wording.holds(value['origin_balance'])}; "
            f"a usual one {wording.holds(reference['origin_balance'])}")


def _destination_balance(value: Values, reference: Values) -> str:
    return (f"The recipient {wording.holds(value['destination_balance'])}; "
            f"a usual one {wording.holds(reference['destination_balance'])}")


def _amount_against_balance(value: Values, reference: Values) -> str:
    amount, balance = value["amount"], value["origin_balance"]
    if value.type == "CASH_IN":
        return f"Pays {wording.money(amount)} into an account that {wording.holds(balance)}"
    if balance <= 0:
        return f"Takes {wording.money(amount)} from a sender who {wording.holds(balance)}"
    held = f"the {wording.money(balance)} the sender holds"
    if amount > balance:
        return f"Takes {wording.money(amount)}, more than {held}"
    return f"Takes {wording.portion(amount, balance)} of {held}"


def _time_of_day(value: Values, reference: Values) -> str:
    return (f"Made between {wording.hour(value['hour_of_day'])} UTC; "
            f"a usual {reference.type}, between {wording.hour(reference['hour_of_day'])} UTC")


def _origin_sending(value: Values, reference: Values) -> str:
    text = _activity("The sender sent", "origin_sent", value, reference)
    left = value["balance_left"]
    if text or value.type == "CASH_IN" or math.isnan(left):
        return text or _count("The sender sent", "origin_sent", "day", value, reference)
    sent = value["origin_sent_amount_day"] + value["amount"]
    return (f"With this payment the sender has sent {wording.money(sent)} {IN_THE_DAY} and keeps "
            f"{wording.money(left) if left > 0 else 'nothing'}")


def _origin_receiving(value: Values, reference: Values) -> str:
    subject, side = "The sender received", "origin_received"
    return (_activity(subject, side, value, reference)
            or _count(subject, side, "day", value, reference))


def _destination_sending(value: Values, reference: Values) -> str:
    return _activity("The recipient sent", "destination_sent", value, reference) or (
        f"The recipient sent {wording.money(value['destination_sent_amount_day'])} and received "
        f"{wording.money(value['destination_received_amount_day'])} {IN_THE_DAY}")


def _destination_receiving(value: Values, reference: Values) -> str:
    subject, side = "The recipient received", "destination_received"
    return (_activity(subject, side, value, reference)
            or _count(subject, side, "day", value, reference))


def _passing_on(value: Values, reference: Values) -> str:
    window, when = "day", IN_THE_DAY
    if value["origin_received_amount_hour"] > 0:
        window, when = "hour", IN_THE_HOUR
    received = value[f"origin_received_amount_{window}"]
    return (f"Moves {wording.money(value['amount'])}; the sender received "
            f"{wording.money(received)} {when}")


def _age(value: Values, reference: Values, side: str, subject: str) -> str:
    days = value[f"{side}_age_days"]
    sent, received = (value[f"{side}_hours_since_{direction}"]
                      for direction in ("sent", "received"))
    if min(sent, received) >= MONTH_HOURS:
        return f"{subject} had no payment {WHEN['month']}"
    return (f"{subject} had its first payment {WHEN['month']} {wording.days(days)}, and its last "
            f"one {wording.hours(min(sent, received))} ago")


def _origin_age(value: Values, reference: Values) -> str:
    return _age(value, reference, "origin", "The sender")


def _destination_age(value: Values, reference: Values) -> str:
    return _age(value, reference, "destination", "The recipient")


def _counterparties(value: Values, reference: Values) -> str:
    if value["new_destination"] == 1 and value["new_origin"] == 1:
        return f"Sender and recipient had no payment with each other {WHEN['month']}"
    window = "week" if math.isnan(value["origin_contacts_month"]) else "month"
    sender, recipient = (value[f"{side}_contacts_{window}"] for side in ("origin", "destination"))
    text = (f"The sender had payments with {wording.number(sender, 'no')} or more accounts "
            f"{WHEN[window]}")
    return text if math.isnan(recipient) else (
        f"{text}, the recipient with {wording.number(recipient, 'none')}")


def _amount_against_mean(value: Values, reference: Values) -> str:
    count = value["origin_sent_count_month"]
    if count == 0:
        return f"Moves {wording.money(value['amount'])}; the sender sent nothing {WHEN['month']}"
    mean = value["origin_sent_amount_month"] / count
    return (f"Moves {wording.money(value['amount'])}; the sender sent {wording.money(mean)} on "
            f"average {WHEN['month']}")


def _known_frauds(value: Values, reference: Values) -> str:
    window = "week" if math.isnan(value["origin_frauds_sent_month"]) else "month"
    sender, recipient = (sum(value[f"{side}_frauds_{direction}_{window}"]
                             for direction in ("sent", "received"))
                         for side in ("origin", "destination"))
    text = (f"Frauds that became known {WHEN[window]}: {wording.number(sender, 'none')} with the "
            "sender")
    return text if math.isnan(recipient) else (
        f"{text}, {wording.number(recipient, 'none')} with the recipient")


def _activity(subject: str, side: str, value: Values, reference: Values) -> str | None:
    """Return the first measure that is above its reference, as a sentence."""
    for measure, text in (("count", _count), ("amount", _sum)):
        for window in WHEN:
            name = f"{side}_{measure}_{window}"
            if value[name] > reference[name]:
                return text(subject, side, window, value, reference)
    return None


def _count(subject: str, side: str, window: str, value: Values, reference: Values) -> str:
    name = f"{side}_count_{window}"
    payments = "payment" if value[name] == 1 else "payments"
    return (f"{subject} {wording.number(value[name], 'no')} {payments} {WHEN[window]}; "
            f"a usual one, {wording.number(reference[name], 'none')}")


def _sum(subject: str, side: str, window: str, value: Values, reference: Values) -> str:
    name = f"{side}_amount_{window}"
    return (f"{subject} {wording.money(value[name])} {WHEN[window]}; "
            f"a usual one, {wording.money(reference[name])}")


SENTENCES: Mapping[str, Sentence] = {
    features.AMOUNT: _amount,
    features.ORIGIN_BALANCE: _origin_balance,
    features.DESTINATION_BALANCE: _destination_balance,
    features.AMOUNT_AGAINST_BALANCE: _amount_against_balance,
    features.TIME_OF_DAY: _time_of_day,
    features.ORIGIN_SENDING: _origin_sending,
    features.ORIGIN_RECEIVING: _origin_receiving,
    features.DESTINATION_SENDING: _destination_sending,
    features.DESTINATION_RECEIVING: _destination_receiving,
    features.PASSING_ON: _passing_on,
    features.ORIGIN_AGE: _origin_age,
    features.DESTINATION_AGE: _destination_age,
    features.COUNTERPARTIES: _counterparties,
    features.AMOUNT_AGAINST_MEAN: _amount_against_mean,
    features.KNOWN_FRAUDS: _known_frauds,
}
