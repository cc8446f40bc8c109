"""Access: every page has a signed-in person, a role, and a token that other sites do not know."""

from __future__ import annotations

import asyncio
import functools
import hmac
import ipaddress
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

from sanic import Blueprint, HTTPResponse, Request
from sanic.exceptions import SanicException
from sanic.response import html
from sqlalchemy.orm import Session

from desk import people, sign_in, views
from desk.settings import DeskSettings
from desk.tables import Person, Role
from fraud.errors import FraudError

PATH = re.compile(r"/[A-Za-z0-9][A-Za-z0-9/_.~%-]*(\?[A-Za-z0-9=&:_.,~%+-]*)?")     # of this site
HOME = "/queue"
log = logging.getLogger(__name__)


class Refusal(Exception):
    """A request that is not answered as asked."""

    def __init__(self, status: int, message: str):
        super().__init__(status, message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Visit:
    """A request of a person, in a transaction."""

    request: Request
    session: Session
    person: Person
    csrf_token: str
    afterwards: list[Callable[[], object]]      # is called once the transaction is committed

    @property
    def settings(self) -> DeskSettings:
        return cast(DeskSettings, self.request.app.ctx.settings)

    @property
    def form(self) -> dict[str, str]:
        """The first value of each field."""
        return form_of(self.request)

    @property
    def query(self) -> dict[str, str]:
        """The first value of each parameter."""
        return {name: values[0] for name, values in self.request.args.items()}

    @property
    def is_partial(self) -> bool:
        """True if a script asks for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    def show(self, template: str, status: int = 200, **values: Any) -> HTTPResponse:
        """Return a page, or a part of one."""
        return html(views.render(template, visit=self, person=self.person,
                                 csrf=self.csrf_token, settings=self.settings, **values), status)


Handler = Callable[..., HTTPResponse]


def page(blueprint: Blueprint, path: str, role: Role = "analyst") -> Callable[[Handler], Handler]:
    """Decorate the handler of a page, which reads."""
    return _route(blueprint, path, "GET", role)


def action(blueprint: Blueprint, path: str, role: Role = "analyst") -> Callable[[Handler], Handler]:
    """Decorate the handler of an action, which changes: all of it happens, or nothing."""
    return _route(blueprint, path, "POST", role)


def _route(blueprint: Blueprint, path: str, method: str,
           role: Role) -> Callable[[Handler], Handler]:
    def decorate(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def run(request: Request, **parameters: Any) -> HTTPResponse:
            return await asyncio.to_thread(_answer, handler, request, role, parameters)

        blueprint.add_route(run, path, methods=[method], name=handler.__name__)
        return handler
    return decorate


def _answer(handler: Handler, request: Request, role: Role,
            parameters: dict[str, Any]) -> HTTPResponse:
    """Answer in a worker thread: the database and the drawing must not hold up others."""
    database, writes = request.app.ctx.database, request.method == "POST"
    check_proxy(request)
    if any(isinstance(value, int) and value >= 2**62 for value in parameters.values()):
        raise Refusal(404, "There is no such page.")        # databases have no such number
    token, started = request.cookies.get(cookie_name(request)), False
    if request.app.ctx.settings.desk_proxy_header:
        token, started = _session_of_proxy(request, token)
    with (database.writing if writes else database.reading)() as session:
        found = sign_in.find_session(session, token or "")
        if found is None:
            return _ask_to_sign_in(request)
        if writes:
            check_origin(request)
            given = request.headers.get("x-csrf-token") or form_of(request).get("csrf", "")
            if not hmac.compare_digest(given.encode(), found.csrf_token.encode()):
                raise Refusal(403, "This form is out of date. Go back, reload the page and send "
                                   "it again.")
        if not people.may(found.person, role):
            raise Refusal(403, f"This page is for the role {role}; yours is {found.person.role}. "
                               "An admin can change it.")
        visit = Visit(request, session, found.person, found.csrf_token, [])
        with _refusals(409 if writes else 400):
            response = handler(visit, **parameters)
    with _refusals(409):
        for call in visit.afterwards:
            call()
    if started:
        set_cookie(request, response, cast(str, token))
    return response


@contextmanager
def _refusals(status: int) -> Iterator[None]:
    """Turn user-fixable errors into refusals."""
    try:
        yield
    except FraudError as error:
        raise Refusal(status, str(error)) from error


def _session_of_proxy(request: Request, token: str | None) -> tuple[str | None, bool]:
    """Return the session of the person whom the proxy names, a new one where it is another's."""
    context = request.app.ctx
    with context.database.reading() as session, _refusals(403):
        person = sign_in.named_by_proxy(session, context.settings, request)
        found = sign_in.find_session(session, token or "")
        if person is None or (found and found.person_id == person.id):
            return (token if person else None), False
    with context.database.writing() as session:
        return sign_in.start_session(session, context.settings, person), True


def _ask_to_sign_in(request: Request) -> HTTPResponse:
    if request.headers.get("hx-request"):
        return HTTPResponse(status=200, headers={"HX-Redirect": "/sign-in"})
    wanted = request.path + (f"?{request.query_string}" if request.query_string else "")
    target = f"/sign-in?next={quote(wanted, safe='')}" if request.method == "GET" else "/sign-in"
    return to(target)


def to(path: str) -> HTTPResponse:
    """Return a redirect to a path of this site; elsewhere is never gone to."""
    return HTTPResponse(status=303, headers={"Location": path if PATH.fullmatch(path) else HOME})


def form_of(request: Request) -> dict[str, str]:
    """Return the first value of each field of a form."""
    return {name: values[0] for name, values in (request.form or {}).items()}


def check_proxy(request: Request) -> None:
    """Refuse requests that go around the proxy, where there is one.

    Raises:
        Refusal: this one does.
    """
    proxy = request.app.ctx.settings.desk_proxy_address
    if proxy and not _is_inside(request.ip, proxy):
        raise Refusal(403, "This desk is reached through its proxy only.")


def check_origin(request: Request) -> None:
    """Refuse forms that another site sends.

    Raises:
        Refusal: this one is.
    """
    origin = request.headers.get("origin")
    if (origin and origin.partition("://")[2] != request.host) or (
            request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")):
        raise Refusal(403, "This form was sent by another site.")


def address_of(request: Request) -> str:
    """Return the address of the browser, as the proxy says where there is one."""
    forwarded = request.headers.get("x-forwarded-for", "")
    if request.app.ctx.settings.desk_proxy_address and forwarded:
        return forwarded.rpartition(",")[2].strip()[:64]
    return request.ip


def cookie_name(request: Request) -> str:
    return "__Host-desk" if request.app.ctx.settings.is_secure else "desk"


def set_cookie(request: Request, response: HTTPResponse, token: str) -> None:
    """Keep a session in the browser; an empty token ends it."""
    settings = request.app.ctx.settings
    response.add_cookie(
        cookie_name(request), token, path="/", httponly=True, samesite="Lax",
        secure=settings.is_secure,
        max_age=int(settings.desk_session_hours * 3_600) if token else 0)


def refused(request: Request, error: Exception) -> HTTPResponse:
    """Return the page of an error, without internals."""
    status, message = 500, ("Something failed, and nothing was changed. Try again; the log of the "
                            "desk says more.")
    if isinstance(error, Refusal):
        status, message = error.status, error.message
    elif isinstance(error, UnicodeError):
        status, message = 400, "The request holds bytes that are not text."
    elif isinstance(error, SanicException) and error.status_code < 500:
        status = error.status_code
        message = ("There is no such page." if status == 404 else
                   f"The request cannot be answered: {error}")
    else:
        log.error("a page failed: %s %s", request.method, request.path, exc_info=error)
    template = "part_error.html" if request.headers.get("hx-request") else "error.html"
    return show_to_anyone(template, status, message=message)


def show_to_anyone(template: str, status: int = 200, **values: str) -> HTTPResponse:
    """Return a page for which nobody needs to sign in."""
    return html(views.render(template, person=None, csrf="", **values), status)


def _is_inside(address: str, network: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return mapped in ipaddress.ip_network(network)
