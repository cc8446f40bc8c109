"""The receiver of the webhook, over HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from typing import NamedTuple
from urllib.parse import urlsplit

from fraud.settings import SettingsError
from fraud.webhooks import EncodedEvent, signed_headers

ANSWER_BYTES = 65_536
REFUSALS = (400, 413, 422)      # of the event itself; others concern the receiver and may pass


class Attempt(NamedTuple):
    """The result of an attempt."""

    status: int         # of HTTP; 0 without an answer
    answer: str         # the beginning of the body, or the error

    @property
    def is_delivered(self) -> bool:
        """The receiver has the event."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """The receiver will never take the event."""
        return self.status in REFUSALS


class Receiver:
    """Sends events to a URL, over one connection. Redirects are not followed.

    Args:
        seconds: for an attempt as a whole.

    Raises:
        SettingsError: the URL is invalid.
    """

    def __init__(self, url: str, secrets: Sequence[bytes], seconds: float):
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise SettingsError(f"FRAUD_WEBHOOK_URL is {url!r}; give http://HOST:PORT/PATH or "
                                "https://HOST/PATH")
        self.host = parts.hostname      # paths and queries may hold a token: not for logs
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._connection = kind(parts.hostname, port, timeout=seconds)
        self._path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        self._socket: socket.socket | None = None
        self._secrets, self._seconds = secrets, seconds

    def send(self, event: EncodedEvent) -> Attempt:
        """Send an event once."""
        headers = signed_headers(event, self._secrets, int(time.time()))
        deadline = Timer(self._seconds, self._hang_up)      # also if bytes trickle in
        deadline.daemon = True
        deadline.start()
        try:
            if self._connection.sock is None:
                self._connection.connect()
                self._socket = self._connection.sock
            self._connection.request("POST", self._path, event.body, headers)
            response = self._connection.getresponse()
            body = response.read(ANSWER_BYTES)
            if not response.isclosed():         # a longer answer: the rest is not read
                self._connection.close()
            return Attempt(response.status, body[:200].decode(errors="replace"))
        except (OSError, HTTPException) as error:
            self._connection.close()            # the next attempt connects anew
            return Attempt(0, f"{type(error).__name__}: {error}")
        finally:
            deadline.cancel()

    def _hang_up(self) -> None:
        if self._socket:
            with suppress(OSError):     # it is closed already
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)     # wakes the reader

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
