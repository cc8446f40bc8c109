"""Accounts: their pseudonyms, recent payments, cases, and the money around them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from desk.forms import FormError
from desk.tables import Case, DecidedPayment
from fraud.clock import DAY_MS
from fraud.pseudonym import pseudonym

RECENT = 40                 # payments of an account that are shown
MONEY_DAYS = 30             # of the picture of money
MOST_PAYMENTS = 400         # that it is drawn from
PSEUDONYM = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Movement:
    """A payment of an account, as the account's holder sees it."""

    payment: DecidedPayment
    is_sent: bool
    other: str | None           # the account at the other end
    case: Case | None


@dataclass(frozen=True)
class MoneyFlow:
    """The money that went from one account to another."""

    origin: str
    destination: str
    cents: int
    payments: int
    is_fraud: bool              # one of them is labelled as fraud


def account_of(text: str, key: str) -> str:
    """Return the pseudonym of an account that somebody has typed: a name or a pseudonym.

    Raises:
        FormError: it is a name, and there is no key to find its pseudonym.
    """
    if PSEUDONYM.fullmatch(text):
        return text
    if not key:
        raise FormError("FRAUD_ACCOUNT_KEY is not set, so that names cannot be found; set the "
                        "key of the servers, or search for a pseudonym of 32 hexadecimal digits")
    return pseudonym(key.encode(), text)


def last_payments(session: Session, accounts: Collection[str], most: int,
                  *conditions: ColumnElement[bool]) -> dict[str, DecidedPayment]:
    """Return the newest payments that accounts have sent, and received, by transaction_id.

    Args:
        most: payments sent, and payments received.
    """
    payments: dict[str, DecidedPayment] = {}
    for side in (DecidedPayment.origin, DecidedPayment.destination):
        query = select(DecidedPayment).where(side.in_(accounts), *conditions)
        payments |= {payment.transaction_id: payment for payment in session.scalars(
            query.order_by(DecidedPayment.event_time.desc()).limit(most))}
    return payments


def movements(session: Session, account: str) -> list[Movement]:
    """Return the last payments of an account, the newest first."""
    payments = last_payments(session, [account], RECENT).values()
    newest = sorted(payments, key=lambda payment: -payment.event_time)[:RECENT]
    cases = _cases(session, [payment.transaction_id for payment in newest])
    return [Movement(payment, payment.origin == account,
                     payment.destination if payment.origin == account else payment.origin,
                     cases.get(payment.transaction_id)) for payment in newest]


def _cases(session: Session, ids: Sequence[str]) -> dict[str, Case]:
    query = select(Case).where(Case.transaction_id.in_(ids))
    return {case.transaction_id: case for case in session.scalars(query)}


def cases_of(session: Session, accounts: Collection[str], without: int | None = None) -> list[Case]:
    """Return the last cases of accounts, the newest first."""
    query = (select(Case).join(Case.payment).where(
        DecidedPayment.is_of(accounts))
        .order_by(Case.opened_at.desc()).limit(RECENT))
    return [case for case in session.scalars(query) if case.id != without]


def flows_around(session: Session, accounts: Collection[str], until: int) -> list[MoneyFlow]:
    """Return the money between accounts, their partners, and those partners' partners.

    Args:
        until: ms since the epoch; the picture covers the `MONEY_DAYS` before.
    """
    days = DecidedPayment.event_time.between(until - MONEY_DAYS * DAY_MS + 1, until)
    payments = last_payments(session, accounts, MOST_PAYMENTS, days)
    ends = set().union(*(payment.accounts for payment in payments.values()))
    payments |= last_payments(session, ends - set(accounts), MOST_PAYMENTS, days)
    frauds = _frauds(session, list(payments))
    sums: dict[tuple[str, str], MoneyFlow] = {}
    for payment in payments.values():
        if payment.destination is None:
            continue
        key = (payment.origin, payment.destination)
        flow = sums.get(key, MoneyFlow(*key, 0, 0, False))
        sums[key] = MoneyFlow(*key, flow.cents + payment.amount_cents, flow.payments + 1,
                              flow.is_fraud or payment.transaction_id in frauds)
    return sorted(sums.values(), key=lambda flow: -flow.cents)


def _frauds(session: Session, ids: Sequence[str]) -> set[str]:
    return set(session.scalars(select(Case.transaction_id).where(
        Case.transaction_id.in_(ids), Case.outcome == "fraud")))
