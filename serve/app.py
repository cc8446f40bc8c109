"""The API: one Sanic app for a server, for several workers, and for Lambda."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from functools import partial, wraps

import msgspec
from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import RequestCancelled
from sanic.response import raw

from fraud import logs
from fraud.history import StoreUnavailable
from fraud.scorer import Answered, Refused
from fraud.service import Service
from fraud.transaction import InvalidTransaction, Transaction, parse
from serve import docs, problems
from serve.coalescing import Coalescer
from serve.keys import Keys
from serve.metrics import BATCHES, REQUESTS, exposition
from serve.problems import Problem, ProblemError, problem
from serve.settings import ServeSettings

JSON, NDJSON = "application/json", "application/x-ndjson"
REFUSAL_STATUS = {"id-reused": 409, "event-time-ahead": 422}
access = logging.getLogger("serve.access")
_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[msgspec.Raw])


def create_app(settings: ServeSettings) -> Sanic:
    """The app with its model loaded and its store opened; its state is on `app.ctx`.

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
    ctx = app.ctx
    ctx.settings, ctx.keys = settings, Keys(settings.api_keys)
    ctx.service = Service(settings, degrade=True)
    ctx.in_thread = not settings.history.startswith("memory://")    # a slow store blocks no one
    ctx.coalescer = Coalescer(partial(_called, ctx, ctx.service.score))
    app.error_handler.add(Exception, problems.of_exception)
    _add_routes(app)
    docs.add_routes(app)
    ctx.is_stopping = False
    app.before_server_start(_follow)
    app.before_server_stop(_drain)
    app.after_server_stop(_close)
    return app


def create_worker(settings: ServeSettings) -> Sanic:
    """The app of one of several worker processes."""
    logs.configure(settings.log_level)
    return create_app(settings)


def _add_routes(app: Sanic) -> None:
    for method, path, handler in (
            ("POST", "/v1/score", score), ("POST", "/v1/score/batch", score_batch),
            ("GET", "/v1/decisions/<transaction_id:str>", decision), ("GET", "/v1/model", model)):
        app.add_route(watched(path, handler), path, methods=[method], name=handler.__name__)
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", prometheus)):
        app.add_route(handler, path, methods=["GET"], name=handler.__name__)


def watched(route: str, handler):
    """A handler behind its key, with a request id, an access line and its latency measured."""
    @wraps(handler)
    async def watched(request: Request, **arguments) -> HTTPResponse:
        started = time.perf_counter()
        if _is_gone(request):
            raise RequestCancelled      # nobody would get the answer: the server is stopping
        try:
            if not request.app.ctx.keys.admit(request.headers.get("authorization")):
                raise ProblemError(401, "unauthorized", "the Authorization header is missing or "
                                   "its key is unknown; send Authorization: Bearer KEY")
            response = await handler(request, **arguments)
        except ProblemError as error:
            response = problems.response(error.problem)
        except Exception as error:
            response = problems.of_exception(request, error)
        if request.app.ctx.is_stopping:
            request.stream.keep_alive = False       # the caller goes elsewhere with its next one
        seconds = time.perf_counter() - started
        REQUESTS.labels(route, response.status).observe(seconds)
        request_id = _request_id(request)
        response.headers["x-request-id"] = request_id
        if access.isEnabledFor(logging.INFO):
            access.info("%s %s", request.method, route, extra={"fields": {
                "request_id": request_id, "status": response.status,
                "milliseconds": round(seconds * 1_000, 3)}})
        return response

    return watched


def _is_gone(request: Request) -> bool:
    return not request.app.asgi and request.transport.is_closing()      # ASGI has no transport


def _request_id(request: Request) -> str:
    given = request.headers.get("x-request-id", "")
    return given if 0 < len(given) <= 64 and given.isalnum() else secrets.token_hex(8)


async def score(request: Request) -> HTTPResponse:
    """Score one payment."""
    try:
        payment = parse(_body(request))
    except InvalidTransaction as error:
        raise ProblemError(422, "invalid-payment", str(error)) from None
    outcome = await request.app.ctx.coalescer.score(payment)
    if isinstance(outcome, Refused):
        raise ProblemError(REFUSAL_STATUS[outcome.code], outcome.code, outcome.message)
    return HTTPResponse(outcome.body, content_type=JSON)


