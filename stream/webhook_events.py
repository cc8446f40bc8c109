"""Events of the webhook: reviews and declines as CloudEvents 1.0 in JSON (cloudevents.io)."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import msgspec
from msgspec import UNSET, UnsetType

from fraud.decision import DecidedBy, Decision, History
from fraud.reasons import Reason
from fraud.webhooks import EncodedEvent

SOURCE = "/fraud-detector"
ALERTS = ("review", "decline")


class AlertData(msgspec.Struct, frozen=True):
    """The payload: a decision without the model's inputs; accounts are pseudonyms."""

    transaction_id: str
    event_time: int             # ms since the epoch
    type: str
    amount: float               # currency units
    origin: str
    destination: str | None
    decision: str
    decided_by: DecidedBy
    score: float
    reasons: list[Reason]
    history: History
    late: bool
    model_version: str
    policy_version: str
    rules_version: str
    owner: str
    request_id: str


class CloudEvent(msgspec.Struct, frozen=True):
    """The envelope."""

    id: str                     # equal for equal decisions on a payment: receivers drop repeats
    source: str
    type: str                   # fraud.decision.review, fraud.decision.decline
    subject: str                # transaction_id
    time: str
    data: AlertData
    traceparent: str | UnsetType = UNSET    # the extension for distributed tracing
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


def encoded_event(line: bytes) -> EncodedEvent | None:
    """Return the event of a line of the decision log; None if it is approved.

    Raises:
        msgspec.DecodeError, UnicodeError, RecursionError: it is not a decision.
    """
    decision = _decode(line)
    if decision.decision not in ALERTS:
        return None
    text = f"{decision.transaction_id}\n{decision.event_time}\n{decision.decision}"
    event = CloudEvent(
        id=sha256(text.encode()).hexdigest()[:32], source=SOURCE,
        type=f"fraud.decision.{decision.decision}", subject=decision.transaction_id,
        time=datetime.fromtimestamp(decision.decided_at / 1_000, UTC).isoformat(
            timespec="milliseconds").replace("+00:00", "Z"),
        traceparent=decision.traceparent or UNSET, data=_data(decision))
    return EncodedEvent(event.id, _encode(event))


def _data(decision: Decision) -> AlertData:
    values = {name: getattr(decision, name) for name in AlertData.__struct_fields__
              if name != "amount"}
    return AlertData(amount=decision.amount_cents / 100, **values)


_decode = msgspec.json.Decoder(Decision).decode
_encode = msgspec.json.Encoder().encode
