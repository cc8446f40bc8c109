"""Incidents: open cases of the same accounts within a time."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import ColumnElement, select
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
    fresh, known = case.payment.accounts, set[str]()
    for _ in range(ROUNDS):
        fresh = _quiet(session, fresh - known, time - span, time + span)
        if not fresh:
            break
        found = session.scalars(
            select(Case).join(Case.payment).options(contains_eager(Case.payment))
            .where(*_open_cases(fresh, time - span, time + span)).limit(4 * MOST_CASES)).all()
        cases |= {each.id: each for each in found if each.id != case.id}
        known |= fresh
        fresh = set().union(*(each.payment.accounts for each in found))
    nearest = sorted(cases.values(), key=lambda each: abs(each.payment.event_time - time))
    return sorted(nearest[:MOST_CASES], key=lambda each: each.payment.event_time)


def _quiet(session: Session, accounts: set[str], start: int, end: int) -> set[str]:
    """Return the accounts that are not busy."""
    rows = session.execute(
        select(DecidedPayment.origin, DecidedPayment.destination).join(Case)
        .where(*_open_cases(accounts, start, end))
        .limit((BUSY_ACCOUNT + 1) * max(len(accounts), 1)))
    counts = Counter(account for row in rows for account in row)
    return {account for account in accounts if counts[account] <= BUSY_ACCOUNT}


def _open_cases(accounts: set[str], start: int, end: int) -> tuple[ColumnElement[bool], ...]:
    return (Case.status == OPEN, DecidedPayment.is_of(accounts),
            DecidedPayment.event_time.between(start, end))
