"""Observation of requests: ids, an access line, the latency and, with a tracer, a span of each."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sanic import HTTPResponse, Request
from sanic.exceptions import RequestCancelled
from sanic.http import Http

from fraud.caller import (
    REQUEST_ID_HEADER, TRACEPARENT_HEADER, Caller, valid_request_id, valid_traceparent)
from fraud.metrics import child
from serve import problems, tracing
from serve.metrics import OWNED_REQUESTS, REQUESTS

Handler = Callable[..., Awaitable[HTTPResponse]]
REQUEST_ID_BYTES = 8


def instrumented(handler: Handler) -> Handler:
    """Decorate a handler with a caller, an access line and a measured latency.

    `request.ctx.caller` has the request id and the trace of the request. Errors become problem
    details here, so that their responses are observed too.
    """
    @wraps(handler)
    async def observed(request: Request, **arguments: Any) -> HTTPResponse:
        started = time.perf_counter()
        if _is_gone(request):
            raise RequestCancelled      # no caller would receive the answer: the server stops
        route, tracer = _route(request), request.app.ctx.tracer
        traceparent = valid_traceparent(request.headers.get(TRACEPARENT_HEADER, ""))
        span = None
        if tracer:
            span, traceparent = tracer.start(f"{request.method} {route}", traceparent)
        request.ctx.caller = Caller("", _request_id(request), traceparent)
        try:
            response = await handler(request, **arguments)
        except Exception as error:
            response = problems.from_exception(request, error)
        if request.app.ctx.is_stopping and isinstance(request.stream, Http):
            request.stream.keep_alive = False       # the caller reconnects, to another server
        _observe(request, route, response, time.perf_counter() - started)
        if span:
            caller = request.ctx.caller
            tracing.finish(span, response.status, caller.request_id, caller.owner)
        return response

    return observed


def _route(request: Request) -> str:
    assert request.route is not None        # handlers are called by their routes
    return f"/{request.route.path}"


def _observe(request: Request, route: str, response: HTTPResponse, seconds: float) -> None:
    caller: Caller = request.ctx.caller
    child(REQUESTS, route, response.status).observe(seconds)
    if caller.owner:
        child(OWNED_REQUESTS, caller.owner, response.status).inc()
    response.headers[REQUEST_ID_HEADER] = caller.request_id
    if caller.traceparent:
        response.headers[TRACEPARENT_HEADER] = caller.traceparent
    request.app.ctx.access_log.write(f"{request.method} {route}", caller, response.status, seconds)


def _is_gone(request: Request) -> bool:
    return not request.app.asgi and request.transport.is_closing()      # ASGI has no transport


def _request_id(request: Request) -> str:
    return valid_request_id(request.headers.get(REQUEST_ID_HEADER, "")) or (
        os.urandom(REQUEST_ID_BYTES).hex())
