"""The image as it is built and run: as a hardened container, and under Lambda's emulator."""

import base64
import json
import os
import subprocess
import time
from pathlib import Path

import boto3
import msgspec
import pytest
import requests
from moto.server import ThreadedMotoServer

from fraud import bundle
from fraud.decision import Answered, Decision
from fraud.pseudonym import with_pseudonyms
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.stores.memory import write_file
from fraud.transaction import parse
from tests.serve.running import HASH, KEY, Server, payment
from tests.tools import IMAGE, ROOT

TOOLS = ROOT / ".venv-tools"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt",
            "no-new-privileges", "--memory", "512m")
MIB = 2 ** 20
START = 1_704_103_200_000
pytestmark = pytest.mark.system


def docker(*arguments: str, check: bool = True) -> str:
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return (result.stdout + result.stderr).strip()


@pytest.fixture
def run(image):
    """Runs containers of the image in the background; gives their id and the host's port."""
    started = []

    def run(*options: str, port: int = 8000) -> tuple[str, int]:
        container = docker("run", "-d", "-p", f"127.0.0.1::{port}", *options)
        started.append(container)
        return container, int(docker("port", container, str(port)).rsplit(":", 1)[1])

    yield run
    for container in started:
        docker("rm", "-f", container)


def wait_for(url: str, container: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(docker("logs", container))


def hardened_server(run, *options: str) -> tuple[str, str]:
    container, port = run(*HARDENED, "-e", f"FRAUD_API_KEYS={HASH}", "-e", "FRAUD_CLOCK=event",
                          *options, IMAGE)
    url = f"http://127.0.0.1:{port}"
    wait_for(url + "/readyz", container)
    return container, url


# A server.

def test_a_hardened_container_scores_for_who_has_a_key(run):
    _, url = hardened_server(run)
    assert requests.post(url + "/v1/score", json=payment(), timeout=9).status_code == 401
    answer = requests.post(url + "/v1/score", json=payment(), timeout=9,
                           headers={"Authorization": f"Bearer {KEY}"})
    assert answer.json()["decision"] == "decline"


def test_it_is_not_root_and_has_no_compiler_no_pip_and_nothing_of_training(run):
    container, _ = hardened_server(run)
    assert docker("exec", container, "id", "-u") == "65532"
    for program in ("gcc", "cc", "pip", "pip3"):
        assert docker("exec", container, "sh", "-c", f"command -v {program} || echo none") == "none"
    listed = docker("exec", container, "ls", "/app/fraud", "/app/venv/lib/python3.11/site-packages")
    for name in ("training", "pandas", "pyarrow", "xgboost", "tensorflow", "mlflow", "pyspark"):
        assert name not in listed.split()


def test_it_does_not_start_open_to_everyone(run):
    container, _ = run(IMAGE)
    assert docker("wait", container) == "2"
    assert "FRAUD_API_KEYS is empty" in docker("logs", container)


def test_it_stops_when_asked(run):
    container, _ = hardened_server(run)
    docker("stop", "-t", "20", container)
    assert docker("inspect", "-f", "{{.State.ExitCode}}", container) == "0"


def test_what_it_adds_to_its_base_is_small(image):
    sizes = [int(docker("image", "inspect", "-f", "{{.Size}}", name))
             for name in ("debian:bookworm-slim", image)]
    assert (sizes[1] - sizes[0]) / MIB <= 250


# Lambda.

def event(path: str, body=None, key: str | None = KEY) -> dict:
    """Return a request as API Gateway's HTTP API sends it (payload format 2.0)."""
    method = "GET" if body is None else "POST"
    headers = {"content-type": "application/json", "host": "api"}
    if key:
        headers["authorization"] = f"Bearer {key}"
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": headers, "isBase64Encoded": False,
        "requestContext": {"http": {"method": method, "path": path, "sourceIp": "1.2.3.4",
                                    "protocol": "HTTP/1.1", "userAgent": "test"},
                           "stage": "$default", "domainName": "api", "requestId": "r"},
        **({} if body is None else {"body": json.dumps(body)})}


@pytest.fixture
def function(run):
    """Runs the image under the runtime emulator that SAM carries; gives the container and a
    callable that invokes it with an event."""
    emulators = sorted(TOOLS.glob("lib/python3*/site-packages/samcli/local/rapid/*x86_64*"))
    if not emulators:
        message = f"{TOOLS} has no aws-sam-cli: make tools"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)

    def function(*options: str):
        container, port = run(
            *HARDENED, "-v", f"{emulators[0]}:/rie:ro", "--entrypoint", "/rie",
            "-e", f"FRAUD_API_KEYS={HASH}", "-e", "FRAUD_CLOCK=event", *options, IMAGE,
            "/app/serve/entrypoint.sh", port=8080)
        url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        wait_for(url, container)

        def invoke(what: dict) -> tuple[int, dict]:
            answer = requests.post(url, json=what, timeout=60).json()
            assert "statusCode" in answer, (answer, docker("logs", container))
            body = answer.get("body", "")
            raw = base64.b64decode(body) if answer.get("isBase64Encoded") else body
            return answer["statusCode"], json.loads(raw) if raw else {}

        return container, invoke

    return function


