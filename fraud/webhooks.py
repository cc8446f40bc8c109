"""Signatures of events that are sent to a URL, as Standard Webhooks defines them.

https://www.standardwebhooks.com: HMAC-SHA-256 of id, time of the attempt and body. The body is a
CloudEvent in JSON (https://cloudevents.io).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from fraud.settings import SettingsError

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
SECRET_PREFIX, SECRET_BYTES = "whsec_", range(24, 65)  # nosec B105


class EncodedEvent(NamedTuple):
    """An event to be delivered."""

    id: str
    body: bytes


def read_secrets(variable: str, configured: str) -> list[bytes]:
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
            raise SettingsError(f"{variable}: secret {number} is not {SECRET_PREFIX} and 24 to 64 "
                                "bytes in base64; create one with "
                                "python -m stream.webhook --new-secret")
        secrets.append(secret)
    if not secrets:
        raise SettingsError(f"{variable} is empty; create a secret with "
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
