"""The API with one more endpoint, /v1/echo, that decodes JSON and encodes it again.

It has the same authentication, access log and metrics as the others, but does not score: the speed
that the framework allows.
"""

import os
import sys

import msgspec
from sanic import HTTPResponse, Request, Sanic

from fraud import logs
from fraud.settings import from_environment
from serve.api import JSON
from serve.app import create_app
from serve.keys import authenticated
from serve.observation import instrumented
from serve.settings import ServeSettings


async def echo(request: Request) -> HTTPResponse:
    return HTTPResponse(msgspec.json.encode(msgspec.json.decode(request.body)), content_type=JSON)


if __name__ == "__main__":
    settings = from_environment(os.environ, ServeSettings)
    logs.configure(settings.log_level)
    app = create_app(settings)
    app.add_route(instrumented(authenticated("score")(echo)), "/v1/echo", methods=["POST"])
    app.prepare(port=int(sys.argv[1]), single_process=True, access_log=False, motd=False)
    Sanic.serve_single(app)
