"""A label: what became known of a payment, fraud or not, and when.

A label names the accounts of its payment if they are needed: by their names, or by the pseudonyms
of a decision line. Without them a store may know them by the transaction_id.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from fraud.errors import JSON_ERRORS, FraudError
from fraud.transaction import (
    EVENT_TIME_LIMIT, EVENT_TIME_START, InvalidTransaction, Name, clean_name, shown, time_problem)

PSEUDONYM_PATTERN = "^[0-9a-f]{32}$"
Pseudonym = Annotated[str, Meta(pattern=PSEUDONYM_PATTERN)]
Text = Annotated[str, Meta(max_length=256)]


class InvalidLabel(FraudError):
    """A label that breaks the contract. The message names the field, its value and the fix."""


class Label(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A label, and its JSON form."""

    transaction_id: Annotated[Name, Meta(description="that of the payment")]
    is_fraud: Annotated[Literal[0, 1], Meta(description="1 for fraud, 0 for a legitimate payment")]
    label_time: Annotated[int, Meta(ge=EVENT_TIME_START, lt=EVENT_TIME_LIMIT, description=(
        "time when it became known, in milliseconds since 1970-01-01, UTC"))]
    incident_id: Annotated[Text | None, Meta(description=(
        "the same for all frauds of one incident"))] = None
    fraud_type: Annotated[Text | None, Meta(description="kind of fraud")] = None
    source: Annotated[Text | None, Meta(description="the system or person that gave it")] = None
    origin: Annotated[Name | None, Meta(description="account of the sender")] = None
    destination: Annotated[Name | None, Meta(description=(
        "account of the recipient; null or absent if there is none"))] = None
    origin_pseudonym: Annotated[Pseudonym | None, Meta(description=(
        "`origin` of the decision line, instead of the account's name"))] = None
    destination_pseudonym: Annotated[Pseudonym | None, Meta(description=(
        "`destination` of the decision line"))] = None


def parse(body: bytes | str | msgspec.Raw, latest: int = EVENT_TIME_LIMIT) -> Label:
    """Return the label in one JSON object. Blanks around names are removed.

    Args:
        latest: ms since the epoch; a later label_time is refused.

    Raises:
        InvalidLabel: not JSON, or a field is missing, unknown or out of its limits.
    """
    try:
        label = _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidLabel(_explanation(body, error)) from error
    except JSON_ERRORS as error:
        raise InvalidLabel(f"Not a label: {error}; send one JSON object") from error
    if label.label_time > latest:
        raise InvalidLabel(f"label_time is {label.label_time}, "
                           f"{(label.label_time - latest) / 1000:.0f} s later than the clock here "
                           "allows; give the time when the label became known")
    return _checked(label)


def parse_value(value: bytes | msgspec.Raw | None, latest: int = EVENT_TIME_LIMIT) -> Label:
    """Return the label in the value of a Kafka message. Raises as `parse`."""
    if value is None:
        raise InvalidLabel("it has no value; replace a label by a later one")
    return parse(value, latest)


def _checked(label: Label) -> Label:
    """Return a label with clean names, whose accounts are named in one way."""
    names = {}
    try:
        for field in ("transaction_id", "origin", "destination"):
            if (name := getattr(label, field)) is not None:
                names[field] = clean_name(field, name)
    except InvalidTransaction as error:
        raise InvalidLabel(str(error)) from error
    by_name = label.origin or label.destination
    by_pseudonym = label.origin_pseudonym or label.destination_pseudonym
    if by_name and by_pseudonym:
        raise InvalidLabel(f"the accounts are given as a name, {by_name!r}, and as a pseudonym, "
                           f"{by_pseudonym!r}; give both as names or both as pseudonyms")
    if (by_name and not label.origin) or (by_pseudonym and not label.origin_pseudonym):
        raise InvalidLabel(f"the destination is given, {by_name or by_pseudonym!r}, without the "
                           "origin; give both accounts or none")
    return replace(label, **names)


_decode = msgspec.json.Decoder(Label).decode
_FIELD = re.compile(r"`(?:\$\.)?(\w+)`$")       # at the end of msgspec's errors
_ALLOWED = {
    "transaction_id": "give the id of the payment, a string of 1 to 64 characters",
    "is_fraud": "give 1 for fraud or 0 for a legitimate payment",
    "label_time": "give an integer: milliseconds since 1970-01-01, UTC",
    **dict.fromkeys(("incident_id", "fraud_type", "source"),
                    "give a string of at most 256 characters, or null"),
    **dict.fromkeys(("origin", "destination"), "give a string of 1 to 64 characters, or null"),
    **dict.fromkeys(("origin_pseudonym", "destination_pseudonym"),
                    "give the 32 hexadecimal digits of a decision line, or null"),
}


def _explanation(body: bytes | str | msgspec.Raw, error: msgspec.ValidationError) -> str:
    """Return which field is invalid, its value and what is allowed."""
    content, match = _content(body), _FIELD.search(str(error))
    if not isinstance(content, dict) or match is None:
        return f"Not a label: {error}; send one JSON object"
    name = match[1]
    if name not in _ALLOWED:
        return f"{name!r} is not a field of a label; the fields are {', '.join(_ALLOWED)}"
    if name not in content:
        return f"{name} is missing; {_ALLOWED[name]}"
    if name == "label_time" and type(content[name]) is int:
        return f"label_time is {content[name]}: {time_problem(content[name])}"
    return f"{name} is {shown(content[name])}; {_ALLOWED[name]}"


def _content(body: bytes | str | msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(body)
    except JSON_ERRORS:
        return None         # damaged behind the invalid field
