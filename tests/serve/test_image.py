"""The image as it is built and run: as a hardened container, and under Lambda's emulator."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import requests

from fraud.training import publication
from tests.serve.running import HASH, KEY, Server, payment

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".venv-tools"
CONTEXT = ("fraud", "serve", "stream", "requirements.txt", "pyproject.toml", ".dockerignore")
NAME = "fraud-detector-test"
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt",
            "no-new-privileges", "--memory", "512m")
MIB = 2 ** 20
PAYMENTS = [payment(f"t{place}", amount=round(place * 0.37 % 5, 2), origin=f"C{place % 7}",
                    destination=f"C{place % 5}", event_time=1_704_103_200_000 + place * 60_000)
            for place in range(200)]

pytestmark = pytest.mark.system


def docker(*arguments: str, check: bool = True) -> str:
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return (result.stdout + result.stderr).strip()


@pytest.fixture(scope="module")
def need_docker():
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        message = "no Docker engine answers"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


@pytest.fixture(scope="module")
def image(need_docker, tmp_path_factory) -> str:
    """The image of the working tree with a linear bundle baked in."""
    context = tmp_path_factory.mktemp("context")
    for name in CONTEXT:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, context / name)
    bundle = linear_bundle(tmp_path_factory.mktemp("bundle"))
    publication.publish(bundle, "fraud-detector", str(context / "models"))
    subprocess.run(["chmod", "-R", "a+rX", str(context / "models")], check=True)
    docker("build", "-f", str(context / "serve/Dockerfile"), "-t", NAME, str(context))
    return NAME


def linear_bundle(directory: Path) -> Path:
    from tests.conftest import linear_candidate
    from fraud.training import assembly

    (directory / "files").mkdir()
    assembly.write(linear_candidate(directory / "files"), assembly.Lineage(
        "d" * 64, "c" * 40, "TrainFlow/7", version="1"), directory / "bundle")
    return directory / "bundle"


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
                          *options, NAME)
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
    container, _ = run(NAME)
    assert docker("wait", container) == "1"
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
    """What an HTTP API of API Gateway sends (payload format 2.0)."""
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
def invoke(run):
    """Invokes the image as a function under the runtime emulator that SAM carries."""
    emulators = sorted(TOOLS.glob("lib/python3*/site-packages/samcli/local/rapid/*x86_64*"))
    if not emulators:
        message = f"{TOOLS} has no aws-sam-cli: make tools"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    container, port = run(
        *HARDENED, "-v", f"{emulators[0]}:/rie:ro", "--entrypoint", "/rie",
        "-e", f"FRAUD_API_KEYS={HASH}", "-e", "FRAUD_CLOCK=event", NAME,
        "/app/serve/entrypoint.sh", port=8080)
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    wait_for(url, container)

    def invoke(what: dict) -> tuple[int, dict]:
        answer = requests.post(url, json=what, timeout=60).json()
        assert "statusCode" in answer, (answer, docker("logs", container))
        body = answer.get("body", "")
        raw = base64.b64decode(body) if answer.get("isBase64Encoded") else body
        return answer["statusCode"], json.loads(raw) if raw else {}

    return invoke


def test_as_a_function_it_scores_for_who_has_a_key_and_hides_its_metrics(invoke):
    assert invoke(event("/readyz"))[0] == 200
    status, answer = invoke(event("/v1/score", payment()))
    assert (status, answer["decision"]) == (200, "decline")
    assert invoke(event("/v1/score", payment())) == (status, answer)
    assert invoke(event("/v1/score", payment(), key=None))[0] == 401
    assert invoke(event("/v1/score", {"amount": 1}))[0] == 422
    assert invoke(event("/metrics"))[0] == 404


def test_process_container_and_function_give_equal_answers(run, invoke, tmp_path):
    server = Server(tmp_path, FRAUD_MODEL=str(linear_bundle(tmp_path)), FRAUD_CLOCK="event")
    try:
        expected = [server.post("/v1/score", body).json() for body in PAYMENTS]
    finally:
        server.stop()
    _, url = hardened_server(run)
    headers = {"Authorization": f"Bearer {KEY}"}
    session = requests.Session()
    assert [session.post(url + "/v1/score", json=body, headers=headers, timeout=9).json()
            for body in PAYMENTS] == expected
    assert [invoke(event("/v1/score", body))[1] for body in PAYMENTS] == expected
