"""Events of the webhook: reviews and declines as CloudEvents, and their signature.

CloudEvents 1.0 in JSON (https://cloudevents.io), signed as Standard Webhooks defines it
(https://www.standardwebhooks.com): HMAC-SHA-256 of id, time of the attempt and body.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from fraud.decision import DecidedBy, Decision, History
from fraud.reasons import Reason
from fraud.settings import SettingsError

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
SOURCE = "/fraud-detector"
ALERTS = ("review", "decline")
SECRET_PREFIX, SECRET_BYTES = "whsec_", range(24, 65)


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


class EncodedEvent(NamedTuple):
    """An event to be delivered."""

    id: str
    body: bytes


def encoded_event(line: bytes) -> EncodedEvent | None:
    """Return the event of a line of the decision log; None if it is approved.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is not a decision.
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


def read_secrets(configured: str) -> list[bytes]:
    """Return the secrets of a setting, the newest first.

    Raises:
        SettingsError: there is none, or one is not `whsec_` and 24 to 64 bytes in base64.
    """
    secrets = []
    for number, text in enumerate(filter(None, map(str.strip, configured.split(","))), 1):
        try:
            secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            secret = b""
        if not text.startswith(SECRET_PREFIX) or len(secret) not in SECRET_BYTES:
            raise SettingsError(f"FRAUD_WEBHOOK_SECRET: secret {number} is not {SECRET_PREFIX} and "
                                "24 to 64 bytes in base64; create one with "
                                "python -m stream.webhook --new-secret")
        secrets.append(secret)
    if not secrets:
        raise SettingsError("FRAUD_WEBHOOK_SECRET is empty; create a secret with "
                            "python -m stream.webhook --new-secret")
    return secrets


def signed_headers(event: EncodedEvent, secrets: Sequence[bytes], now: int) -> dict[str, str]:
    """Return the headers of an attempt, with a signature by each secret.

    Args:
        now: seconds since the epoch; receivers refuse old ones, so that nobody can replay an event.
    """
    content = b"%s.%d.%s" % (event.id.encode(), now, event.body)
    signatures = [base64.b64encode(hmac.digest(secret, content, "sha256")).decode()
                  for secret in secrets]
    return {"Content-Type": CONTENT_TYPE, "webhook-id": event.id, "webhook-timestamp": str(now),
            "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures)}


_decode = msgspec.json.Decoder(Decision).decode
_encode = msgspec.json.Encoder().encode
