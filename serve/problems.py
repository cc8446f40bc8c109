"""Errors as problem details (RFC 9457): field, value and fix."""

from __future__ import annotations

import logging
from typing import Annotated

import msgspec
from sanic import HTTPResponse, Request
from sanic.exceptions import SanicException

TITLES = {
    400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found",
    405: "Method not allowed", 408: "Request timeout", 409: "Conflict", 413: "Content too large",
    415: "Unsupported media type", 422: "Unprocessable content", 500: "Internal error",
    503: "Service unavailable",
}
logger = logging.getLogger("serve")
MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error response."""

    type: Annotated[str, msgspec.Meta(
        description="Stable code of the problem, such as invalid-payment or id-reused")]
    title: Annotated[str, msgspec.Meta(description="Name of the HTTP status")]
    status: Annotated[int, msgspec.Meta(description="HTTP status")]
    detail: Annotated[str, msgspec.Meta(description="Field, value and fix, for people")]
    transaction_id: Annotated[str, msgspec.Meta(
        description="The payment of a batch that the problem concerns")] = ""


class ProblemError(Exception):
    """A problem that ends a request."""

    def __init__(self, status: int, code: str, detail: str):
        super().__init__(status, code, detail)
        self.problem = problem(status, code, detail)


def problem(status: int, code: str, detail: str, transaction_id: str = "") -> Problem:
    """Return a problem with the title of its status."""
    return Problem(code, TITLES[status], status, detail, transaction_id)


def response(body: Problem) -> HTTPResponse:
    """Return the response with a problem as its body."""
    return HTTPResponse(msgspec.json.encode(body), body.status, content_type=MEDIA_TYPE)


def from_exception(request: Request, error: Exception) -> HTTPResponse:
    """Return the response to an exception that ended a request, without internals."""
    if isinstance(error, ProblemError):
        return response(error.problem)
    if isinstance(error, SanicException) and error.status_code in TITLES:
        code = TITLES[error.status_code].lower().replace(" ", "-")
        answer = response(problem(error.status_code, code, _of_sanic(request, error)))
        answer.headers.extend(error.headers)
        return answer
    if isinstance(error, SanicException) and 400 <= error.status_code < 500:
        return response(problem(400, "bad-request", str(error)))
    logger.error("a request failed", exc_info=error)
    return response(problem(500, "internal-error", "the request could not be processed; it may be "
                            "sent again with the same transaction_id"))


def _of_sanic(request: Request, error: SanicException) -> str:
    match error.status_code:
        case 404:
            return f"there is no {request.path}; /docs lists all routes"
        case 405:
            return f"{request.method} is not allowed on {request.path}; /docs lists the methods"
        case 413:
            return ("the body is larger than allowed; send fewer payments a request, to "
                    "/v1/score/batch")
        case _:
            return str(error)
