"""Pages of analysts: the queue, a case, an account, and the actions on them."""

from __future__ import annotations

from sanic import Blueprint, HTTPResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from desk import accounts, case_view, deciding, lists, outbox, trail, worklist
from desk.access import Refusal, Visit, action, page, to
from desk.database import insert_new
from desk.forms import whole_number
from desk.incidents import incident_of
from desk.intake import case_row, logged_decision
from desk.tables import REVIEW, Case, DecidedPayment
from fraud.clock import now_ms

blueprint = Blueprint("work")
MOST_IDS = 60           # of a form


@page(blueprint, "/queue")
def queue(visit: Visit) -> HTTPResponse:
    """Show the queue, or its next rows."""
    filters = worklist.parse_filters(visit.query)
    rows = worklist.find(visit.session, filters, visit.person, now_ms(), visit.query.get("after"))
    template = "part_rows.html" if visit.is_partial else "queue.html"
    return visit.show(template, filters=filters, rows=rows, views=worklist.VIEWS,
                      load=worklist.load(visit.session, visit.settings, now_ms()),
                      undo=_undoable(visit), sent=outbox.problem(visit.request.app.ctx.database))


@page(blueprint, "/queue/load")
def load(visit: Visit) -> HTTPResponse:
    """Show the work of today; the queue asks for it again and again."""
    return visit.show("part_load.html", load=worklist.load(visit.session, visit.settings, now_ms()),
                      sent=outbox.problem(visit.request.app.ctx.database))


@action(blueprint, "/next")
def take_next(visit: Visit) -> HTTPResponse:
    """Take the next case."""
    return _next(visit, [])


def _next(visit: Visit, decided: list[int]) -> HTTPResponse:
    undo = f"?undo={','.join(map(str, decided))}" if decided else ""
    case_id = worklist.take_next(visit.session, visit.settings, visit.person, now_ms())
    return to(f"/cases/{case_id}{undo}" if case_id else f"/queue{undo}")


@page(blueprint, "/cases/<case_id:int>")
def case_page(visit: Visit, case_id: int) -> HTTPResponse:
    """Show a case."""
    case = _case(visit.session, case_id)
    return visit.show("case.html", undo=_undoable(visit), lists=lists.LISTS,
                      **case_view.contents(visit.session, visit.settings, case,
                                           visit.request.app.ctx.lists, visit.person))


@action(blueprint, "/cases/<case_id:int>/take")
def take(visit: Visit, case_id: int) -> HTTPResponse:
    """Take a case."""
    if not worklist.take(visit.session, visit.settings, visit.person, case_id, now_ms()):
        raise Refusal(409, "Somebody else has this case, or it is decided. Take the next one.")
    return to(f"/cases/{case_id}")


@action(blueprint, "/cases/<case_id:int>/give-back")
def give_back(visit: Visit, case_id: int) -> HTTPResponse:
    """Free a case."""
    worklist.give_back(visit.session, visit.person, case_id)
    return to("/queue")


@action(blueprint, "/cases/<case_id:int>/decide")
def decide(visit: Visit, case_id: int) -> HTTPResponse:
    """Decide a case, and those of its incident that the form names."""
    form, case = visit.request.form, _case(visit.session, case_id)
    named = _ids(",".join(form.getlist("incident", []))) if form else []
    incident = incident_of(visit.session, visit.settings, case) if named else []
    others = [each.id for each in incident if each.id in named]
    decided = deciding.decide(
        visit.session, visit.settings, visit.person, [case_id, *others],
        visit.form.get("outcome", ""), visit.form.get("note", "").strip(), now_ms())
    if case_id not in decided:
        raise Refusal(409, f"Case {case_id} was not decided by you now: it is decided already, or "
                           "somebody else is working on it. Nothing was changed.")
    if visit.form.get("then") == "next":
        return _next(visit, decided)
    return to(f"/cases/{case_id}?undo={','.join(map(str, decided))}")


