"""The app as a Lambda function: `awslambdaric` calls `handler` with events of an HTTP API."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mangum import Mangum

from fraud import clock, logs
from fraud.settings import SettingsError, from_environment
from serve import metrics
from serve.app import App, create_app
from serve.embedded_metrics import EmbeddedMetrics
from serve.settings import ServeSettings

TEXT = ("text/", "application/json", "application/problem+json", "application/x-ndjson")
NOT_PUBLIC = ("/metrics",)      # not on the gateway's routes; a direct invocation gets 404 too
Event = dict[str, Any]
Scope = dict[str, Any]
Asgi = Callable[[Scope, Any, Any], Awaitable[None]]


class Function:
    """The app with its ASGI lifespan run once, on an event loop that all invocations share.

    Raises:
        BundleError: there is no model that may be served.
        SettingsError: a setting cannot be used, or there is no API key.
    """

    def __init__(self) -> None:
        self._settings = from_environment(os.environ, ServeSettings)
        if not self._settings.api_keys:
            raise SettingsError("FRAUD_API_KEYS is empty, which would open the API to everyone on "
                                "Lambda; create a key with python -m serve.keys")
        logs.configure(self._settings.log_level)
        logging.getLogger("mangum").setLevel(logging.WARNING)      # the app logs each request
        self._app = create_app(self._settings)
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_start(self._app))
        self._adapter = Mangum(_with_raw_path(self._app), lifespan="off",
                               text_mime_types=list(TEXT))
        self._refreshed = time.monotonic()
        self._metrics = EmbeddedMetrics(
            metrics.ALL, os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "fraud"))
        self._log = open(1, "ab", 0, closefd=False)     # like the decision log: one event a line

    def __call__(self, event: Event, context: object) -> Event:
        """Answer one event of an API Gateway HTTP API (payload format 2.0)."""
        if event.get("rawPath") in NOT_PUBLIC:
            return {"statusCode": 404}
        if time.monotonic() - self._refreshed >= self._settings.model_refresh_seconds:
            self._refreshed = time.monotonic()
            self._app.ctx.service.refresh()
        answer: Event = self._adapter(event, context)
        self._log.write(self._metrics.lines(clock.now_ms()))
        return answer


async def _start(app: App) -> None:
    """Start the app as an ASGI server would; Lambda freezes it and never shuts it down."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    requests: asyncio.Queue[Scope] = asyncio.Queue()
    await requests.put({"type": "lifespan.startup"})

    async def send(message: Scope) -> None:
        if not started.done():
            started.set_result(message["type"])

    app.ctx.lifespan = asyncio.ensure_future(
        app({"type": "lifespan", "asgi": {"version": "3.0"}}, requests.get, send))
    await asyncio.wait([started, app.ctx.lifespan], return_when=asyncio.FIRST_COMPLETED)


def _with_raw_path(app: App) -> Asgi:
    async def with_raw_path(scope: Scope, receive: Any, send: Any) -> None:
        scope["raw_path"] = scope["path"].encode()      # Mangum leaves None, Sanic needs it
        await app(scope, receive, send)

    return with_raw_path


handler = Function()        # at import: Lambda's init phase has more CPU than an invocation
