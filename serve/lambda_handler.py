"""The same app as a Lambda function: `awslambdaric` calls `handler` with events of an HTTP API."""

from __future__ import annotations

import asyncio
import logging
import os
import time

from mangum import Mangum

from fraud import logs
from fraud.settings import SettingsError, from_environment
from serve import metrics
from serve.app import create_app
from serve.embedded_metrics import EmbeddedMetrics
from serve.settings import ServeSettings

TEXT = ("text/", "application/json", "application/problem+json", "application/x-ndjson")
NOT_PUBLIC = ("/metrics",)      # the gateway does not lead here; neither does a direct invocation


def _start():
    """The app with its ASGI lifespan run once, on a loop that stays for all invocations."""
    settings = from_environment(os.environ, ServeSettings)
    if not settings.api_keys:
        raise SettingsError("FRAUD_API_KEYS is empty: on Lambda the API would be open to everyone")
    logs.configure(settings.log_level)
    logging.getLogger("mangum").setLevel(logging.WARNING)       # the app logs each request itself
    app = create_app(settings)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(_lifespan(app))
    return settings, app, Mangum(
        _with_raw_path(app), lifespan="off", text_mime_types=list(TEXT))


async def _lifespan(app) -> None:
    """Start the app as an ASGI server would; it is never shut down, only frozen."""
    started: asyncio.Future = asyncio.get_running_loop().create_future()
    requests = asyncio.Queue()
    await requests.put({"type": "lifespan.startup"})

    async def send(message: dict) -> None:
        if not started.done():
            started.set_result(message["type"])

    app.ctx.lifespan = asyncio.ensure_future(
        app({"type": "lifespan", "asgi": {"version": "3.0"}}, requests.get, send))
    await asyncio.wait([started, app.ctx.lifespan], return_when=asyncio.FIRST_COMPLETED)


def _with_raw_path(app):
    async def with_raw_path(scope: dict, receive, send) -> None:
        scope["raw_path"] = scope["path"].encode()      # Mangum leaves None, Sanic needs it
        await app(scope, receive, send)

    return with_raw_path


_settings, _app, _adapter = _start()
_checked = time.monotonic()
_embedded = EmbeddedMetrics(metrics.ALL, os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "fraud"))
_log = open(1, "ab", 0, closefd=False)      # as the log of decisions: one event a line


def handler(event: dict, context) -> dict:
    """Answer one event of an API Gateway HTTP API (payload format 2.0)."""
    global _checked
    if event.get("rawPath") in NOT_PUBLIC:
        return {"statusCode": 404}
    if time.monotonic() - _checked >= _settings.model_seconds:
        _checked = time.monotonic()
        _app.ctx.service.refresh()
    answer = _adapter(event, context)
    _log.write(_embedded.lines(time.time_ns() // 1_000_000))
    return answer
