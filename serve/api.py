"""Routes under /v1: score payments, read stored answers, take labels, describe the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TypeVar

import msgspec
from sanic import Blueprint, HTTPResponse, Request

from fraud.caller import Caller
from fraud.decision import Answered, Refused
from fraud.errors import JSON_ERRORS
from fraud.history import StoreUnavailable
from fraud.labels import InvalidLabel, Label
from fraud.logs import LabelLogError
from fraud.transaction import InvalidTransaction, Transaction, parse
from serve.keys import authenticated
from serve.metrics import BATCHES
from serve.observation import instrumented
from serve.problems import Problem, ProblemError, problem

JSON, NDJSON = "application/json", "application/x-ndjson"
REFUSAL_STATUS = {"id-reused": 409, "event-time-ahead": 422, "unknown-type": 422}
Result = TypeVar("Result")
blueprint = Blueprint("api", url_prefix="/v1")
_encode = msgspec.json.Encoder().encode
logger = logging.getLogger("serve")


class LabelsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request with labels; each is a `fraud.labels.Label`."""

    labels: list[msgspec.Raw]


_decode_labels = msgspec.json.Decoder(LabelsBody).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


@blueprint.post("/score")
@instrumented
@authenticated("score")
async def score(request: Request) -> HTTPResponse:
    """Score one payment."""
    try:
        payment = parse(_body(request))
    except InvalidTransaction as error:
        raise ProblemError(422, "invalid-payment", str(error)) from error
    outcome = await request.app.ctx.batcher.score(payment, request.ctx.caller)
    if isinstance(outcome, Refused):
        raise ProblemError(REFUSAL_STATUS[outcome.code], outcome.code, outcome.message)
    return HTTPResponse(outcome.body, content_type=JSON)


@blueprint.post("/score/batch")
@instrumented
@authenticated("score")
async def score_batch(request: Request) -> HTTPResponse:
    """Score payments in their order; an error in one does not affect the others."""
    context, is_lines = request.app.ctx, request.content_type.startswith(NDJSON)
    items = _lines(_body(request)) if is_lines else _array(_body(request))
    if len(items) > context.settings.batch_payments:
        raise ProblemError(413, "batch-too-large", f"the batch has {len(items)} payments; send at "
                           f"most {context.settings.batch_payments} in a request")
    BATCHES.observe(len(items))
    bodies = await _score_items(context, [_parsed(item) for item in items], request.ctx.caller)
    if is_lines:
        return HTTPResponse(b"".join([body + b"\n" for body in bodies]), content_type=NDJSON)
    return HTTPResponse(b"[" + b",".join(bodies) + b"]", content_type=JSON)


@blueprint.get("/decisions/<transaction_id:str>")
@instrumented
@authenticated("read")
async def decision(request: Request, transaction_id: str) -> HTTPResponse:
    """Return the stored answer to a payment."""
    context = request.app.ctx
    try:
        body = await call(context, context.service.answer, transaction_id)
    except StoreUnavailable as error:
        raise ProblemError(503, "history-unavailable", "stored answers cannot be read now; "
                           "try again") from error
    if body is None:
        raise ProblemError(404, "unknown-transaction", f"no answer is stored for "
                           f"{transaction_id!r}; answers are kept for "
                           f"{context.settings.idempotency_hours:g} hours")
    return HTTPResponse(body, content_type=JSON)


@blueprint.post("/labels")
@instrumented
@authenticated("labels")
async def labels(request: Request) -> HTTPResponse:
    """Take labels, all or none: count known frauds, and keep all in the label log."""
    context, items = request.app.ctx, _label_items(_body(request))
    if len(items) > context.settings.batch_payments:
        raise ProblemError(413, "batch-too-large", f"the batch has {len(items)} labels; send at "
                           f"most {context.settings.batch_payments} in a request")
    try:
        outcome = await call(context, context.service.label, _parsed_labels(context, items))
    except (StoreUnavailable, LabelLogError) as error:
        logger.warning("labels are refused: %s", error)
        raise ProblemError(503, "labels-unavailable", "labels cannot be kept now; send the same "
                           "labels again: each fraud counts once") from error
    return HTTPResponse(_encode(outcome), content_type=JSON)


@blueprint.get("/model")
@instrumented
@authenticated("read")
async def model(request: Request) -> HTTPResponse:
    """Describe the model that serves, with its lineage."""
    bundle = request.app.ctx.service.bundle
    return HTTPResponse(_encode({
        "manifest": bundle.manifest, "digest": bundle.digest,
        "policy": bundle.policy, "policy_digest": bundle.policy_digest}), content_type=JSON)


async def call(context: SimpleNamespace, function: Callable[..., Result],
               *arguments: object) -> Result:
    """Call a function that may wait for the store: in a thread, unless the store is in memory."""
    if context.use_threads:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def _body(request: Request) -> bytes:
    if "content-encoding" in request.headers:
        raise ProblemError(415, "compressed-body", "Content-Encoding is "
                           f"{request.headers['content-encoding']!r}; send the body uncompressed")
    return request.body


def _lines(body: bytes) -> list[bytes]:
    return [line for line in body.split(b"\n") if line.strip()]


def _array(body: bytes) -> list[msgspec.Raw]:
    try:
        return _decode_array(body)
    except JSON_ERRORS as error:
        raise ProblemError(400, "not-an-array", f"the body is not a JSON array ({error}); send "
                           f"payments as one, or as lines with Content-Type {NDJSON}") from error


def _label_items(body: bytes) -> list[msgspec.Raw]:
    try:
        return _decode_labels(body).labels
    except JSON_ERRORS as error:
        raise ProblemError(400, "no-labels", f"the body does not hold labels ({error}); send "
                           '{"labels": [...]}') from error


def _parsed_labels(context: SimpleNamespace, items: list[msgspec.Raw]) -> list[Label]:
    parsed = []
    for index, item in enumerate(items):
        try:
            parsed.append(context.service.parse_label(item))
        except InvalidLabel as error:
            raise ProblemError(422, "invalid-label", f"labels[{index}]: {error}") from error
    return parsed


def _parsed(item: bytes | msgspec.Raw) -> Transaction | Problem:
    try:
        return parse(item)
    except InvalidTransaction as error:
        return problem(422, "invalid-payment", str(error))


async def _score_items(context: SimpleNamespace, items: Sequence[Transaction | Problem],
                       caller: Caller) -> list[bytes]:
    """Return the JSON of each item: the answer to a payment, or a problem."""
    payments = {index: item for index, item in enumerate(items) if isinstance(item, Transaction)}
    bodies = [b"" if isinstance(item, Transaction) else _encode(item) for item in items]
    if payments:
        outcomes = await call(context, context.service.score, list(payments.values()),
                              [caller] * len(payments))
        for (index, payment), outcome in zip(payments.items(), outcomes, strict=True):
            bodies[index] = _outcome_body(payment, outcome)
    return bodies


def _outcome_body(payment: Transaction, outcome: Answered | Refused) -> bytes:
    if isinstance(outcome, Answered):
        return outcome.body
    return _encode(problem(REFUSAL_STATUS[outcome.code], outcome.code, outcome.message,
                           payment.transaction_id))
