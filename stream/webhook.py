"""Send reviews and declines to a receiver: signed CloudEvents over HTTP, from the decision log.

    python -m stream.webhook --new-secret
    FRAUD_DECISION_LOG=decisions.jsonl FRAUD_WEBHOOK_URL=https://cases.example.com/fraud \\
        FRAUD_WEBHOOK_SECRET=whsec_... python -m stream.webhook

Each event arrives at least once, in the order of the log: attempts are repeated until the receiver
answers with 2xx. An event that it refuses (400, 413, 422) is set aside; --retry-refused sends those
again. Scoring never waits: events wait in FRAUD_WEBHOOK_QUEUE. docs/webhook.md has the format.
"""

from __future__ import annotations

import base64
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from secrets import token_bytes
from threading import Event

from prometheus_client import start_http_server

from fraud import logs
from fraud.command_line import Arguments, command, parser
from fraud.errors import JSON_ERRORS
from fraud.settings import SettingsError, from_environment
from fraud.webhooks import SECRET_PREFIX, EncodedEvent, read_secrets
from stream import webhook_metrics as metrics
from stream.backoff import backoff
from stream.delivery_queue import DeliveryQueue
from stream.log_follower import LogFollower
from stream.receiver import Attempt, Receiver
from stream.settings import WebhookSettings
from stream.webhook_events import encoded_event

POLL_SECONDS = 0.2
REFUSED_KEPT = 10_000
logger = logging.getLogger("stream.webhook")


class LogReader:
    """Moves reviews and declines from the decision log into the queue, for one thread."""

    def __init__(self, log: str, queue: DeliveryQueue, limit: int):
        self._log, self._queue, self._limit = str(Path(log).absolute()), queue, limit
        self._follower = LogFollower(self._log, queue.position(self._log))

    def run(self, stop: Event) -> None:
        """Read until `stop` is set."""
        while not stop.is_set():
            if not self.read():
                stop.wait(POLL_SECONDS)
        self._follower.close()

    def read(self) -> bool:
        """Read the next lines; returns False if there are none, or the queue is full."""
        waiting = len(self._queue)
        lines = self._follower.read() if waiting < self._limit else []
        if lines:
            events = [event for line in lines if (event := _event(line))]
            self._queue.add(events, self._log, self._follower.position)
        metrics.QUEUE.set(len(self._queue))
        metrics.UNREAD.set(self._follower.unread_bytes)
        return bool(lines)


def _event(line: bytes) -> EncodedEvent | None:
    try:
        return encoded_event(line)
    except JSON_ERRORS as error:
        metrics.SKIPPED.inc()
        logger.warning("a line of the log is not a decision: %s", error)
        return None


class Sender:
    """Delivers the events of the queue one after another, for one thread."""

    def __init__(self, queue: DeliveryQueue, receiver: Receiver, backoff_seconds: float):
        self._queue, self._receiver, self._backoff_seconds = queue, receiver, backoff_seconds

    def run(self, stop: Event) -> None:
        """Deliver until `stop` is set; the current attempt is finished then."""
        failures = 0
        while not stop.is_set():
            queued = self._queue.first()
            if queued is None:
                stop.wait(POLL_SECONDS)
                continue
            with metrics.SECONDS.time():
                attempt = self._receiver.send(queued.event)
            if attempt.is_delivered:
                self._queue.remove(queued.number)
                metrics.DELIVERED.inc()
            elif attempt.is_refused:
                self._refuse(queued.number, queued.event, attempt)
            else:
                failures += 1
                self._report(attempt, failures)
                stop.wait(backoff(failures, self._backoff_seconds))
                continue
            failures = 0
        self._receiver.close()

    def _refuse(self, number: int, event: EncodedEvent, attempt: Attempt) -> None:
        self._queue.set_aside(number, f"{attempt.status} {attempt.answer}", REFUSED_KEPT)
        metrics.REFUSED.inc()
        logger.error("event %s is set aside: the receiver answered %s: %s", event.id,
                     attempt.status, attempt.answer)

    def _report(self, attempt: Attempt, failures: int) -> None:
        metrics.FAILURES.labels(str(attempt.status or "no-answer")).inc()
        logger.warning("attempt %s failed, it is repeated: %s %s", failures,
                       attempt.status or "no answer", attempt.answer)


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m stream.webhook", __doc__)
    choice = options.add_mutually_exclusive_group()
    choice.add_argument("--new-secret", action="store_true", help="print a secret and end")
    choice.add_argument("--retry-refused", action="store_true",
                        help="queue the refused events again, then go on as usual")
    chosen = options.parse_args(arguments)
    if chosen.new_secret:
        print(SECRET_PREFIX + base64.b64encode(token_bytes(32)).decode())
        return
    run(from_environment(os.environ, WebhookSettings), chosen.retry_refused)


def run(settings: WebhookSettings, retry_refused: bool) -> None:
    """Deliver until SIGTERM or SIGINT.

    Raises:
        SettingsError: a setting cannot be used.
    """
    if settings.decision_log == "-":
        raise SettingsError("FRAUD_DECISION_LOG is '-', which only its own process can read; give "
                            "servers and webhook the same file")
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    logs.configure(settings.log_level)
    secrets = read_secrets("FRAUD_WEBHOOK_SECRET", settings.webhook_secret)
    receiver = Receiver(settings.webhook_url, secrets, settings.webhook_seconds)
    queue = DeliveryQueue(settings.webhook_queue)
    if retry_refused:
        logger.info("%s refused events are queued again", queue.requeue_refused())
    metrics.QUEUE_LIMIT.set(settings.webhook_queue_events)
    reader = LogReader(settings.decision_log, queue, settings.webhook_queue_events)
    try:
        server, _ = start_http_server(settings.webhook_metrics_port, settings.webhook_metrics_host)
    except OSError as error:
        raise SettingsError(f"FRAUD_WEBHOOK_METRICS_PORT is {settings.webhook_metrics_port}: "
                            f"{error.strerror}; give each program another port") from error
    logger.info("delivering %s to %s; metrics on http://%s:%s", settings.decision_log,
                receiver.host, settings.webhook_metrics_host, server.server_port)
    with ThreadPoolExecutor(1, "reader") as pool:
        reading = pool.submit(reader.run, stop)
        reading.add_done_callback(lambda _: stop.set())     # also when it fails
        try:
            Sender(queue, receiver, settings.webhook_backoff_seconds).run(stop)
        finally:
            stop.set()
    queue.close()
    server.shutdown()
    reading.result()        # raises what ended it


if __name__ == "__main__":
    main()
