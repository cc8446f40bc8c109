"""The caller of a payment: key owner, request id and trace, by which logs are joined."""

from __future__ import annotations

import re
from typing import NamedTuple

REQUEST_ID_HEADER, TRACEPARENT_HEADER = "x-request-id", "traceparent"      # HTTP and Kafka
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(       # https://www.w3.org/TR/trace-context/: no id is all zeros
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Caller(NamedTuple):
    """The origin of a request or message; "" where it is unknown."""

    owner: str = ""             # of the API key
    request_id: str = ""
    traceparent: str = ""       # W3C Trace Context


UNKNOWN = Caller()


def valid_request_id(given: str) -> str:
    """Return a request id that may stand in logs, or "" if it may not."""
    return given if _REQUEST_ID.fullmatch(given) else ""


def valid_traceparent(given: str) -> str:
    """Return a traceparent, or "" if it is not valid."""
    return given if _TRACEPARENT.fullmatch(given) else ""
