#!/bin/sh
# A Lambda function where AWS says so, an HTTP server elsewhere; arguments go to the server.
set -eu
if [ -n "${AWS_LAMBDA_RUNTIME_API:-}" ]; then
    exec python3 -m awslambdaric serve.lambda_handler.handler
fi
exec python3 -m serve --host 0.0.0.0 "$@"
