"""Sanic alone: an endpoint that decodes JSON and encodes it again, without keys, log or metrics."""

import sys

import msgspec
from sanic import HTTPResponse, Request, Sanic

app = Sanic("bare", configure_logging=False)


@app.post("/echo")
async def echo(request: Request) -> HTTPResponse:
    return HTTPResponse(msgspec.json.encode(msgspec.json.decode(request.body)),
                        content_type="application/json")


@app.get("/readyz")
async def readyz(request: Request) -> HTTPResponse:
    return HTTPResponse()


if __name__ == "__main__":
    app.prepare(port=int(sys.argv[1]), single_process=True, access_log=False, motd=False)
    Sanic.serve_single(app)
