"""Routes for machines: liveness, readiness and metrics. They need no key."""

from __future__ import annotations

import msgspec
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw

from serve.metrics import exposition

JSON = "application/json"
blueprint = Blueprint("health")


@blueprint.get("/healthz")
async def healthz(request: Request) -> HTTPResponse:
    """The process answers."""
    return raw(b'{"status":"ok"}', content_type=JSON)


@blueprint.get("/readyz")
async def readyz(request: Request) -> HTTPResponse:
    """A model is loaded: payments can be scored, with or without history."""
    version = request.app.ctx.service.bundle.manifest.version
    return raw(msgspec.json.encode({"status": "ready", "model_version": version}),
               content_type=JSON)


@blueprint.get("/metrics")
async def prometheus(request: Request) -> HTTPResponse:
    """Metrics for Prometheus; no gateway exposes this route."""
    body, content_type = exposition()
    return HTTPResponse(body, content_type=content_type)