@action(blueprint, "/cases/<case_id:int>/second")
def second(visit: Visit, case_id: int) -> HTTPResponse:
    """Agree or disagree with the decision of somebody else."""
    deciding.answer_proposal(
        visit.session, visit.settings, visit.person, case_id, visit.form.get("outcome", ""),
        visit.form.get("agrees") == "yes", now_ms())
    return to(f"/cases/{case_id}")


@action(blueprint, "/undo")
def undo(visit: Visit) -> HTTPResponse:
    """Undo decisions."""
    ids = _ids(visit.form.get("ids", ""))
    if not ids:
        raise Refusal(409, "There is nothing to undo.")
    deciding.undo(visit.session, visit.settings, visit.person, ids, now_ms())
    return to(f"/cases/{ids[0]}")


@action(blueprint, "/cases/<case_id:int>/reopen")
def reopen(visit: Visit, case_id: int) -> HTTPResponse:
    """Open a decided case again."""
    deciding.reopen(visit.session, visit.person, case_id)
    return to(f"/cases/{case_id}")


@action(blueprint, "/accounts/search")
def search(visit: Visit) -> HTTPResponse:
    """Lead to an account by its name, which no URL, log or history of a browser gets to see."""
    text = visit.form.get("account", "").strip()
    if not text:
        return to("/queue")
    return to(f"/accounts/{accounts.account_of(text, visit.settings.account_key)}")


@page(blueprint, "/accounts/<account:str>")
def account_page(visit: Visit, account: str) -> HTTPResponse:
    """Show an account."""
    return visit.show("account.html", lists=lists.LISTS, **case_view.of_account(
        visit.session, _pseudonym(account), visit.request.app.ctx.lists))


@action(blueprint, "/accounts/<account:str>/list")
def put_on_list(visit: Visit, account: str) -> HTTPResponse:
    """Put an account on a list."""
    case_id = whole_number(visit.form.get("case_id", ""))
    if case_id is not None:
        payment = _case(visit.session, case_id).payment
        if account not in payment.accounts:
            raise Refusal(409, f"Case {case_id} is not of this account. Nothing was changed.")
    lists.put_on_list(visit, _pseudonym(account), case_id)
    return to(f"/accounts/{account}" if case_id is None else f"/cases/{case_id}")


@action(blueprint, "/accounts/<account:str>/unlist")
def take_off_list(visit: Visit, account: str) -> HTTPResponse:
    """Take an account off a list."""
    lists.take_off_list(visit, _pseudonym(account))
    return to(f"/accounts/{account}")


@action(blueprint, "/payments/open")
def open_case(visit: Visit) -> HTTPResponse:
    """Open a case of any payment: a customer has called, say."""
    payment = visit.session.get(DecidedPayment, visit.form.get("transaction_id", ""))
    if payment is None:
        raise Refusal(404, "The desk has not seen this payment.")
    row = case_row(logged_decision(payment), REVIEW, visit.settings)
    insert_new(visit.session, Case, [row])
    case_id = visit.session.scalar(select(Case.id).where(
        Case.transaction_id == payment.transaction_id))
    trail.record(visit.session, visit.person.name, "opened", case_id=case_id)
    return to(f"/cases/{case_id}")


def _case(session: Session, case_id: int) -> Case:
    case = session.get(Case, case_id)
    if case is None:
        raise Refusal(404, f"There is no case {case_id}.")
    return case


def _pseudonym(account: str) -> str:
    if not accounts.PSEUDONYM.fullmatch(account):
        raise Refusal(404, "There is no such account. Search for it by its name.")
    return account


def _ids(text: str) -> list[int]:
    numbers = map(whole_number, text.split(",")[:MOST_IDS])
    return [number for number in numbers if number is not None]


def _undoable(visit: Visit) -> list[int]:
    """Return those ids of the query that this person can undo now."""
    since = now_ms() - int(visit.settings.desk_undo_seconds * 1_000)
    return list(visit.session.scalars(select(Case.id).where(
        Case.id.in_(_ids(visit.query.get("undo", ""))), Case.decided_by == visit.person.id,
        Case.decided_at > since)))
