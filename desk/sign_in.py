"""Signing in: sessions, throttling, and people whom a trusted proxy names."""

from __future__ import annotations

import hashlib
import secrets

from sanic import Request
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from desk import people, trail
from desk.database import Database
from desk.settings import DeskSettings
from desk.tables import BrowserSession, Person, TrailEntry
from fraud.clock import HOUR_MS, now_ms
from fraud.errors import FraudError

FAILED = "sign-in-failed"
WINDOW_MS = 15 * 60_000
MOST_FAILURES = {"account": 5, "person": 50}    # in the window: from one address, from anywhere


class SignInError(FraudError):
    """A sign-in that is refused."""


def sign_in(database: Database, settings: DeskSettings, name: str, password: str,
            address: str) -> str:
    """Return the token of a new session, for a cookie.

    Args:
        address: of the browser, for throttling.

    Raises:
        SignInError: see `check_password`.
    """
    person = check_password(database, name, password, address)
    with database.writing() as session:
        return start_session(session, settings, person)


def check_password(database: Database, name: str, password: str, address: str) -> Person:
    """Return the person of a name and a password; a failed attempt is recorded.

    The password is checked before anything is locked: argon2 takes its time.

    Raises:
        SignInError: name and password do not fit, or too many have not.
    """
    with database.reading() as session:
        if _is_throttled(session, name, address):
            raise SignInError("too many failed attempts; wait 15 minutes, or ask an admin for a "
                              "new password")
        person = people.authenticated(session, name, password)
    if person is None:
        with database.writing() as session:
            trail.record(session, name[:people.LONGEST_NAME], FAILED, account=address)
        raise SignInError("name and password do not fit; check both")
    return person


def start_session(session: Session, settings: DeskSettings, person: Person) -> str:
    """Return the token of a new session; expired ones are removed."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(BrowserSession).where(BrowserSession.expires_at < now_ms()))
    session.add(BrowserSession(
        token_hash=_hash(token), person_id=person.id, csrf_token=secrets.token_urlsafe(32),
        expires_at=now_ms() + int(settings.desk_session_hours * HOUR_MS)))
    trail.record(session, person.name, "signed-in")
    return token


def find_session(session: Session, token: str) -> BrowserSession | None:
    """Return the session of a token; None if it is unknown or over."""
    found = session.get(BrowserSession, _hash(token)) if token else None
    if found is None or found.expires_at < now_ms() or found.person.disabled_at:
        return None
    return found


def sign_out(session: Session, token: str) -> None:
    """End a session."""
    session.execute(delete(BrowserSession).where(BrowserSession.token_hash == _hash(token)))


def named_by_proxy(session: Session, settings: DeskSettings, request: Request) -> Person | None:
    """Return the person whom the proxy names; None without one.

    Only requests from the proxy's address get here: see `desk.access`.

    Raises:
        SignInError: the proxy names several people, or one who is not a person of the desk.
    """
    names = request.headers.getall(settings.desk_proxy_header, [])
    if len(names) > 1:          # one of them is the browser's
        raise SignInError(f"{settings.desk_proxy_header} is given {len(names)} times; let the "
                          "proxy remove it from what browsers send")
    if not names or not (name := names[0]):
        return None
    person = session.scalar(select(Person).where(Person.name == name,
                                                 Person.disabled_at.is_(None)))
    if person is None:
        raise SignInError(f"{name} has no account here; an admin adds it")
    return person


def _is_throttled(session: Session, name: str, address: str) -> bool:
    recent = (TrailEntry.action == FAILED, TrailEntry.at > now_ms() - WINDOW_MS)
    limits = ((MOST_FAILURES["account"], (TrailEntry.account == address,
                                          TrailEntry.person == name[:people.LONGEST_NAME])),
              (MOST_FAILURES["person"], (TrailEntry.account == address,)),
              (MOST_FAILURES["person"], (TrailEntry.person == name[:people.LONGEST_NAME],)))
    return any((session.scalar(select(func.count()).select_from(TrailEntry).where(
        *recent, *conditions)) or 0) >= most for most, conditions in limits)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
