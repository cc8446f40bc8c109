"""The Sanic app of the desk: pages, and threads that read decision logs and send labels."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from types import SimpleNamespace
from typing import TypeAlias

from sanic import Request, Sanic
from sanic.config import Config
from sanic.response import BaseHTTPResponse
from sqlalchemy import select

from desk import (
    access, metrics, outbox, pages_entrance, pages_lead, pages_work, people, views, worklist)
from desk.database import Database
from desk.intake import Intake
from desk.lists import KnownLists
from desk.settings import DeskSettings
from desk.sinks import sinks
from desk.tables import Person
from fraud.clock import now_ms
from fraud.rules.publication import RulePublisher

DeskApp: TypeAlias = "Sanic[Config, SimpleNamespace]"

BODY_BYTES = 65_536
STATIC = "/static/"
MEASURE_SECONDS = 10.0
CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
       "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
HEADERS = {
    "Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()"}
log = logging.getLogger(__name__)


def create_desk(settings: DeskSettings, database: Database) -> DeskApp:
    """Create the app on a migrated database; its state is on `app.ctx`."""
    app = Sanic("desk", configure_logging=False)
    app.config.update(ACCESS_LOG=False, MOTD=False, REQUEST_MAX_SIZE=BODY_BYTES,
                      GRACEFUL_SHUTDOWN_TIMEOUT=settings.drain_seconds)
    context = app.ctx
    context.settings, context.database = settings, database
    context.lists = KnownLists(RulePublisher(
        settings.rules_location, settings.model, settings.account_key))
    context.logged_payments, context.stop, context.threads = None, threading.Event(), []
    app.error_handler.add(Exception, access.refused)
    for pages in (pages_entrance, pages_work, pages_lead):
        app.blueprint(pages.blueprint)
    app.static(STATIC, views.FOLDER / "static")
    app.register_middleware(_start_clock, "request")
    app.register_middleware(_finish, "response")
    app.after_server_start(_start_threads)
    app.before_server_stop(_stop_threads)
    return app


def first_admin(database: Database) -> str | None:
    """Add the person `admin` if there is nobody, and return the password; else None."""
    with database.writing() as session:
        if session.scalar(select(Person.id).limit(1)):
            return None
        return people.add(session, "admin", "admin", "first start")


async def _start_clock(request: Request) -> None:
    request.ctx.started = time.perf_counter()


async def _finish(request: Request, response: BaseHTTPResponse) -> None:
    """Add the headers of every answer, and measure and log it: paths hold no names."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    is_asset = request.path.startswith(STATIC)
    response.headers["Cache-Control"] = "no-cache" if is_asset else "no-store"
    if request.app.ctx.settings.is_secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    seconds = time.perf_counter() - getattr(request.ctx, "started", time.perf_counter())
    metrics.REQUESTS.labels(str(response.status)).observe(seconds)
    log.debug("%s %s %s in %.3f s", request.method, request.path, response.status, seconds)


async def _start_threads(app: DeskApp) -> None:
    context = app.ctx
    followers: list[Intake | outbox.Outbox] = [
        Intake(context.settings, context.database),
        *(outbox.Outbox(context.database, kind, sink)
          for kind, sink in sinks(context.settings).items())]
    for follower in followers:
        thread = threading.Thread(target=follower.follow, args=(context.stop,), daemon=True)
        thread.start()
        context.threads.append(thread)
    app.add_task(_measure(app), name="measure")


async def _measure(app: DeskApp) -> None:
    while True:
        load = await asyncio.to_thread(_load, app)
        metrics.OPEN_CASES.set(load.open)
        metrics.OVERDUE_CASES.set(load.overdue)
        await asyncio.sleep(MEASURE_SECONDS)


def _load(app: DeskApp) -> worklist.Load:
    with app.ctx.database.reading() as session:
        return worklist.load(session, app.ctx.settings, now_ms())


async def _stop_threads(app: DeskApp) -> None:
    await app.cancel_task("measure", raise_exception=False)
    app.ctx.stop.set()
    for thread in app.ctx.threads:
        await asyncio.to_thread(thread.join, app.ctx.settings.drain_seconds)
    app.ctx.database.close()
