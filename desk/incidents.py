"""Incidents: open cases of the same accounts within a time."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, contains_eager

from desk.settings import DeskSettings
from desk.tables import OPEN, Case, DecidedPayment
from fraud.clock import HOUR_MS

MOST_CASES = 50
ROUNDS = 2              # a theft, its transfer, its cash-out
BUSY_ACCOUNT = 30       # open cases of an account that does not bind them: a merchant, say


def incident_of(session: Session, settings: DeskSettings, case: Case) -> list[Case]:
    """Return the open cases of an incident other than this one, in the order of their payments."""
    time = case.payment.event_time
    span = int(settings.desk_incident_hours * HOUR_MS)
    cases: dict[int, Case] = {}
    fresh, known = _accounts([case.payment]), set[str]()
    for _ in range(ROUNDS):
        fresh = _quiet(session, fresh - known, time - span, time + span)
        if not fresh:
            break
        found = _open_cases(session, fresh, time - span, time + span)
        cases |= {each.id: each for each in found if each.id != case.id}
        known |= fresh
        fresh = _accounts([each.payment for each in found])
    nearest = sorted(cases.values(), key=lambda each: abs(each.payment.event_time - time))
    return sorted(nearest[:MOST_CASES], key=lambda each: each.payment.event_time)


def _accounts(payments: list[DecidedPayment]) -> set[str]:
    both = {payment.origin for payment in payments} | {
        payment.destination for payment in payments}
    return {account for account in both if account}


def _quiet(session: Session, accounts: set[str], start: int, end: int) -> set[str]:
    """Return the accounts that are not busy."""
    rows = session.execute(
        select(DecidedPayment.origin, DecidedPayment.destination).join(Case).where(
            Case.status == OPEN, _touches(accounts), DecidedPayment.event_time.between(start, end))
        .limit((BUSY_ACCOUNT + 1) * max(len(accounts), 1)))
    counts = Counter(account for row in rows for account in row)
    return {account for account in accounts if counts[account] <= BUSY_ACCOUNT}


def _open_cases(session: Session, accounts: set[str], start: int, end: int) -> list[Case]:
    return list(session.scalars(
        select(Case).join(Case.payment).options(contains_eager(Case.payment))
        .where(Case.status == OPEN, _touches(accounts),
               DecidedPayment.event_time.between(start, end)).limit(4 * MOST_CASES)))


def _touches(accounts: set[str]):       # type: ignore[no-untyped-def]
    return or_(DecidedPayment.origin.in_(accounts), DecidedPayment.destination.in_(accounts))
