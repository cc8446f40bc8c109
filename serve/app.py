"""The Sanic app: one for a server, for several workers, and for Lambda."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from time import monotonic
from types import SimpleNamespace
from typing import TypeAlias

from sanic import Sanic
from sanic.config import Config
from sanic.models.server_types import ConnInfo

from fraud import logs
from fraud.service import Service, limit_garbage_collection
from serve import api, docs, health, problems
from serve.access_log import AccessLog
from serve.keys import Keys
from serve.micro_batching import MicroBatcher
from serve.settings import ServeSettings
from serve.tracing import open_tracer
from serve.workers import stop_with_parent

DRAIN_SECONDS = 2.0         # longer than a busy caller leaves a connection idle
App: TypeAlias = "Sanic[Config, SimpleNamespace]"


def create_app(settings: ServeSettings) -> App:
    """Create the app, with its model loaded and its store opened; its state is on `app.ctx`.

    Raises:
        BundleError: there is no model that may be served.
        SettingsError: a setting cannot be used.
    """
    app = Sanic("fraud", configure_logging=False)
    app.config.update(
        ACCESS_LOG=False, MOTD=False, FALLBACK_ERROR_FORMAT="json",
        REQUEST_MAX_SIZE=settings.body_bytes, REQUEST_TIMEOUT=settings.request_seconds,
        RESPONSE_TIMEOUT=settings.request_seconds,
        GRACEFUL_SHUTDOWN_TIMEOUT=settings.drain_seconds)
    context = app.ctx
    context.settings, context.keys = settings, Keys(settings.api_keys)
    context.service = Service(settings, fallback_on_store_error=True)
    # A slow store must not block the event loop.
    context.use_threads = not settings.history.startswith("memory://")
    context.batcher = MicroBatcher(partial(api.call, context, context.service.score))
    context.access_log = AccessLog(settings.log_level)
    context.is_stopping, context.connections = False, set()
    context.tracer = open_tracer(os.environ)
    app.error_handler.add(Exception, problems.from_exception)
    for blueprint in (api.blueprint, health.blueprint, docs.blueprint):
        app.blueprint(blueprint)
    app.add_signal(partial(_opened, context), "http.lifecycle.begin")
    app.add_signal(partial(_closed, context), "http.lifecycle.complete")
    app.before_server_start(_begin)
    app.before_server_stop(_drain)
    app.after_server_stop(_close)
    return app


def create_worker(settings: ServeSettings) -> App:
    """Create the app of one of several worker processes."""
    logs.configure(settings.log_level)
    app = create_app(settings)
    app.before_server_start(_follow_parent)
    return app


async def _begin(app: App) -> None:
    app.ctx.service.name_model()        # not in a parent process, which serves nothing
    await asyncio.to_thread(app.ctx.service.connect)
    limit_garbage_collection()
    app.add_task(_refresh(app), name="champion")


async def _follow_parent(app: App) -> None:
    app.add_task(stop_with_parent(app), name="parent")


async def _refresh(app: App) -> None:
    while True:
        await asyncio.sleep(app.ctx.settings.model_refresh_seconds)
        await asyncio.to_thread(app.ctx.service.refresh)


async def _opened(context: SimpleNamespace, conn_info: ConnInfo) -> None:
    context.connections.add(conn_info)


async def _closed(context: SimpleNamespace, conn_info: ConnInfo) -> None:
    context.connections.discard(conn_info)


async def _drain(app: App) -> None:
    """Answer with `Connection: close` until callers have left, or `DRAIN_SECONDS` at most.

    Sanic then closes idle connections, also those on which a request is already on its way.
    """
    context = app.ctx
    context.is_stopping = True
    end = monotonic() + min(DRAIN_SECONDS, context.settings.drain_seconds)
    while context.connections and monotonic() < end:
        await asyncio.sleep(0.02)


async def _close(app: App) -> None:
    await app.cancel_task("champion", raise_exception=False)
    app.ctx.service.close()
    if app.ctx.tracer:
        app.ctx.tracer.close()
