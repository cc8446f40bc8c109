"""Intake of decision logs: every payment once, and a case for each review and each sample.

A batch of lines and the position after it are committed together, so that intake goes on where it
stopped. Repeated lines change nothing.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk import metrics
from desk.database import Database, insert_new
from desk.log_files import LogFiles, LogPart
from desk.log_topic import LogTopic
from desk.settings import TOPIC, DeskSettings
from desk.tables import OPEN, REVIEW, Case, DecidedPayment, ReadPosition
from fraud.clock import HOUR_MS
from fraud.decision import Decision
from fraud.errors import JSON_ERRORS, FraudError

BATCH = 500             # lines of a transaction: others write between two of them
ANALYZE_LINES = 5_000   # after which the database counts its rows again
IDLE_SECONDS = 0.3
RETRY_SECONDS = 5.0     # after the database, or a topic, could not be reached
COPIED = [name for name in DecidedPayment.__table__.columns.keys()
          if name in Decision.__struct_fields__]        # fields of a decision that are columns

log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(Decision).decode


class DecisionSource(Protocol):
    """A source of decision lines."""

    def read(self, positions: dict[str, int]) -> Iterator[LogPart]:
        """Yield the lines after the positions, and end."""

    def close(self) -> None:
        """Close connections."""


class Intake:
    """Follows the decision logs that FRAUD_DESK_DECISIONS names."""

    def __init__(self, settings: DeskSettings, database: Database):
        self._settings, self._database = settings, database
        self._since_analysis = 0        # lines
        self._sources = [_source(name.strip(), settings)
                         for name in settings.desk_decisions.split(",") if name.strip()]

    def follow(self, stop: threading.Event) -> None:
        """Read until `stop` is set; retry whatever fails."""
        while not stop.is_set():
            pause = IDLE_SECONDS
            try:
                self.read(stop)
            except Exception as error:      # the thread must not end: nobody would notice
                log.error("decision logs cannot be read: %s", error,
                          exc_info=not isinstance(error, FraudError))
                pause = RETRY_SECONDS
            stop.wait(pause)
        self.close()

    def close(self) -> None:
        """Close connections."""
        for source in self._sources:
            source.close()

    def read(self, stop: threading.Event | None = None) -> int:
        """Insert the new lines, and return their number."""
        count = 0
        with self._database.reading() as session:
            positions = {row.source: row.position for row in session.scalars(select(ReadPosition))}
        for source in self._sources:
            for part in source.read(positions):
                for start in range(0, max(len(part.lines), 1), BATCH):
                    if stop and stop.is_set():
                        return count
                    lines = part.lines[start:start + BATCH]
                    last = start + BATCH >= len(part.lines)
                    with self._database.writing() as session:
                        self.add(session, lines, part.name)
                        if last:
                            session.merge(ReadPosition(
                                source=part.source, name=part.name, position=part.position))
                    positions[part.source] = part.position
                    count += len(lines)
        self._since_analysis += count
        if self._since_analysis >= ANALYZE_LINES:
            self._database.analyze()
            self._since_analysis = 0
        return count

    def add(self, session: Session, lines: Sequence[bytes], name: str) -> None:
        """Insert the payments of lines, and their cases."""
        payments, cases = [], []
        for line in lines:
            try:
                decision = _decode(line)
            except JSON_ERRORS as error:
                metrics.INVALID_LINES.inc()
                log.warning("%s: a line is not a decision (%s); it is left out", name, error)
                continue
            payments.append(payment_row(decision, line))
            if kind := self._kind(decision):
                cases.append(case_row(decision, kind, self._settings))
        insert_new(session, DecidedPayment, payments)
        insert_new(session, Case, cases)
        metrics.LINES.inc(len(payments))

    def _kind(self, decision: Decision) -> str | None:
        if decision.decision == REVIEW:
            return REVIEW
        digest = hashlib.sha256(decision.transaction_id.encode()).digest()
        drawn = int.from_bytes(digest[:4]) < self._settings.desk_sample_share * 2**32
        return decision.decision if drawn else None


def payment_row(decision: Decision, line: bytes) -> dict[str, Any]:
    """Return the columns of a payment."""
    return {
        **{name: getattr(decision, name) for name in COPIED},
        "shadow_decision": decision.shadow.decision if decision.shadow else None,
        "line": zlib.compress(line, 1)}


def case_row(decision: Decision, kind: str, settings: DeskSettings) -> dict[str, Any]:
    """Return the columns of a new case."""
    opened_at = decision.decided_at
    return {
        "transaction_id": decision.transaction_id, "kind": kind, "status": OPEN,
        "type": decision.type, "amount_cents": decision.amount_cents,
        "expected_loss": decision.score * decision.amount_cents / 100,
        "rules": f",{','.join(decision.applied)}," if decision.applied else "",
        "opened_at": opened_at, "due_at": opened_at + int(settings.desk_due_hours * HOUR_MS),
        "note": ""}


def logged_decision(payment: DecidedPayment) -> Decision:
    """Return the line of a payment."""
    return _decode(zlib.decompress(payment.line))


def _source(name: str, settings: DeskSettings) -> DecisionSource:
    if name.startswith(TOPIC):
        return LogTopic(name.removeprefix(TOPIC), settings)
    return LogFiles(name)
