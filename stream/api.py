"""The deployed API as a scoring backend.

A payment that is sent again keeps its transaction_id and so its answer: after any doubt the request
is repeated. The API keeps decision log and metrics of scoring; it does not say which answers it
knew before. A request holds messages of many callers, so it does not carry their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

import msgspec

from fraud.caller import Caller
from fraud.errors import JSON_ERRORS
from fraud.settings import SettingsError
from fraud.transaction import Transaction
from stream.messages import Poison, StreamAnswer, encode
from stream.scoring import ScoringUnavailable
from stream.settings import StreamSettings

PATH = "/v1/score/batch"
REFUSALS = (409, 422)           # statuses of a payment that will never be scored
_raw = msgspec.json.Decoder(list[msgspec.Raw])


class _Item(msgspec.Struct):
    """The fields needed of an answer, or of a problem in its place."""

    type: str = ""
    status: int = 200
    detail: str = ""
    idempotent: bool = True


_item = msgspec.json.Decoder(_Item)


class Api:
    """Scores through the API at a URL.

    Raises:
        SettingsError: the URL is invalid, or there is a topic of decision lines.
    """

    def __init__(self, url: str, settings: StreamSettings):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"--api is {url!r}; give http://HOST:PORT or https://HOST")
        if settings.topic_decision_log:
            raise SettingsError(f"FRAUD_TOPIC_DECISION_LOG is {settings.topic_decision_log!r}, but "
                                "with --api the API keeps the decision log; unset it")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=settings.stream_api_seconds)
        self._path = parts.path.rstrip("/") + PATH
        self._headers = {"Content-Type": "application/json"}
        if settings.stream_api_key:
            self._headers["Authorization"] = f"Bearer {settings.stream_api_key}"

    def score(self, payments: Sequence[Transaction], callers: Sequence[Caller]
              ) -> list[StreamAnswer | Poison]:
        status, body = self._post(b"[" + b",".join(map(encode, payments)) + b"]")
        if status != 200:
            raise ScoringUnavailable(f"the API answered {status}: {body[:500]!r}")
        try:
            outcomes = [_outcome(item) for item in _raw.decode(body)]
        except JSON_ERRORS as error:
            raise ScoringUnavailable(f"the API sent an invalid response: {error}") from error
        if len(outcomes) != len(payments):
            raise ScoringUnavailable(
                f"the API answered {len(outcomes)} of {len(payments)} payments")
        return outcomes

    def _post(self, body: bytes) -> tuple[int, bytes]:
        try:
            try:
                return self._request(body)
            except ConnectionError:         # it closed an idle connection
                return self._request(body)
        except (OSError, HTTPException) as error:
            raise ScoringUnavailable(f"the API is unavailable: {error!r}") from error

    def _request(self, body: bytes) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response: HTTPResponse = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            self._connection.close()        # the next request connects anew
            raise

    def refresh(self) -> None:
        """Do nothing: the API follows the champion."""

    def close(self) -> None:
        self._connection.close()


def _outcome(body: msgspec.Raw) -> StreamAnswer | Poison:
    item = _item.decode(body)
    if item.status in REFUSALS:
        return Poison(item.type, item.detail)
    if item.status != 200:
        raise ScoringUnavailable(f"the API answered {item.status} to a payment: {item.detail}")
    if not item.idempotent:
        raise ScoringUnavailable("the API answered without history")
    return StreamAnswer(bytes(body), known=False)
