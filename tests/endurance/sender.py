"""A writer to the topics of payments and labels: each message until the broker has it."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import NamedTuple

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from fraud.labels import Label
from fraud.transaction import parse
from stream import clients
from stream.producer import BREAKS
from stream.settings import StreamSettings
from tests.endurance.payments import LABEL_EVERY, PaymentSeries, encode

SILENCE_SECONDS = 5.0       # without an acknowledgement, after which the connections are renewed
EXPECTED = "expected"       # header: the reason of the dead letter that a message must become


class KafkaMessage(NamedTuple):
    """A message, and the reason of its dead letter if it is a broken one."""

    topic: str
    key: bytes | None
    value: bytes | None
    reason: str = ""


class StreamSender:
    """A thread that sends payments to the stream when they are due, and their labels.

    A message that is not acknowledged is sent again, so the topic may have it twice.
    """

    def __init__(self, series: PaymentSeries, settings: StreamSettings, limit: int = 0):
        self.series, self.sent = series, 0
        self.labels: list[Label] = []
        self._settings, self._limit = settings, limit
        self._extra: deque[KafkaMessage] = deque()
        self._open: dict[int, KafkaMessage] = {}    # not acknowledged, by number
        self._count, self._lock, self._heard = 0, Lock(), time.monotonic()
        self._producer: KafkaProducer | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def behind(self) -> float:
        """Seconds by which the next payment, or the oldest acknowledgement, is late."""
        late = max(0.0, time.monotonic() - self.series.due(self.sent))
        return max(late, time.monotonic() - self._heard if self._open else 0.0)

    @property
    def is_done(self) -> bool:
        """True if all payments up to the limit are acknowledged."""
        return self.sent == self._limit and not self._open

    def add(self, *messages: KafkaMessage) -> None:
        """Send messages in between."""
        self._extra.extend(messages)

    def poison(self) -> None:
        """Send a broken message of every kind, made from the first payment."""
        payment = parse(encode(self.series.payment(0)))
        self.add(*(KafkaMessage(self._settings.topic_transactions, *broken(payment), reason)
                   for reason, broken in BREAKS.items()))

    def send_twice(self) -> None:
        """Send the newest payment once more."""
        self.add(self._message(max(self.sent - 1, 0)))

    def stop(self) -> None:
        """Send no further payments, and return when the broker has all."""
        self._stop.set()
        self._thread.join()

    def _message(self, number: int) -> KafkaMessage:
        payment = self.series.payment(number)
        return KafkaMessage(self._settings.topic_transactions, payment["origin"].encode(),
                            encode(payment))

    def _run(self) -> None:
        while not (self._stop.is_set() and not self._open and not self._extra):
            try:
                self._send_due()
                if self._open and time.monotonic() > self._heard + SILENCE_SECONDS:
                    raise KafkaError("the broker is silent")
                time.sleep(0.01)
            except KafkaError:
                self._renew()
        if self._producer:
            self._producer.close(10)

    def _send_due(self) -> None:
        if self._producer is None:
            self._producer = clients.producer(self._settings, linger_ms=5)
            self._heard = time.monotonic()
            for number, message in sorted(self._open.items()):
                self._send(number, message)
        while self._extra:
            self._add(self._extra.popleft())
        while (not self._stop.is_set() and self.series.due(self.sent) <= time.monotonic()
               and self.sent != (self._limit or None)):
            self._add(self._message(self.sent))
            if self.sent % LABEL_EVERY == 0:
                self._add_label(self.series.label(self.sent))
            self.sent += 1

    def _add_label(self, label: Label) -> None:
        message = KafkaMessage(self._settings.topic_labels, label.transaction_id.encode(),
                               msgspec.json.encode(label))
        self.labels.append(label)
        self._add(message)
        if len(self.labels) % 5 == 0:
            self._add(message)

    def _add(self, message: KafkaMessage) -> None:
        """Send a message, and keep it until it is acknowledged."""
        with self._lock:
            if not self._open:
                self._heard = time.monotonic()
            self._count += 1
            self._open[self._count] = message
        self._send(self._count, message)

    def _send(self, number: int, message: KafkaMessage) -> None:
        assert self._producer is not None
        headers = [(EXPECTED, message.reason.encode())] if message.reason else None
        self._producer.send(message.topic, message.value, message.key, headers).add_callback(
            lambda _: self._acknowledge(number))

    def _acknowledge(self, number: int) -> None:
        with self._lock:
            self._open.pop(number, None)
            self._heard = time.monotonic()

    def _renew(self) -> None:
        """Drop the connections: the broker may have moved."""
        producer, self._producer = self._producer, None
        if producer:
            with suppress(KafkaError):
                clients.abandon(producer)       # what was not sent stays open
        time.sleep(0.5)
