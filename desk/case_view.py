"""The contents of a case and of an account, as their pages show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from desk import accounts, drawing
from desk.accounts import Movement
from desk.drawing import Network, Picture
from desk.incidents import incident_of
from desk.intake import logged_decision
from desk.lists import KnownLists
from desk.settings import DeskSettings
from desk.tables import OPEN, Case, Delivery, Person, TrailEntry
from desk.worklist import free_for
from fraud.clock import now_ms
from fraud.errors import FraudError
from fraud.rules.rule_set import ListEntry

PICTURED_FLOWS = 20     # rows of the table under the picture of money


@dataclass(frozen=True)
class AccountPart:
    """An account of a case: its payments, the picture of them, and its lists."""

    side: str
    account: str
    movements: list[Movement]
    picture: Picture
    listed: list[ListEntry]


@dataclass(frozen=True)
class MoneyPart:
    """The picture of money around accounts, and its largest flows."""

    picture: Network
    flows: list[accounts.MoneyFlow]


def contents(session: Session, settings: DeskSettings, case: Case, known: KnownLists,
             person: Person) -> dict[str, Any]:
    """Return the values of the template of a case."""
    payment = case.payment
    sides = {"origin": payment.origin}
    if payment.destination and payment.destination != payment.origin:
        sides["destination"] = payment.destination
    names = payment.accounts
    decision = logged_decision(payment)
    largest = max((reason.logit_drop for reason in decision.reasons), default=0.0)
    return {
        "case": case, "payment": payment, "decision": decision,
        "reasons": [(reason, max(reason.logit_drop, 0) / largest if largest > 0 else 0.0)
                    for reason in decision.reasons],
        "parts": [_part(session, side, account, known, payment.transaction_id)
                  for side, account in sides.items()],
        "money": money_around(session, names, payment.event_time),
        "earlier": accounts.cases_of(session, names, without=case.id),
        "incident": incident_of(session, settings, case) if case.status == OPEN else [],
        "trail": session.scalars(select(TrailEntry).where(TrailEntry.case_id == case.id)
                                 .order_by(TrailEntry.id)).all(),
        "deliveries": session.scalars(select(Delivery).where(Delivery.case_id == case.id)
                                      .order_by(Delivery.id)).all(),
        "is_free": bool(session.scalar(select(Case.id).where(
            Case.id == case.id, *free_for(person, now_ms()))))}


def of_account(session: Session, account: str, known: KnownLists) -> dict[str, Any]:
    """Return the values of the template of an account."""
    part = _part(session, "account", account, known)
    latest = max((movement.payment.event_time for movement in part.movements), default=now_ms())
    return {"part": part, "money": money_around(session, {account}, latest),
            "cases": accounts.cases_of(session, {account})}


def money_around(session: Session, names: set[str], until: int) -> MoneyPart:
    """Return the picture of money around accounts until a moment."""
    flows = accounts.flows_around(session, names, until)
    return MoneyPart(drawing.network(flows, names), flows[:PICTURED_FLOWS])


def _part(session: Session, side: str, account: str, known: KnownLists,
          marked: str = "") -> AccountPart:
    movements = accounts.movements(session, account)
    try:
        listed = known.of_account(account)
    except FraudError:          # the case is shown without lists; changing them says why
        listed = []
    return AccountPart(side, account, movements, drawing.timeline(
        f"Payments of account {account[:8]} in time", movements, marked), listed)
