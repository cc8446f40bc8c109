"""Pages for everyone: signing in and out, the own password, and routes for machines."""

from __future__ import annotations

import asyncio
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import json
from sqlalchemy import text

from desk import people, sign_in
from desk.access import (
    HOME, Refusal, Visit, action, address_of, check_origin, check_proxy, cookie_name, form_of, page,
    set_cookie, show_to_anyone, to)

blueprint = Blueprint("entrance")


@blueprint.get("/")
async def home(request: Request) -> HTTPResponse:
    """Lead to the queue."""
    return to(HOME)


@blueprint.get("/sign-in")
async def sign_in_page(request: Request) -> HTTPResponse:
    """Ask for name and password."""
    check_proxy(request)
    return show_to_anyone("sign_in.html", problem="", wanted=request.args.get("next", ""))


@blueprint.post("/sign-in", name="sign_in")
async def sign_in_action(request: Request) -> HTTPResponse:
    """Start a session under a new token: one that a browser had before is worth nothing."""
    check_proxy(request)
    check_origin(request)
    return await asyncio.to_thread(_sign_in, request)


def _sign_in(request: Request) -> HTTPResponse:
    context = request.app.ctx
    if context.settings.desk_proxy_header:
        raise Refusal(403, "People sign in with the proxy here.")
    form = form_of(request)
    wanted = form.get("next", HOME)
    try:
        token = sign_in.sign_in(context.database, context.settings, form.get("name", ""),
                                form.get("password", ""), address_of(request))
    except sign_in.SignInError as error:
        return show_to_anyone("sign_in.html", 403, problem=str(error), wanted=wanted)
    response = to(wanted)
    set_cookie(request, response, token)
    return response


@action(blueprint, "/sign-out")
def sign_out(visit: Visit) -> HTTPResponse:
    """End the session."""
    sign_in.sign_out(visit.session, visit.request.cookies.get(cookie_name(visit.request)) or "")
    response = to("/sign-in")
    set_cookie(visit.request, response, "")
    return response


@page(blueprint, "/password")
def password_page(visit: Visit) -> HTTPResponse:
    """Ask for a new password."""
    return visit.show("password.html", shortest=people.SHORTEST_PASSWORD)


@action(blueprint, "/password")
def change_password(visit: Visit) -> HTTPResponse:
    """Change the own password; all sessions end."""
    visit.afterwards.append(partial(_change_password, visit))       # argon2 locks nothing
    return to("/sign-in")


def _change_password(visit: Visit) -> None:
    database, name = visit.request.app.ctx.database, visit.person.name
    sign_in.check_password(database, name, visit.form.get("old", ""), address_of(visit.request))
    with database.writing() as session:
        people.set_password(session, people.by_name(session, name), visit.form.get("new", ""), name)


@blueprint.get("/healthz")
async def healthz(request: Request) -> HTTPResponse:
    """The process answers."""
    return json({"status": "ok"})


@blueprint.get("/readyz")
async def readyz(request: Request) -> HTTPResponse:
    """The database answers."""
    def ask() -> None:
        with request.app.ctx.database.reading() as session:
            session.execute(text("SELECT 1"))

    await asyncio.to_thread(ask)
    return json({"status": "ready"})


@blueprint.get("/metrics")
async def metrics_page(request: Request) -> HTTPResponse:
    """Metrics for Prometheus."""
    return HTTPResponse(generate_latest(), content_type=CONTENT_TYPE_LATEST)