def test_as_a_function_it_scores_for_who_has_a_key_and_hides_its_metrics(function):
    _, invoke = function()
    assert invoke(event("/readyz"))[0] == 200
    status, answer = invoke(event("/v1/score", payment()))
    assert (status, answer["decision"]) == (200, "decline")
    assert invoke(event("/v1/score", payment())) == (status, answer)
    assert invoke(event("/v1/score", payment(), key=None))[0] == 401
    assert invoke(event("/v1/score", {"amount": 1}))[0] == 422
    assert invoke(event("/metrics"))[0] == 404


def test_as_a_function_it_logs_its_metrics_for_cloudwatch(function):
    container, invoke = function()
    for _ in range(2):
        invoke(event("/v1/score", payment()))
    lines = {name: [line for line in json_lines(container) if "_aws" in line and name in line]
             for name in ("fraud_decisions_total", "fraud_repeats_total",
                          "fraud_http_request_seconds")}
    assert [line["decision"] for line in lines["fraud_decisions_total"]] == ["decline"]
    assert [line["fraud_repeats_total"] for line in lines["fraud_repeats_total"]] == [1]
    assert [line["status"] for line in lines["fraud_http_request_seconds"]] == ["200", "200"]


def test_as_a_function_it_keeps_its_history_in_dynamodb(function):
    """moto's server stands in for AWS."""
    server = ThreadedMotoServer(ip_address="0.0.0.0", port=0)
    server.start()
    port = server.get_host_and_port()[1]
    aws = {"AWS_ENDPOINT_URL": f"http://host.docker.internal:{port}",
           "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
           "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    try:
        boto3.client("dynamodb", aws["AWS_REGION"], endpoint_url=f"http://127.0.0.1:{port}",
                     aws_access_key_id="test", aws_secret_access_key="test").create_table(
            TableName="history", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
        options = [word for name, value in (aws | {
            "FRAUD_HISTORY": "dynamodb://history", "FRAUD_HISTORY_DEADLINE_MS": "5000",
            "FRAUD_ACCOUNT_KEY": "key"}).items()
            for word in ("-e", f"{name}={value}")]
        options += ["--add-host", "host.docker.internal:host-gateway"]
        first, second = function(*options)[1], function(*options)[1]
        status, answer = first(event("/v1/score", payment()))
        assert (status, answer["history"], answer["idempotent"]) == (200, "short", True)
        assert second(event("/v1/score", payment())) == (status, answer)
        assert second(event("/v1/decisions/t-1")) == (status, answer)
    finally:
        server.stop()


# The same everywhere.

def payments(number: int) -> list[dict]:
    """Payments of few accounts, some of which are emptied."""
    return [payment(f"t{place}", amount=round(place * 37.11 % 500, 2), origin=f"C{place % 77}",
                    destination=f"C{place % 55}", event_time=START + place * 60_000,
                    origin_balance=round(place * 37.11 % 500, 2) if place % 5 == 0 else 700.0)
            for place in range(number)]


def offline(model: Path, history: str, bodies: list[dict]) -> list[Answered]:
    """Return the scorer's answers to payments, without any server."""
    scorer = Scorer(open_store(Settings(history=history)), bundle.load(model),
                    Settings(clock="event"), fallback_on_store_error=False)
    return [scorer.score([with_pseudonyms(b"key", parse(json.dumps(body)))])[0]
            for body in bodies]


def json_lines(container: str) -> list[dict]:
    return [json.loads(line) for line in docker("logs", container).splitlines()
            if line.startswith("{")]


def features_of(lines: list[dict]) -> dict[str, list[float]]:
    """Return the features of each payment from the decision log."""
    decisions = [msgspec.convert(line, Decision) for line in lines if "features" in line]
    return {decision.transaction_id: decision.features for decision in decisions}


def test_process_container_function_and_offline_give_equal_features_scores_and_answers(
        run, function, tmp_path, bundle_directory):
    bodies = payments(1_000)
    write_file(tmp_path / "history", [], since=0, until=START)
    subprocess.run(["chmod", "-R", "a+rX", str(tmp_path), str(bundle_directory)], check=True)
    by_scorer = offline(bundle_directory, f"memory://{tmp_path}/history", bodies)
    expected = [json.loads(outcome.body) for outcome in by_scorer]
    features = {outcome.decision.transaction_id: outcome.decision.features
                for outcome in by_scorer}
    assert {answer["decision"] for answer in expected} == {"approve", "decline"}
    assert {answer["history"] for answer in expected} == {"full"}

    server = Server(tmp_path, FRAUD_MODEL=str(bundle_directory), FRAUD_CLOCK="event",
                    FRAUD_HISTORY=f"memory://{tmp_path}/history")
    try:
        assert [server.post("/v1/score", body).json() for body in bodies] == expected
    finally:
        server.stop()
    assert features_of(map(json.loads, server.decisions.open())) == features

    mounted = ("-v", f"{bundle_directory}:/trained:ro", "-v", f"{tmp_path}/history:/history:ro",
               "-e", "FRAUD_MODEL=/trained", "-e", "FRAUD_HISTORY=memory:///history",
               "-e", "FRAUD_ACCOUNT_KEY=key")
    container, url = hardened_server(run, *mounted)
    headers, session = {"Authorization": f"Bearer {KEY}"}, requests.Session()
    assert [session.post(url + "/v1/score", json=body, headers=headers, timeout=9).json()
            for body in bodies] == expected
    assert features_of(json_lines(container)) == features

    container, invoke = function(*mounted)
    assert [invoke(event("/v1/score", body))[1] for body in bodies] == expected
    assert features_of(json_lines(container)) == features
