"""Observation of requests: a request id, an access line and the latency of each."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sanic import HTTPResponse, Request
from sanic.exceptions import RequestCancelled
from sanic.http import Http

from serve import problems
from serve.metrics import OWNED_REQUESTS, REQUESTS

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
Handler = Callable[..., Awaitable[HTTPResponse]]
access = logging.getLogger("serve.access")


def instrumented(handler: Handler) -> Handler:
    """Decorate a handler with a request id, an access line and a measured latency.

    Errors become problem details here, so that their responses are observed too.
    """
    @wraps(handler)
    async def observed(request: Request, **arguments: Any) -> HTTPResponse:
        started = time.perf_counter()
        if _is_gone(request):
            raise RequestCancelled      # no caller would receive the answer: the server stops
        try:
            response = await handler(request, **arguments)
        except Exception as error:
            response = problems.from_exception(request, error)
        if request.app.ctx.is_stopping and isinstance(request.stream, Http):
            request.stream.keep_alive = False       # the caller reconnects, to another server
        _observe(request, response, time.perf_counter() - started)
        return response

    return observed


def _observe(request: Request, response: HTTPResponse, seconds: float) -> None:
    assert request.route is not None        # handlers are called by their routes
    route = f"/{request.route.path}"
    REQUESTS.labels(route, response.status).observe(seconds)
    request_id, owner = _request_id(request), getattr(request.ctx, "owner", "")
    if owner:
        OWNED_REQUESTS.labels(owner, response.status).inc()
    response.headers["x-request-id"] = request_id
    if access.isEnabledFor(logging.INFO):
        access.info("%s %s", request.method, route, extra={"fields": {
            "request_id": request_id, "owner": owner, "status": response.status,
            "milliseconds": round(seconds * 1_000, 3)}})


def _is_gone(request: Request) -> bool:
    return not request.app.asgi and request.transport.is_closing()      # ASGI has no transport


def _request_id(request: Request) -> str:
    given: str = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