async def score_batch(request: Request) -> HTTPResponse:
    """Score payments in their order; what is wrong with one does not touch the others."""
    ctx, is_lines = request.app.ctx, request.content_type.startswith(NDJSON)
    items = _lines(_body(request)) if is_lines else _array(_body(request))
    if len(items) > ctx.settings.batch_payments:
        raise ProblemError(413, "batch-too-large", f"the batch has {len(items)} payments; send at "
                           f"most {ctx.settings.batch_payments} a request")
    BATCHES.observe(len(items))
    parsed = [_parsed(item) for item in items]
    payments = [item for item in parsed if isinstance(item, Transaction)]
    outcomes = iter(await _called(ctx, ctx.service.score, payments) if payments else [])
    bodies = [_item(item if isinstance(item, Problem) else next(outcomes), item)
              for item in parsed]
    if is_lines:
        return HTTPResponse(b"".join([body + b"\n" for body in bodies]), content_type=NDJSON)
    return HTTPResponse(b"[" + b",".join(bodies) + b"]", content_type=JSON)


async def decision(request: Request, transaction_id: str) -> HTTPResponse:
    """The stored answer to a payment."""
    ctx = request.app.ctx
    try:
        body = await _called(ctx, ctx.service.answer, transaction_id)
    except StoreUnavailable:
        raise ProblemError(503, "history-unavailable", "stored answers cannot be read now; "
                           "try again") from None
    if body is None:
        raise ProblemError(404, "unknown-transaction", f"no answer is stored for "
                           f"{transaction_id!r}; answers are kept for "
                           f"{ctx.settings.id_hours:g} hours")
    return HTTPResponse(body, content_type=JSON)


async def model(request: Request) -> HTTPResponse:
    """What is serving, with its lineage."""
    bundle = request.app.ctx.service.bundle
    return HTTPResponse(_encode({
        "manifest": bundle.manifest, "digest": bundle.digest,
        "policy": bundle.policy, "policy_digest": bundle.policy_digest}), content_type=JSON)


async def healthz(request: Request) -> HTTPResponse:
    """The process answers."""
    return raw(b'{"status":"ok"}', content_type=JSON)


async def readyz(request: Request) -> HTTPResponse:
    """A model is loaded: payments can be scored, with history or without."""
    return HTTPResponse(_encode({"status": "ready", "model_version":
                                 request.app.ctx.service.bundle.manifest.version}),
                        content_type=JSON)


async def prometheus(request: Request) -> HTTPResponse:
    """For Prometheus; no gateway leads here."""
    body, content_type = exposition()
    return HTTPResponse(body, content_type=content_type)


async def _called(ctx, call, *arguments):
    return await asyncio.to_thread(call, *arguments) if ctx.in_thread else call(*arguments)


def _body(request: Request) -> bytes:
    if "content-encoding" in request.headers:
        raise ProblemError(415, "compressed-body", "Content-Encoding is "
                           f"{request.headers['content-encoding']!r}; send the body as it is")
    return request.body


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.split(b"\n") if line.strip()]


def _array(body: bytes) -> list[msgspec.Raw]:
    try:
        return _items.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ProblemError(400, "not-an-array", f"the body is no JSON array ({error}); send "
                           f"payments as one, or as lines with Content-Type {NDJSON}") from None


def _parsed(item: bytes | msgspec.Raw) -> Transaction | Problem:
    try:
        return parse(item)
    except InvalidTransaction as error:
        return problem(422, "invalid-payment", str(error))


def _item(outcome: Answered | Refused | Problem, payment: Transaction | Problem) -> bytes:
    if isinstance(outcome, Answered):
        return outcome.body
    if isinstance(outcome, Refused):
        return _encode(problem(REFUSAL_STATUS[outcome.code], outcome.code, outcome.message,
                               payment.transaction_id))
    return _encode(outcome)


async def _follow(app: Sanic) -> None:
    app.ctx.service.name_model()        # not in a parent, which serves nothing itself
    app.add_task(_refreshing(app), name="champion")


async def _refreshing(app: Sanic) -> None:
    while True:
        await asyncio.sleep(app.ctx.settings.model_seconds)
        await asyncio.to_thread(app.ctx.service.refresh)


async def _drain(app: Sanic) -> None:
    """A caller that goes on and on would else hold its connection until it is cut off."""
    app.ctx.is_stopping = True


async def _close(app: Sanic) -> None:
    await app.cancel_task("champion", raise_exception=False)
    app.ctx.service.close()
