"""Documentation of the API: an OpenAPI document made from its types, and the page /docs.

The page's script and style come with the swagger-ui-py package, so it works without a network.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import html, raw, redirect

from fraud.decision import Answer
from fraud.label_recorder import LabelOutcome
from fraud.labels import Label
from fraud.transaction import Payment
from serve.problems import MEDIA_TYPE, TITLES, Problem

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Fraud detection API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"></head>
<body><div id="docs"></div><script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script></body>
</html>"""
START = 'SwaggerUIBundle({url: "/docs/openapi.json", dom_id: "#docs"});'
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
DESCRIPTION = "Score payments: how likely each is fraud, why, and which model decided."
PAYMENT, ANSWER, PROBLEM, LABEL, LABEL_OUTCOME = (
    {"$ref": f"#/components/schemas/{name}"}
    for name in ("Payment", "Answer", "Problem", "Label", "LabelOutcome"))
LABELS = {"type": "object", "required": ["labels"], "additionalProperties": False,
          "properties": {"labels": {"type": "array", "items": LABEL}}}
EITHER = {"type": "array", "items": {"anyOf": [ANSWER, PROBLEM]}}
PAYMENT_EXAMPLE = {
    "transaction_id": "t-1", "event_time": 1_704_103_200_000, "type": "TRANSFER",
    "amount": 181_000.5, "origin": "C1231006815", "destination": "C1900366749",
    "origin_balance": 181_000.5, "destination_balance": 0,
}
ANSWER_EXAMPLE = {
    "transaction_id": "t-1", "score": 0.882, "decision": "decline",
    "decided_by": "model",
    "thresholds": {"review": 261_999.63, "decline": 0.237, "review_by": "loss",
                   "decline_from": 0.0},
    "reasons": [{
        "code": "amount-against-balance", "text": "Takes all of the 181,000.50 the sender holds",
        "logit_drop": 6.42, "value": {"balance_left": 0.0}, "reference": {"balance_left": 2.7e6}}],
    "history": "short", "unknown_windows": ["hour", "day", "week", "month"], "late": False,
    "idempotent": True, "model_version": "1", "policy_version": "1.1", "rules_version": "",
}
PROBLEM_EXAMPLE = {"type": "invalid-payment", "title": "Unprocessable content", "status": 422,
                   "detail": "amount is missing; give a number from 0 to 1,000,000,000,000, in "
                             "currency units"}
LABEL_EXAMPLE = {"transaction_id": "t-1", "is_fraud": 1, "label_time": 1_704_276_000_000,
                 "source": "chargeback"}
blueprint = Blueprint("docs")


@blueprint.get("/")
async def root(request: Request) -> HTTPResponse:
    """Redirect to the page."""
    return redirect("/docs")


@blueprint.get("/docs")
async def page(request: Request) -> HTTPResponse:
    """Serve the page."""
    return html(PAGE, headers={"content-security-policy": POLICY})


@blueprint.get("/docs/start.js")
async def start(request: Request) -> HTTPResponse:
    """Serve the script that shows the document."""
    return raw(START.encode(), content_type="text/javascript")


@blueprint.get("/docs/openapi.json")
async def openapi(request: Request) -> HTTPResponse:
    """Serve the document."""
    return raw(_encoded(), content_type="application/json")


@blueprint.get("/docs/<name:str>")
async def asset(request: Request, name: str) -> HTTPResponse:
    """Serve the script and style of swagger-ui-py."""
    package = find_spec("swagger_ui")
    if name not in ASSETS or package is None or package.origin is None:
        return HTTPResponse(status=404)
    content = (Path(package.origin).parent / "static" / name).read_bytes()
    return raw(content, content_type=ASSETS[name], headers={"cache-control": "max-age=86400"})


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fraud detection", "version": "1", "description": DESCRIPTION},
        "security": [{"key": []}],
        "paths": {
            "/v1/score": {"post": _operation(
                "Score a payment", "A transaction_id is scored once. Sent again, it gets the same "
                "answer; with another payment it is refused (409).",
                _content(ANSWER), (400, 401, 403, 409, 413, 415, 422), _body(PAYMENT))},
            "/v1/score/batch": {"post": _operation(
                "Score payments in their order", "Send a JSON array, or lines with Content-Type "
                "application/x-ndjson. The response has the same form, with an answer or a problem "
                "for each payment.",
                _content(EITHER), (400, 401, 403, 413, 415),
                _body({"type": "array", "items": PAYMENT}))},
            "/v1/decisions/{transaction_id}": {"get": _operation(
                "Read the stored answer to a payment", "Answers are kept for 24 hours by default.",
                _content(ANSWER), (400, 401, 403, 404, 503), {"parameters": [
                    {"name": "transaction_id", "in": "path", "required": True,
                     "description": "The caller's id of the payment",
                     "schema": {"type": "string", "minLength": 1}, "example": "t-1"}]})},
            "/v1/labels": {"post": _operation(
                "Send labels", "Each fraud counts once on the accounts of its payment: those that "
                "the label names, or those known by its transaction_id, which the server knows for "
                "24 hours by default. A label of 0 counts nothing and takes nothing back. All "
                "labels are kept for monitoring and training; if one is invalid, none is.",
                _content(LABEL_OUTCOME), (400, 401, 403, 413, 415, 422, 503), _body(LABELS))},
            "/v1/model": {"get": _operation(
                "Describe the model that serves", "Manifest and policy of the bundle, with their "
                "digests: the lineage of every decision.", _content({"type": "object"}),
                (401, 403))},
            "/healthz": {"get": _operation(
                "Check that the process answers", "", _content({"type": "object"}), (),
                {"security": []})},
            "/readyz": {"get": _operation(
                "Check that payments can be scored", "", _content({"type": "object"}), (),
                {"security": []})},
        },
        "components": {"schemas": _schemas(), "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer",
                    "description": "A key from `python -m serve.keys`; not needed on a server "
                                   "without keys"}}},
    }


def _schemas() -> dict[str, Any]:
    """Return the schemas of the types, under the names that readers expect."""
    _, components = msgspec.json.schema_components(
        (Payment, Answer, Problem, Label, LabelOutcome),
        ref_template="#/components/schemas/{name}")
    payment, answer, problem = (components.pop(name) for name in ("Payment", "Answer", "Problem"))
    components["Label"] |= {"description": "A label of a payment.", "example": LABEL_EXAMPLE}
    components["LabelOutcome"] |= {"description": "The result of sending labels.", "example": {
        "accepted": 2, "counted": 1, "unknown_ids": ["t-2"]}}
    payment |= {"title": "Payment", "description": "A payment that asks to be authorised.",
                "example": PAYMENT_EXAMPLE}
    for money in ("amount", "origin_balance", "destination_balance"):
        payment["properties"][money]["multipleOf"] = 0.01
    answer |= {"description": "Score, decision and reasons.", "example": ANSWER_EXAMPLE}
    problem |= {"description": "An error, as RFC 9457 defines it.", "example": PROBLEM_EXAMPLE}
    return {"Payment": payment, "Answer": answer, "Problem": problem, **components}


def _operation(summary: str, description: str, content: dict[str, Any], problems: tuple[int, ...],
               more: dict[str, Any] | None = None) -> dict[str, Any]:
    responses: dict[str, Any] = {"200": {"description": "Success", "content": content}}
    for status in problems:
        responses[str(status)] = {"description": TITLES[status],
                                  "content": {MEDIA_TYPE: {"schema": PROBLEM}}}
    return {"summary": summary, "description": description, "responses": responses, **(more or {})}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
