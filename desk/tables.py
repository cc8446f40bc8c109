"""Tables of the desk. `desk/migrations` creates and changes them.

Times are ms since the epoch, UTC; money is cents. Accounts are pseudonyms.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import (
    BigInteger, ColumnElement, Float, ForeignKey, Index, Integer, LargeBinary, Text, TypeDecorator,
    or_)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Role = Literal["analyst", "lead", "admin"]
ROLES: tuple[Role, ...] = ("analyst", "lead", "admin")      # each may do what those before may
Outcome = Literal["fraud", "legitimate", "unsure"]
OUTCOMES: tuple[Outcome, ...] = ("fraud", "legitimate", "unsure")

OPEN, SECOND, CLOSED = "open", "second", "closed"           # second: waits for a second person
REVIEW = "review"       # kind of the cases that were asked for; of samples, it is the decision

ESCAPE = "\ue000"       # a private character


class AnyText(TypeDecorator[str]):
    """Text that may hold null bytes, which PostgreSQL refuses: they are escaped."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or ("\0" not in value and ESCAPE not in value):
            return value
        return value.replace(ESCAPE, ESCAPE + "1").replace("\0", ESCAPE + "0")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or ESCAPE not in value:
            return value
        return value.replace(ESCAPE + "0", "\0").replace(ESCAPE + "1", ESCAPE)


class Base(DeclarativeBase):
    """The tables."""

    type_annotation_map = {
        int: BigInteger().with_variant(Integer, "sqlite"),      # SQLite counts INTEGER only
        str: AnyText, float: Float, bytes: LargeBinary}


class DecidedPayment(Base):
    """A payment of the decision log."""

    __tablename__ = "payments"

    transaction_id: Mapped[str] = mapped_column(primary_key=True)
    decided_at: Mapped[int] = mapped_column(index=True)
    event_time: Mapped[int]
    type: Mapped[str]
    amount_cents: Mapped[int]
    origin: Mapped[str]
    destination: Mapped[str | None]
    score: Mapped[float]
    decision: Mapped[str]
    model_version: Mapped[str]
    shadow_decision: Mapped[str | None]     # of a challenger, where one scored
    line: Mapped[bytes] = mapped_column(deferred=True)      # of the log: zlib; read where needed

    @property
    def accounts(self) -> set[str]:
        """Origin, and destination if there is one."""
        return {self.origin, self.destination or self.origin}

    @classmethod
    def is_of(cls, accounts: Collection[str]) -> ColumnElement[bool]:
        """Return the condition that one of these accounts is its origin or destination."""
        return or_(cls.origin.in_(accounts), cls.destination.in_(accounts))

    __table_args__ = (Index("payments_of_origin", "origin", "event_time"),
                      Index("payments_to_destination", "destination", "event_time"))


class Case(Base):
    """A payment that someone looks at."""

    __tablename__ = "cases"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    transaction_id: Mapped[str] = mapped_column(ForeignKey("payments.transaction_id"), unique=True)
    kind: Mapped[str]
    status: Mapped[str]
    type: Mapped[str]
    amount_cents: Mapped[int]
    expected_loss: Mapped[float]            # probability times amount, currency units
    rules: Mapped[str]                      # `,list:NAME,rule:NAME,`
    opened_at: Mapped[int]
    due_at: Mapped[int]
    taken_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    taken_until: Mapped[int | None]
    outcome: Mapped[str | None]
    note: Mapped[str] = mapped_column(default="")
    decided_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    decided_at: Mapped[int | None] = mapped_column(index=True)
    confirmed_by: Mapped[int | None] = mapped_column(ForeignKey("people.id"))
    incident_id: Mapped[str | None]         # of the decision, where it was made for several cases

    payment: Mapped[DecidedPayment] = relationship(lazy="joined", innerjoin=True)
    taker: Mapped[Person | None] = relationship(foreign_keys=[taken_by], lazy="joined")
    decider: Mapped[Person | None] = relationship(foreign_keys=[decided_by], lazy="joined")

    __table_args__ = (Index("cases_by_loss", "status", "kind", "expected_loss", "id", "type",
                            "amount_cents", "rules"),      # filters read nothing but the index
                      Index("cases_by_due_time", "status", "kind", "due_at"),
                      Index("cases_by_opening", "opened_at"),
                      Index("cases_by_taker", "taken_by"))


class Person(Base):
    """A person who may sign in."""

    __tablename__ = "people"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    password_hash: Mapped[str]              # argon2id
    created_at: Mapped[int]
    disabled_at: Mapped[int | None]


class BrowserSession(Base):
    """A browser in which a person has signed in."""

    __tablename__ = "sessions"

    token_hash: Mapped[str] = mapped_column(primary_key=True)      # sha256 of the cookie
    person_id: Mapped[int] = mapped_column(ForeignKey("people.id"))
    csrf_token: Mapped[str]
    expires_at: Mapped[int]

    person: Mapped[Person] = relationship(lazy="joined", innerjoin=True)


class TrailEntry(Base):
    """An action, never changed or deleted: triggers of the database refuse it."""

    __tablename__ = "trail"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[int]
    person: Mapped[str]                     # a name; of a failed sign-in, the one that was given
    action: Mapped[str]
    case_id: Mapped[int | None] = mapped_column(ForeignKey("cases.id"), index=True)
    account: Mapped[str | None]
    detail: Mapped[str]

    __table_args__ = (Index("trail_by_action", "action", "at"),)


class Delivery(Base):
    """The outbox: a label or an event that leaves the desk once its decision cannot be undone."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    case_id: Mapped[int] = mapped_column(ForeignKey("cases.id"), index=True)
    kind: Mapped[str]                       # label, event
    body: Mapped[str]                       # JSON
    decided_at: Mapped[int | None]          # that of the case
    send_from: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    error: Mapped[str] = mapped_column(default="")
    sent_at: Mapped[int | None]
    cancelled_at: Mapped[int | None]

    __table_args__ = (Index("outbox_waiting", "kind", "sent_at", "cancelled_at", "send_from"),)


class ReadPosition(Base):
    """The part of a decision log that has been read."""

    __tablename__ = "log_positions"

    source: Mapped[str] = mapped_column(primary_key=True)   # of a file, sha256 of its first line
    name: Mapped[str]                       # for people
    position: Mapped[int]                   # bytes of the uncompressed file; offset of a topic
