"""Decisions of people: for one case or all of an incident, by one pair of eyes or two, undone.

Each change is one conditional update with its trail and its outbox entries in one transaction, so
that a case is decided once, and a decision that was answered is never lost.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from desk import metrics, trail
from desk.database import changed
from desk.settings import DeskSettings
from desk.tables import (
    CLOSED, OPEN, OUTCOMES, REVIEW, SECOND, Case, DecidedPayment, Delivery, Person)
from desk.worklist import free_for
from fraud.clock import utc_iso
from fraud.errors import FraudError
from fraud.labels import Label

LONGEST_NOTE = 2_000
EVENT_TYPE = "fraud.review.decided"
REOPENED = {"status": OPEN, "outcome": None, "decided_by": None, "decided_at": None,
            "confirmed_by": None, "incident_id": None}


class DecidingError(FraudError):
    """A decision that cannot be made. The message says what to do."""


def decide(session: Session, settings: DeskSettings, person: Person, case_ids: list[int],
           outcome: str, note: str, now: int) -> list[int]:
    """Decide cases alike, and return the ids of those that were free to be decided.

    Args:
        case_ids: several are one incident.
        note: for people; may be empty.

    Raises:
        DecidingError: there is no such outcome, or the note is too long.
    """
    if outcome not in OUTCOMES:
        raise DecidingError(f"the outcome is {outcome!r}; choose {', '.join(OUTCOMES)}")
    if len(note) > LONGEST_NOTE:
        raise DecidingError(f"the note has {len(note):,} characters; use at most {LONGEST_NOTE:,}")
    incident_id = f"desk-{min(case_ids)}" if len(case_ids) > 1 else None
    decided = []
    for case_id in sorted(case_ids):
        case = session.get(Case, case_id, populate_existing=True)
        if case is None:
            continue
        needs_second = 0 < settings.desk_four_eyes_amount * 100 <= case.amount_cents
        is_decided = _update(session, case_id, *free_for(person, now), values={
            "status": SECOND if needs_second else CLOSED, "outcome": outcome, "note": note,
            "decided_by": person.id, "decided_at": now, "taken_by": None,
            "taken_until": None, "incident_id": incident_id})
        if not is_decided:
            continue
        trail.record(session, person.name, "proposed" if needs_second else "decided",
                     case_id=case_id, detail=f"{outcome}: {note}" if note else outcome)
        if not needs_second:
            _enqueue(session, settings, case, outcome, incident_id, now)
        decided.append(case_id)
    return decided


def answer_proposal(session: Session, settings: DeskSettings, person: Person, case_id: int,
                    outcome: str, agrees: bool, now: int) -> None:
    """Agree with the decision of somebody else, or put the case back into the queue.

    Args:
        outcome: of the proposal that this person has read; it may be another one by now.

    Raises:
        DecidingError: it does not wait for a second person, or this one was the first.
    """
    agreed = {"status": CLOSED, "confirmed_by": person.id, "decided_at": now}
    if not _update(session, case_id, Case.status == SECOND, Case.decided_by != person.id,
                   Case.outcome == outcome, values=agreed if agrees else REOPENED):
        raise DecidingError("this case does not wait for you: it is decided, its proposal has "
                            "changed, or you were the first to decide it; reload the page")
    trail.record(session, person.name, "agreed" if agrees else "disagreed", case_id=case_id,
                 detail=outcome)
    if agrees:
        case = session.get_one(Case, case_id)
        _enqueue(session, settings, case, outcome, case.incident_id, now)


def undo(session: Session, settings: DeskSettings, person: Person, case_ids: list[int],
         now: int) -> None:
    """Take back one's decisions while nothing has left the desk.

    Raises:
        DecidingError: it is too late for one of them, or another person decided it.
    """
    undo_ms = int(settings.desk_undo_seconds * 1_000)
    for case_id in sorted(case_ids):
        decided_at = session.scalar(select(Case.decided_at).where(Case.id == case_id)) or 0
        mine = (Case.decided_by == person.id) | (Case.confirmed_by == person.id)
        if decided_at <= now - undo_ms or not _update(
                session, case_id, Case.status != OPEN, mine, Case.decided_at == decided_at,
                values={**REOPENED, "taken_by": person.id,
                        "taken_until": now + int(settings.desk_taken_minutes * 60_000)}):
            raise DecidingError(
                f"case {case_id} cannot be undone: only your own decisions can, for "
                f"{settings.desk_undo_seconds:g} seconds; reopen it and decide it again")
        # The update has locked the case: no label is added now.
        _cancel(session, case_id, decided_at, now)
        trail.record(session, person.name, "undone", case_id=case_id)


def reopen(session: Session, person: Person, case_id: int) -> None:
    """Open a decided case again; its label stands until a later one replaces it.

    Raises:
        DecidingError: it is not decided.
    """
    if not _update(session, case_id, Case.status == CLOSED, values=REOPENED):
        raise DecidingError(f"case {case_id} is not decided; decide it instead")
    trail.record(session, person.name, "reopened", case_id=case_id)


def _update(session: Session, case_id: int, *conditions: ColumnElement[bool],
            values: Mapping[str, object]) -> bool:
    return changed(session, update(Case).where(Case.id == case_id, *conditions).values(values))


def _enqueue(session: Session, settings: DeskSettings, case: Case, outcome: str,
             incident_id: str | None, now: int) -> None:
    """Put the label of a decision and the event for the caller into the outbox."""
    metrics.OUTCOMES.labels(outcome).inc()
    if outcome == "unsure":
        return
    payment = case.payment
    bodies: dict[str, object] = {"label": Label(
        payment.transaction_id, 1 if outcome == "fraud" else 0, max(now, payment.event_time),
        incident_id=incident_id if outcome == "fraud" else None, source="desk",
        origin_pseudonym=payment.origin, destination_pseudonym=payment.destination)}
    if settings.desk_webhook and payment.decision == REVIEW:
        bodies["event"] = _event(case.id, payment, outcome, now)
    send_from = now + int(settings.desk_undo_seconds * 1_000)
    session.add_all(Delivery(case_id=case.id, kind=kind, decided_at=now, send_from=send_from,
                             body=msgspec.json.encode(body).decode())
                    for kind, body in bodies.items())


def _event(case_id: int, payment: DecidedPayment, outcome: str, now: int) -> dict[str, object]:
    """Return a CloudEvent: the caller releases the payment that it holds, or refuses it."""
    return {"specversion": "1.0", "id": f"{case_id}-{now}", "source": "fraud/desk",
            "type": EVENT_TYPE, "time": utc_iso(now), "subject": payment.transaction_id,
            "datacontenttype": "application/json", "data": {
                "transaction_id": payment.transaction_id, "outcome": outcome,
                "release": outcome == "legitimate"}}


def _cancel(session: Session, case_id: int, decided_at: int, now: int) -> None:
    waiting = (Delivery.case_id == case_id, Delivery.decided_at == decided_at,
               Delivery.cancelled_at.is_(None), Delivery.sent_at.is_(None))
    session.execute(update(Delivery).where(*waiting, Delivery.attempts == 0)
                    .values(cancelled_at=now).execution_options(synchronize_session=False))
    if session.scalar(select(Delivery.id).where(*waiting).limit(1)):
        raise DecidingError(f"the label of case {case_id} is leaving; reopen the case and decide "
                            "it again")
