"""The Sanic app: one for a server, for several workers, and for Lambda."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from types import SimpleNamespace
from typing import TypeAlias

from sanic import Sanic
from sanic.config import Config

from fraud import logs
from fraud.service import Service
from serve import api, docs, health, problems
from serve.keys import Keys
from serve.micro_batching import MicroBatcher
from serve.settings import ServeSettings
from serve.tracing import open_tracer

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
    context.is_stopping, context.tracer = False, open_tracer(os.environ)
    app.error_handler.add(Exception, problems.from_exception)
    for blueprint in (api.blueprint, health.blueprint, docs.blueprint):
        app.blueprint(blueprint)
    app.before_server_start(_follow_champion)
    app.before_server_stop(_drain)
    app.after_server_stop(_close)
    return app


def create_worker(settings: ServeSettings) -> App:
    """Create the app of one of several worker processes."""
    logs.configure(settings.log_level)
    return create_app(settings)


async def _follow_champion(app: App) -> None:
    app.ctx.service.name_model()        # not in a parent process, which serves nothing
    app.add_task(_refresh(app), name="champion")


async def _refresh(app: App) -> None:
    while True:
        await asyncio.sleep(app.ctx.settings.model_refresh_seconds)
        await asyncio.to_thread(app.ctx.service.refresh)


async def _drain(app: App) -> None:
    """Stop keeping connections alive: busy callers would otherwise hold theirs until the end."""
    app.ctx.is_stopping = True


async def _close(app: App) -> None:
    await app.cancel_task("champion", raise_exception=False)
    app.ctx.service.close()
    if app.ctx.tracer:
        app.ctx.tracer.close()
