"""What scores a batch of payments: the deployed API.

A payment that is sent again has the same transaction_id and so the same answer: whatever is unclear
is asked again. The API keeps decision log and metrics of scoring; which answers it knew before, it
does not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

import msgspec

from fraud.history import StoreUnavailable
from fraud.settings import SettingsError
from fraud.transaction import Transaction
from stream.messages import Answer, Poison, encode
from stream.settings import StreamSettings

PATH = "/v1/score/batch"
REFUSALS = (409, 422)           # of one payment: it will never be scored
_raw = msgspec.json.Decoder(list[msgspec.Raw])


class _Item(msgspec.Struct):
    """What is to be known of an answer, or of a problem in its place."""

    type: str = ""
    status: int = 200
    detail: str = ""
    idempotent: bool = True


_item = msgspec.json.Decoder(_Item)


class Api:
    """Scores through the API at a URL.

    Raises:
        SettingsError: the URL is none.
    """

    def __init__(self, url: str, settings: StreamSettings):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"--api is {url!r}; give http://HOST:PORT or https://HOST")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=settings.stream_api_seconds)
        self._path = parts.path.rstrip("/") + PATH
        self._headers = {"Content-Type": "application/json"}
        if settings.stream_api_key:
            self._headers["Authorization"] = f"Bearer {settings.stream_api_key}"

    def score(self, payments: Sequence[Transaction]) -> list[Answer | Poison]:
        status, body = self._asked(b"[" + b",".join(map(encode, payments)) + b"]")
        if status != 200:
            raise StoreUnavailable(f"the API answers {status}: {body[:500]!r}")
        try:
            told = [_outcome(item) for item in _raw.decode(body)]
        except msgspec.DecodeError as error:
            raise StoreUnavailable(f"the API answers what is no answer: {error}") from None
        if len(told) != len(payments):
            raise StoreUnavailable(f"the API answers {len(told)} of {len(payments)} payments")
        return told

    def _asked(self, body: bytes) -> tuple[int, bytes]:
        try:
            try:
                return self._request(body)
            except ConnectionError:         # it closed what was idle for long
                return self._request(body)
        except (OSError, HTTPException) as error:
            raise StoreUnavailable(f"the API is away: {error!r}") from None

    def _request(self, body: bytes) -> tuple[int, bytes]:
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response: HTTPResponse = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            self._connection.close()        # the next request connects anew
            raise

    def refresh(self) -> None:
        """The API follows the champion itself."""

    def close(self) -> None:
        self._connection.close()


def _outcome(body: msgspec.Raw) -> Answer | Poison:
    item = _item.decode(body)
    if item.status in REFUSALS:
        return Poison(item.type, item.detail)
    if item.status != 200:
        raise StoreUnavailable(f"the API answers a payment {item.status}: {item.detail}")
    if not item.idempotent:
        raise StoreUnavailable("the API answers without history")
    return Answer(bytes(body), known=False)
