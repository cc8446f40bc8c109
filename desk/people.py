"""People who may sign in: add, change and list them.

    python -m desk.people add ana --role lead       prints a password, once
    python -m desk.people password ana              the same for a new password
    python -m desk.people disable ana
    python -m desk.people list

The role analyst decides cases, lead sees figures and publishes thresholds too, and admin looks
after people too. FRAUD_DESK_DATABASE names the database.
"""

from __future__ import annotations

import os
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from desk import trail
from desk.database import Database
from desk.settings import read_desk_settings
from desk.tables import ROLES, BrowserSession, Person, Role
from fraud.clock import now_ms
from fraud.command_line import Arguments, command, parser
from fraud.errors import FraudError

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 200      # argon2 reads all of it
LONGEST_NAME = 64

_hasher = PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_urlsafe())     # an unknown name takes as long as a known one


class PersonError(FraudError):
    """A person that cannot be added or changed. The message names the value and the fix."""


def add(session: Session, name: str, role: str, by: str) -> str:
    """Add a person and return the password.

    Raises:
        PersonError: the name is taken or cannot be used, or there is no such role.
    """
    if not name.isprintable() or not 1 <= len(name) <= LONGEST_NAME or name != name.strip():
        raise PersonError(f"the name is {name!r}; give 1 to {LONGEST_NAME} characters")
    _check_role(role)
    if session.scalar(select(Person.id).where(Person.name == name)):
        raise PersonError(f"{name} is there already; choose another name")
    password = secrets.token_urlsafe(12)
    session.add(Person(name=name, role=role, password_hash=_hasher.hash(password),
                       created_at=now_ms()))
    trail.record(session, by, "person-added", detail=f"{name}: {role}")
    return password


def by_name(session: Session, name: str) -> Person:
    """Return a person.

    Raises:
        PersonError: there is none of this name.
    """
    person = session.scalar(select(Person).where(Person.name == name))
    if person is None:
        raise PersonError(f"there is no {name!r}; python -m desk.people list shows all")
    return person


def authenticated(session: Session, name: str, password: str) -> Person | None:
    """Return the person of this name and password; None if there is none, or a disabled one."""
    person = session.scalar(select(Person).where(Person.name == name))
    try:
        _hasher.verify(person.password_hash if person else _NOBODY, password[:LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        return None
    return person if person and not person.disabled_at else None


def new_password(session: Session, person: Person, by: str) -> str:
    """Give a person a random password, end all sessions, and return the password."""
    password = secrets.token_urlsafe(12)
    set_password(session, person, password, by)
    return password


def set_password(session: Session, person: Person, password: str, by: str) -> None:
    """Give a person a password, and end all sessions.

    Raises:
        PersonError: it is too short or too long.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise PersonError(f"the password has {len(password)} characters; use "
                          f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD}")
    person.password_hash = _hasher.hash(password)
    _end_sessions(session, person)
    trail.record(session, by, "password-changed", detail=person.name)


def change(session: Session, person: Person, by: str, *, role: str | None = None,
           disabled: bool | None = None) -> None:
    """Change the role of a person, or disable or enable one; sessions end.

    Raises:
        PersonError: there is no such role, or no admin would be left.
    """
    if role is not None:
        _check_role(role)
        person.role = role
        trail.record(session, by, "role-changed", detail=f"{person.name}: {role}")
    if disabled is not None:
        person.disabled_at = now_ms() if disabled else None
        trail.record(session, by, "disabled" if disabled else "enabled", detail=person.name)
    _end_sessions(session, person)
    session.flush()
    if not session.scalar(select(Person.id).where(Person.role == "admin",
                                                  Person.disabled_at.is_(None)).limit(1)):
        raise PersonError(f"{person.name} is the only admin; make somebody else one first")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise PersonError(f"the role is {role!r}; choose {', '.join(ROLES)}")


def may(person: Person, role: Role) -> bool:
    """Return True if a person may do what a role may."""
    return ROLES.index(role) <= ROLES.index(person.role)


def _end_sessions(session: Session, person: Person) -> None:
    session.execute(delete(BrowserSession).where(BrowserSession.person_id == person.id))


def _list(session: Session) -> str:
    lines = [f"{person.name:<24} {person.role:<8} {'disabled' if person.disabled_at else ''}"
             for person in session.scalars(select(Person).order_by(Person.name))]
    return "\n".join(lines) or "nobody may sign in yet; python -m desk.people add NAME"


@command
def main(arguments: Arguments) -> None:
    root = parser("python -m desk.people", __doc__)
    root.add_argument("action", choices=("add", "password", "disable", "enable", "list"))
    root.add_argument("name", nargs="?", help="of the person")
    root.add_argument("--role", choices=ROLES, default="analyst", help="(default %(default)s)")
    options = root.parse_args(arguments)
    if options.action != "list" and not options.name:
        raise PersonError(f"{options.action} needs a name; give it after {options.action}")
    database = Database(read_desk_settings(os.environ).desk_database)
    database.migrate()
    with database.writing() as session:
        print(_run(session, options.action, options.name, options.role))


def _run(session: Session, action: str, name: str, role: str) -> str:
    by = "command line"
    if action == "list":
        return _list(session)
    if action == "add":
        return f"{name} signs in with the password {add(session, name, role, by)}"
    person = by_name(session, name)
    if action == "password":
        return f"{name} signs in with the password {new_password(session, person, by)}"
    change(session, person, by, disabled=action == "disable")
    return f"{name} is {action}d"


if __name__ == "__main__":
    main()
