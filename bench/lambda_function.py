"""Measure the image as a Lambda function, under the runtime emulator that SAM carries.

    make image tools; python -m bench.lambda_function fraud-detector

How long a start takes with history in DynamoDB (moto's server stands in for it), and a warm call
with history in memory. The emulator adds a proxy; Lambda's machines differ.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import requests

EMULATOR = "lib/python3*/site-packages/samcli/local/rapid/*x86_64*"      # of .venv-tools
KEY = "bench"
MIB = 2 ** 20
PAYMENT = {"event_time": 1_704_103_200_000, "type": "TRANSFER", "amount": 181000.5,
           "origin": "C1231006815", "destination": "C1900366749", "origin_balance": 181000.5,
           "destination_balance": 0}


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True,
                          text=True).stdout.strip()


def event(path: str, body: dict | None = None) -> dict:
    """Return a request as API Gateway's HTTP API sends it (payload format 2.0)."""
    method = "POST" if body else "GET"
    return {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
            "headers": {"host": "api", "authorization": f"Bearer {KEY}"},
            "isBase64Encoded": False, "body": json.dumps(body) if body else "",
            "requestContext": {"http": {"method": method, "path": path, "sourceIp": "1.2.3.4"},
                               "stage": "$default", "domainName": "api", "requestId": "r"}}


@contextmanager
def function(image: str, **environment: str) -> Iterator[tuple[requests.Session, str]]:
    """The image as a function that waits for its first call; gives a session and its URL."""
    variables = environment | {"FRAUD_API_KEYS": sha256(KEY.encode()).hexdigest(),
                               "FRAUD_CLOCK": "event"}
    [emulator] = Path(".venv-tools").resolve().glob(EMULATOR)
    container = docker(
        "run", "-d", "-p", "127.0.0.1::8080", "-v", f"{emulator}:/rie:ro",
        *(word for name, value in variables.items() for word in ("-e", f"{name}={value}")),
        "--entrypoint", "/rie", image, "/app/serve/entrypoint.sh")
    port = docker("port", container, "8080").rsplit(":", 1)[1]
    try:
        time.sleep(1)           # for the emulator; it starts the function at the first call
        yield requests.Session(), (f"http://127.0.0.1:{port}"
                                   "/2015-03-31/functions/function/invocations")
    finally:
        docker("rm", "-f", container)


def first_call(image: str, **environment: str) -> float:
    """Return the seconds until a new function has answered its first call."""
    with function(image, **environment) as (session, url):
        began = time.perf_counter()
        check(session.post(url, json=event("/readyz")).json())
        return time.perf_counter() - began


def warm_calls(image: str, calls: int) -> list[float]:
    """Return the seconds of each call to score a payment, after some that do not count."""
    seconds = []
    with function(image, FRAUD_HISTORY="memory://") as (session, url):
        for number in range(calls + 100):
            body = event("/v1/score", PAYMENT | {"transaction_id": str(number)})
            began = time.perf_counter()
            answer = session.post(url, json=body).json()
            seconds.append(time.perf_counter() - began)
            check(answer)
    return seconds[100:]


def check(answer: dict) -> None:
    if answer.get("statusCode") != 200:
        raise RuntimeError(f"the function answers {answer}")


@contextmanager
def dynamodb() -> Iterator[dict[str, str]]:
    """An empty table of moto's server, by the settings that lead a container to it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="0.0.0.0", port=0, verbose=False)
    server.start()
    gateway = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    settings = {"AWS_ENDPOINT_URL": f"http://{gateway}:{server.get_host_and_port()[1]}",
                "AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench"}
    try:
        boto3.client("dynamodb", "eu-central-1", endpoint_url=settings["AWS_ENDPOINT_URL"],
                     aws_access_key_id="bench", aws_secret_access_key="bench").create_table(
            TableName="history", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
        yield settings | {"FRAUD_HISTORY": "dynamodb://history",
                          "FRAUD_ACCOUNT_KEY": "bench"}
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.lambda_function", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", help="as docker names it; make image builds fraud-detector")
    parser.add_argument("--calls", type=int, default=2_000,
                        help="warm calls that are measured (default %(default)s)")
    options = parser.parse_args()
    size, base = (int(docker("image", "inspect", "-f", "{{.Size}}", name))
                  for name in (options.image, "debian:bookworm-slim"))
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}\n\n"
          "| figure | measured | wanted |\n| --- | ---: | ---: |\n"
          f"| image, MiB | {size / MIB:.0f} | |\n"
          f"| the same over its base, MiB | {(size - base) / MIB:.0f} | <= 250 |", flush=True)
    with dynamodb() as settings:
        starts = [first_call(options.image, **settings) for _ in range(5)]
    print(f"| first call, history in DynamoDB, s | {statistics.median(starts):.2f} | <= 2.5 |")
    seconds = sorted(warm_calls(options.image, options.calls))
    for share, wanted in ((0.5, "<= 3"), (0.99, "")):
        measured = seconds[int(len(seconds) * share)] * 1000
        print(f"| warm call, p{share * 100:.0f}, ms | {measured:.2f} | {wanted} |")


if __name__ == "__main__":
    main()
