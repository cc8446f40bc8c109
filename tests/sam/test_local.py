"""The function behind its gateway run by `sam local start-api` as in sam/README.md."""

import shutil
import subprocess
import time

import pytest
import requests

from stream.broker import free_port
from tests.serve.running import payment
from tests.tools import ROOT, build_context, need_docker, program

pytestmark = pytest.mark.system
KEY = {"Authorization": "Bearer local"}


@pytest.fixture
def gateway(tmp_path, bundle_directory):
    """The URL of the API after `sam build && sam local start-api`."""
    need_docker()
    folder = build_context(tmp_path, bundle_directory) / "sam"
    shutil.copytree(ROOT / "sam", folder)
    subprocess.run([program("sam"), "build"], cwd=folder, check=True, capture_output=True)
    port = free_port()
    log = tmp_path / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen([program("sam"), "local", "start-api", "--port", str(port)],
                                   cwd=folder, stdout=output, stderr=output)
    try:
        yield ready(f"http://127.0.0.1:{port}", log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:       # SAM sometimes hangs in the end of its server
            process.kill()


def ready(url: str, log) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            requests.get(url + "/healthz", timeout=60)
            return url
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_it_scores_for_callers_with_the_key_of_local_json(gateway):
    answer = requests.post(gateway + "/v1/score", json=payment(), headers=KEY, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.json()["transaction_id"] == "t-1"
    assert requests.post(gateway + "/v1/score", json=payment(), timeout=60).status_code == 401
    served = requests.get(gateway + "/v1/model", headers=KEY, timeout=60).json()
    assert served["manifest"]["name"] == "fraud-detector"
    assert requests.get(gateway + "/metrics", headers=KEY, timeout=60).status_code == 403
