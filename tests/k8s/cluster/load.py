"""Callers with keep-alive connections, and a count of the requests that failed."""

import json
import secrets
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

from tests.serve.running import KEY, payment

TIMEOUT_SECONDS = 30


class Caller(threading.Thread):
    """Sends payments on a connection until it is stopped; reconnects where the server asks to."""

    def __init__(self, connection: HTTPConnection, key: str, pause: float):
        super().__init__(daemon=True)
        self.answers: list[tuple[str, dict]] = []       # the id of a payment and its answer
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._connection = connection
        self._headers = {"Authorization": f"Bearer {key}"}
        self._pause, self._is_stopped = pause, threading.Event()

    def run(self) -> None:
        while not self._is_stopped.wait(self._pause):
            identifier = secrets.token_hex(8)
            start = time.perf_counter()
            try:
                answer = self._score(identifier)
            except (OSError, HTTPException, AssertionError) as error:
                self._connection.close()
                self.failures.append(f"{identifier}: {error!r}")
            else:
                self.answers.append((identifier, answer))
            self.seconds.append(time.perf_counter() - start)

    def _score(self, identifier: str) -> dict:
        body = payment(identifier, origin=f"C{identifier}", event_time=round(time.time() * 1_000))
        self._connection.request("POST", "/v1/score", json.dumps(body), self._headers)
        response = self._connection.getresponse()
        content = response.read()
        assert response.status == 200, f"{response.status} {content[:200]!r}"
        return json.loads(content)

    def stop(self) -> None:
        self._is_stopped.set()


class Load:
    """Callers for as long as a `with` block takes; `connect` makes a connection to the address."""

    def __init__(self, address: str, connections: int = 40, pause: float = 0.2, key: str = KEY,
                 connect: Callable[..., HTTPConnection] = HTTPConnection):
        self._callers = [Caller(connect(address, timeout=TIMEOUT_SECONDS), key, pause)
                         for _ in range(connections)]

    def __enter__(self) -> "Load":
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *exception) -> None:
        for caller in self._callers:
            caller.stop()
        for caller in self._callers:
            caller.join()

    @property
    def failures(self) -> list[str]:
        return [failure for caller in self._callers for failure in caller.failures]

    @property
    def answers(self) -> list[tuple[str, dict]]:
        return [answer for caller in self._callers for answer in caller.answers]

    @property
    def seconds(self) -> list[float]:
        return [seconds for caller in self._callers for seconds in caller.seconds]
