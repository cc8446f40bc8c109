"""The API described: an OpenAPI document made from the types it uses, and its page at /docs.

The page's script and style come with the swagger-ui-py package: a reader needs no network.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import msgspec
from sanic import HTTPResponse, Request, Sanic
from sanic.response import html, raw

from fraud.scorer import Answer
from fraud.transaction import Wire
from serve.problems import MEDIA_TYPE, Problem

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
EXAMPLE = {
    "transaction_id": "t-1", "event_time": 1_704_103_200_000, "type": "TRANSFER",
    "amount": 181_000.5, "origin": "C1231006815", "destination": "C1900366749",
    "origin_balance": 181_000.5, "destination_balance": 0,
}


def add_routes(app: Sanic) -> None:
    """Serve the page, its assets and the document."""
    app.add_route(_page, "/docs", name="docs")
    app.add_route(_start, "/docs/start.js", name="docs_start")
    app.add_route(_document, "/docs/openapi.json", name="openapi")
    app.add_route(_asset, "/docs/<name:str>", name="docs_asset")


async def _page(request: Request) -> HTTPResponse:
    return html(PAGE, headers={"content-security-policy": POLICY})


async def _start(request: Request) -> HTTPResponse:
    return raw(START.encode(), content_type="text/javascript")


async def _document(request: Request) -> HTTPResponse:
    return raw(_encoded(), content_type="application/json")


async def _asset(request: Request, name: str) -> HTTPResponse:
    if name not in ASSETS:
        return HTTPResponse(status=404)
    folder = Path(find_spec("swagger_ui").origin).parent / "static"
    return raw((folder / name).read_bytes(), content_type=ASSETS[name],
               headers={"cache-control": "max-age=86400"})


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(document())


def document() -> dict:
    """The OpenAPI 3.1 document."""
    schemas, components = msgspec.json.schema_components(
        (Wire, Answer, Problem), ref_template="#/components/schemas/{name}")
    payment, answer, problem = schemas
    components["Wire"]["example"] = EXAMPLE
    components["Wire"]["description"] = "A payment that asks to be authorised."
    for money in ("amount", "origin_balance", "destination_balance"):
        components["Wire"]["properties"][money]["multipleOf"] = 0.01

    def problems(*statuses: int) -> dict:
        return {str(status): {"description": "Problem details", "content": {
            MEDIA_TYPE: {"schema": problem}}} for status in statuses}

    def answers(description: str, schema: dict, media_type: str = "application/json") -> dict:
        return {"200": {"description": description, "content": {media_type: {"schema": schema}}}}

    either = {"type": "array", "items": {"anyOf": [answer, problem]}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fraud detection", "version": "1",
                 "description": "How likely a payment is fraud, why, and by which model."},
        "security": [{"key": []}],
        "paths": {
            "/v1/score": {"post": {
                "summary": "Score one payment",
                "description": "A transaction_id is scored once: repeated, it gets the same "
                               "answer; with another payment it is refused (409).",
                "requestBody": {"required": True, "content": {
                    "application/json": {"schema": payment}}},
                "responses": {**answers("The answer", answer),
                              **problems(400, 401, 409, 413, 415, 422)}}},
            "/v1/score/batch": {"post": {
                "summary": "Score payments in their order",
                "description": "A JSON array, or lines with Content-Type application/x-ndjson; "
                               "the answer has the same form, and an answer or a problem for "
                               "each payment.",
                "requestBody": {"required": True, "content": {
                    "application/json": {"schema": {"type": "array", "items": payment}}}},
                "responses": {**answers("An answer or a problem for each payment", either),
                              **problems(400, 401, 413, 415)}}},
            "/v1/decisions/{transaction_id}": {"get": {
                "summary": "The stored answer to a payment",
                "parameters": [{"name": "transaction_id", "in": "path", "required": True,
                                "schema": {"type": "string", "minLength": 1}}],
                "responses": {**answers("The answer", answer), **problems(400, 401, 404, 503)}}},
            "/v1/model": {"get": {
                "summary": "What is serving, with its lineage",
                "responses": {**answers("Manifest, policy and their digests", {"type": "object"}),
                              **problems(401)}}},
            "/healthz": {"get": {"summary": "The process answers", "security": [],
                                 "responses": answers("It does", {"type": "object"})}},
            "/readyz": {"get": {"summary": "Payments can be scored", "security": [],
                                "responses": answers("They can", {"type": "object"})}},
        },
        "components": {"schemas": components, "securitySchemes": {
            "key": {"type": "http", "scheme": "bearer"}}},
    }
