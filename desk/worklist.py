"""The queue: cases by expected loss, filters, and taking, so that two never decide one case."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from desk import trail
from desk.accounts import last_payments
from desk.database import changed
from desk.forms import FormError, whole_number
from desk.settings import DeskSettings
from desk.tables import CLOSED, OPEN, REVIEW, SECOND, Case, Person
from fraud.clock import DAY_MS

PAGE = 50
CANDIDATES = 20         # of the next case: others take some of them meanwhile
LARGEST_AMOUNT = 10**12
NEWEST = 1_000          # payments of an account on each side that a filter looks through
VIEWS = {"reviews": "Reviews", "mine": "Mine", "second": "Second person",
         "approve": "Sampled approvals", "decline": "Sampled declines", "closed": "Decided"}


@dataclass(frozen=True)
class Filters:
    """The part of the queue that is shown. Amounts are currency units, accounts pseudonyms."""

    view: str = "reviews"
    type: str = ""
    rule: str = ""
    account: str = ""
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class WorkPage:
    """Cases of the queue, and where those after them begin."""

    cases: list[Case]
    after: str | None


@dataclass(frozen=True)
class Load:
    """The work of today, UTC."""

    open: int
    overdue: int
    opened_today: int
    decided_today: int
    capacity: int


def parse_filters(given: Mapping[str, str]) -> Filters:
    """Return the filters of a query string; the account is taken as it is.

    Raises:
        FormError: a view is unknown, or an amount is not a number.
    """
    view = given.get("view", "reviews")
    if view not in VIEWS:
        raise FormError(f"there is no view {view!r}; choose {', '.join(VIEWS)}")
    return Filters(view=view, type=given.get("type", "").strip(),
                   rule=given.get("rule", "").strip(), account=given.get("account", "").strip(),
                   least=_amount(given, "least"), most=_amount(given, "most"))


def _amount(given: Mapping[str, str], name: str) -> float | None:
    text = given.get(name, "").replace(",", "").strip()
    if not text:
        return None
    amount = _number(text)
    if not 0 <= amount <= LARGEST_AMOUNT:
        raise FormError(f"the amount is {text!r}; give a number from 0 to {LARGEST_AMOUNT:,}, "
                        "such as 1500.00")
    return amount


def _number(text: str) -> float:
    """Return a number; NaN for any other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def find(session: Session, filters: Filters, person: Person, now: int,
         after: str | None = None) -> WorkPage:
    """Return a page of the queue, the highest expected loss first; decided cases, the last first.

    Args:
        after: of the page before.
    """
    key = Case.decided_at if filters.view == "closed" else Case.expected_loss
    query = _matching(filters, person, now).order_by(key.desc(), Case.id.desc()).limit(PAGE + 1)
    if filters.account:     # its payments first: SQLite would walk through the whole queue
        query = query.where(Case.transaction_id.in_(
            last_payments(session, [filters.account], NEWEST)))
    if after:
        value, _, number = after.partition(":")
        rank, last_id = _number(value), whole_number(number)
        if not math.isfinite(rank) or last_id is None:
            raise FormError(f"there is no page after {after!r}; begin with the first")
        query = query.where(tuple_(key, Case.id) < tuple_(rank, last_id))
    cases = list(session.scalars(query))
    if len(cases) <= PAGE:
        return WorkPage(cases, None)
    last = cases[PAGE - 1]
    end = last.decided_at if filters.view == "closed" else last.expected_loss
    return WorkPage(cases[:PAGE], f"{end!r}:{last.id}")


def _matching(filters: Filters, person: Person, now: int) -> Select[Case]:
    query = select(Case).where(*_of_view(filters.view, person, now))
    if filters.type:
        query = query.where(Case.type == filters.type)
    if filters.rule:
        query = query.where(Case.rules.contains(filters.rule, autoescape=True))
    if filters.least is not None:
        query = query.where(Case.amount_cents >= round(filters.least * 100))
    if filters.most is not None:
        query = query.where(Case.amount_cents <= round(filters.most * 100))
    return query


def _of_view(view: str, person: Person, now: int) -> tuple[ColumnElement[bool], ...]:
    match view:
        case "mine":
            return Case.taken_by == person.id, Case.taken_until > now, Case.status == OPEN
        case "second":
            return (Case.status == SECOND,)
        case "closed":
            return (Case.status == CLOSED,)
        case "reviews":
            return Case.status == OPEN, Case.kind == REVIEW
    return Case.status == OPEN, Case.kind == view


def load(session: Session, settings: DeskSettings, now: int) -> Load:
    """Return the work of today."""
    today = now - now % DAY_MS
    waiting = (Case.status == OPEN, Case.kind == REVIEW)
    return Load(
        _count(session, *waiting), _count(session, *waiting, Case.due_at < now),
        _count(session, Case.opened_at >= today, Case.kind == REVIEW),
        _count(session, Case.decided_at >= today, Case.status == CLOSED),
        settings.desk_cases_per_day)


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(Case).where(*conditions)) or 0


def free_for(person: Person, now: int) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions on cases that a person may take or decide."""
    return Case.status == OPEN, or_(Case.taken_by.is_(None), Case.taken_by == person.id,
                                    Case.taken_until < now)


def take(session: Session, settings: DeskSettings, person: Person, case_id: int,
         now: int) -> bool:
    """Take a case, or keep it for longer; return False if somebody else has it."""
    until = now + int(settings.desk_taken_minutes * 60_000)
    taken = changed(session, update(Case).where(Case.id == case_id, *free_for(person, now))
                    .values(taken_by=person.id, taken_until=until))
    if taken:
        trail.record(session, person.name, "taken", case_id=case_id)
    return taken


def give_back(session: Session, person: Person, case_id: int) -> bool:
    """Free a case that a person has taken."""
    freed = changed(session, update(Case).where(
        Case.id == case_id, Case.taken_by == person.id, Case.status == OPEN)
        .values(taken_by=None, taken_until=None))
    if freed:
        trail.record(session, person.name, "given-back", case_id=case_id)
    return freed


def take_next(session: Session, settings: DeskSettings, person: Person, now: int) -> int | None:
    """Take the free review with the highest expected loss; None if there is none."""
    query = (select(Case.id).where(*_of_view("reviews", person, now))
             .where(or_(Case.taken_by.is_(None), Case.taken_until < now))
             .order_by(Case.expected_loss.desc(), Case.id.desc()).limit(CANDIDATES))
    while candidates := session.scalars(query).all():
        for case_id in candidates:
            if take(session, settings, person, case_id, now):
                return case_id
    return None
