"""Callers of the API, as its documentation asks them to be: each error is answered by a repeat."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import count
from threading import Event, Lock, Thread
from typing import Any

import msgspec
import requests

from fraud.labels import Label
from tests.endurance.ledger import Ledger
from tests.endurance.payments import LABEL_EVERY, PaymentSeries, encode

CONNECTIONS = 8
TIMEOUT = 10.0          # seconds for an answer
RETRY_SECONDS = 0.2
AGAIN_SECONDS = 2.0     # after a marked answer
REPEAT_EVERY = 100      # payments, of which one is sent again at once
LABEL_PAUSE = 0.5       # seconds between two requests with labels
HEADERS = {"Content-Type": "application/json"}


class Callers:
    """Threads that send payments to `POST /v1/score` when they are due.

    Args:
        url: gives the address of the API at this moment.
        ledger: receives the answers.
    """

    def __init__(self, series: PaymentSeries, url: Callable[[], str], ledger: Ledger):
        self.series, self._url, self._ledger = series, url, ledger
        self.sent = 0                   # payments that a caller has begun with
        self._numbers, self._lock = count(), Lock()
        self._again: deque[tuple[float, int]] = deque()     # moment and number: marked answers
        self._stop = Event()
        self._threads = [Thread(target=self._call, daemon=True) for _ in range(CONNECTIONS)]
        for thread in self._threads:
            thread.start()

    @property
    def behind(self) -> float:
        """Seconds by which the next payment is late."""
        return max(0.0, time.monotonic() - self.series.due(self.sent))

    def stop(self) -> None:
        """Send no further payments, and return when all have an answer that is kept."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def repeat_interrupted(self) -> None:
        """Send payments again of which an attempt ended without an answer: it must stay as it is.
        """
        session = local_session()
        for name in sorted(self._ledger.interrupted):
            self.send(session, self.series.payment(int(name.rpartition("-")[2])))

    def _call(self) -> None:
        session = local_session()
        while (number := self._next()) is not None:
            kept = self.send(session, self.series.payment(number))
            if kept and number % REPEAT_EVERY == 0:
                kept = self.send(session, self.series.payment(number))
            if not kept:
                self._again.append((time.monotonic() + AGAIN_SECONDS, number))

    def _next(self) -> int | None:
        """Wait for a payment that is due, and return its number; None at the end."""
        while True:
            with self._lock:
                now = time.monotonic()
                if self._again and (self._again[0][0] <= now or self._stop.is_set()):
                    return self._again.popleft()[1]
                if self._stop.is_set():
                    return None
                if self.series.due(self.sent) <= now:
                    self.sent += 1
                    return next(self._numbers)
                wait = self.series.due(self.sent) - now
            time.sleep(min(wait, 0.05))

    def send(self, session: requests.Session, payment: dict[str, Any]) -> bool:
        """Send a payment until it is answered; return False if the answer is marked."""
        name, body = payment["transaction_id"], encode(payment)
        while True:
            began = time.monotonic()
            try:
                response = session.post(f"{self._url()}/v1/score", body, headers=HEADERS,
                                        timeout=TIMEOUT)
            except requests.RequestException as error:
                self._ledger.fail(name, type(error).__name__)
                time.sleep(RETRY_SECONDS)
                continue
            if response.status_code == 200:
                return self._ledger.answer(name, response.content, began,
                                           time.monotonic() - began)
            if response.status_code < 500:
                self._ledger.refuse(name, f"{response.status_code} {response.text}")
                return True
            self._ledger.fail(name, str(response.status_code))
            time.sleep(RETRY_SECONDS)


class LabelCaller:
    """A thread that sends labels of payments to `POST /v1/labels`, each fifth of them twice."""

    def __init__(self, callers: Callers, url: Callable[[], str]):
        self._callers, self._url = callers, url
        self.sent: list[Label] = []
        self.refusals: list[str] = []
        self._stop = Event()
        self._thread = Thread(target=self._call, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send the labels of all payments, and return."""
        self._stop.set()
        self._thread.join()

    def _call(self) -> None:
        session, number = local_session(), 0
        while True:
            last = self._stop.wait(LABEL_PAUSE)
            labels = []
            while number < self._callers.sent:
                labels.append(self._callers.series.label(number))
                number += LABEL_EVERY
            if labels:
                for part in (labels, labels[::5]):
                    self._send(session, part)
                self.sent += labels
            if last:
                return

    def _send(self, session: requests.Session, labels: list[Label]) -> None:
        body = msgspec.json.encode({"labels": labels})
        while True:
            try:
                response = session.post(f"{self._url()}/v1/labels", body, headers=HEADERS,
                                        timeout=TIMEOUT)
            except requests.RequestException:
                time.sleep(RETRY_SECONDS)
                continue
            if response.status_code < 500:
                if response.status_code != 200:
                    self.refusals.append(response.text)
                return
            time.sleep(RETRY_SECONDS)


def local_session() -> requests.Session:
    """Return a session that asks no proxy."""
    session = requests.Session()
    session.trust_env = False
    return session
