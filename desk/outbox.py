"""The outbox: labels and events leave the desk, none lost, in the order in which they were given.

An entry is marked before it is sent and again when the receiver has it. If the desk is killed in
between, it is sent once more, unchanged: receivers count a label once by its transaction_id and
label_time, and an event by its id.
"""

from __future__ import annotations

import logging
import threading

from sqlalchemy import func, select, update

from desk import metrics
from desk.database import Database
from desk.sinks import DeliveryError, Sink
from desk.tables import Delivery
from fraud.clock import now_ms

BATCH = 200
IDLE_SECONDS = 0.25
LONGEST_PAUSE = 60.0    # seconds between two attempts at a receiver that is away

log = logging.getLogger(__name__)


class Outbox:
    """Sends one kind of entries through its sink."""

    def __init__(self, database: Database, kind: str, sink: Sink):
        self._database, self._kind, self._sink = database, kind, sink

    def follow(self, stop: threading.Event) -> None:
        """Send until `stop` is set; retry whatever fails, less and less often."""
        failures = 0
        while not stop.is_set():
            try:
                busy = self.send() == BATCH
                failures, pause = 0, 0.0 if busy else IDLE_SECONDS
            except Exception as error:      # the thread must not end: nobody would notice
                metrics.FAILURES.labels(self._kind).inc()
                pause = min(IDLE_SECONDS * 2 ** failures, LONGEST_PAUSE)
                failures = min(failures + 1, 10)
                log.error("%ss stay in the outbox for %g s: %s", self._kind, pause, error,
                          exc_info=not isinstance(error, DeliveryError))
            stop.wait(pause)
        self._sink.close()

    def send(self) -> int:
        """Send the entries whose time has come, at most a batch, and return their number.

        Raises:
            DeliveryError: the receiver did not take them; they stay.
        """
        entries = self._begin()
        metrics.OUTBOX.labels(self._kind).set(len(entries))
        if not entries:
            return 0
        try:
            self._sink.send(entries)
        except DeliveryError as error:
            if not error.is_refusal or len(entries) == 1:
                self._mark(entries, error=str(error)[:500])
                raise
            self._send_singly(entries)
        self._finish(entries)
        return len(entries)

    def _send_singly(self, entries: list[Delivery]) -> None:
        """Send each entry alone: one that is refused does not hold up the others."""
        refusals = []
        for entry in list(entries):
            try:
                self._sink.send([entry])
            except DeliveryError as error:
                entries.remove(entry)
                self._mark([entry], error=str(error)[:500])
                refusals.append(error)
        if refusals:
            self._finish(entries)
            raise refusals[0]

    def _begin(self) -> list[Delivery]:
        """Return the entries that are due, marked so that they cannot be undone."""
        waiting = (Delivery.kind == self._kind, Delivery.sent_at.is_(None),
                   Delivery.cancelled_at.is_(None), Delivery.send_from <= now_ms())
        with self._database.reading() as session:
            if not session.scalar(select(Delivery.id).where(*waiting).limit(1)):
                return []
        with self._database.writing() as session:
            ids = session.scalars(select(Delivery.id).where(*waiting)
                                  .order_by(Delivery.error != "", Delivery.id).limit(BATCH)).all()
            return sorted(session.scalars(
                update(Delivery).where(Delivery.id.in_(ids), *waiting)
                .values(attempts=Delivery.attempts + 1).returning(Delivery),
                execution_options={"synchronize_session": False}), key=lambda entry: entry.id)

    def _finish(self, entries: list[Delivery]) -> None:
        self._mark(entries, sent_at=now_ms(), error="")
        metrics.SENT.labels(self._kind).inc(len(entries))
        metrics.OUTBOX.labels(self._kind).set(0)

    def _mark(self, entries: list[Delivery], **values: object) -> None:
        with self._database.writing() as session:
            session.execute(update(Delivery).where(Delivery.id.in_([each.id for each in entries]))
                            .values(values))


def problem(database: Database) -> tuple[int, str] | None:
    """Return the number of entries that could not be sent, and the last reason; None if none."""
    with database.reading() as session:
        failed = (Delivery.sent_at.is_(None), Delivery.cancelled_at.is_(None), Delivery.error != "")
        count = session.scalar(select(func.count()).select_from(Delivery).where(*failed))
        if not count:
            return None
        error = session.scalar(select(Delivery.error).where(*failed)
                               .order_by(Delivery.id.desc()).limit(1))
        return count, error or ""
