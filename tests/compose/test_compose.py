"""compose.yaml as it is started: each program in its container, from a payment to an alert.

Images of others are stand-ins where a machine does not have them (images.py); Grafana has none.
"""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import mlflow
import pytest
import requests
import yaml
from kafka import KafkaConsumer

from fraud.training.registry import Registry, bundle_writer, tracking
from fraud.training.registry.lineage import Lineage
from tests.compose import images
from tests.compose.running import Compose, eventually
from tests.conftest import linear_candidate
from tests.desk.running import Client
from tests.serve.running import HASH, KEY, environment, payment
from tests.tools import ROOT, build_context, need_docker

pytestmark = pytest.mark.system
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
STARTED = sorted(SERVICES.keys() - images.NO_STAND_IN - {"webhook"})
RUN_ONCE = {"topics"}
OWN_IMAGES = {"fraud-detector": "fraud-compose-detector", "fraud-desk": "fraud-compose-desk"}
API, DESK, MLFLOW = "http://localhost:8000", "https://localhost:8100", "http://localhost:5000"
PROMETHEUS, ALERTMANAGER = "http://localhost:9090", "http://localhost:9094"
PAYMENTS = 200


@pytest.fixture(scope="module")
def compose(tmp_path_factory) -> Iterator[Compose]:
    """All services but Grafana, started from a copy of the project with a linear champion 0."""
    need_docker()
    files, project = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("project")
    write_bundle(files / "bundle", "0", files)
    build_context(project, files / "bundle")
    for name in ("desk", "monitoring"):
        shutil.copytree(ROOT / name, project / name)
    (project / "monitored/report").mkdir(parents=True)
    (project / ".env").write_text(f"FRAUD_API_KEYS={HASH}\n")
    text = (ROOT / "compose.yaml").read_text()
    for name, image in OWN_IMAGES.items():      # the images of this machine's user stay
        text = text.replace(f"image: {name}\n", f"image: {image}\n")
    (project / "compose.yaml").write_text(text)
    subprocess.run(["chmod", "-R", "a+rX", project], check=True)
    stand_ins = images.build_missing(SERVICES, files)
    compose = Compose(project)
    try:
        compose("build", "api", "desk")
        compose("up", "--detach", "--no-build", *STARTED)
        eventually(lambda: requests.get(f"{API}/readyz", timeout=5).ok)
        yield compose
    except AssertionError as error:
        raise AssertionError(compose("logs", "--tail", "50")) from error
    finally:
        compose("--profile", "webhook", "down", "--volumes", "--timeout", "5")
        images.remove(stand_ins)


@pytest.fixture(scope="module")
def decisions(compose, payments) -> list[dict]:
    """The decisions of the stream on payments that the producer sent."""
    produce(payments, PAYMENTS)
    with KafkaConsumer("decisions", bootstrap_servers="localhost:9092",
                       auto_offset_reset="earliest", isolation_level="read_committed",
                       consumer_timeout_ms=60_000) as reader:
        return [json.loads(record.value)
                for record, _ in zip(reader, range(PAYMENTS), strict=False)]


def write_bundle(directory: Path, number: str, files: Path) -> str:
    """Write a bundle whose logit is the amount, and return its digest."""
    return bundle_writer.write(linear_candidate(files), Lineage(
        "d" * 64, "c" * 40, "TrainFlow/7", version=number), directory)


def produce(payments: Path, count: int) -> None:
    subprocess.run([sys.executable, ROOT / "stream/producer.py", "--transactions", payments,
                    "--limit", str(count)], check=True, capture_output=True, env=environment())


def score(name: str, **changes) -> dict:
    answer = requests.post(f"{API}/v1/score", json=payment(name, **changes), timeout=30,
                           headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def query(expression: str) -> dict[str, float]:
    """Return the values of a PromQL expression by job."""
    answer = requests.get(f"{PROMETHEUS}/api/v1/query", {"query": expression}, timeout=10).json()
    return {each["metric"].get("job", ""): float(each["value"][1])
            for each in answer["data"]["result"]}


def test_the_stream_scores_what_the_producer_sends(decisions):
    assert len(decisions) == PAYMENTS
    assert {decision["model_version"] for decision in decisions} == {"0"}


def test_the_api_scores_for_callers_with_a_key(compose):
    assert score("api-1")["decision"] == "decline"
    assert requests.post(f"{API}/v1/score", json=payment(), timeout=30).status_code == 401
    assert requests.get(f"{API}/docs", timeout=30).ok


def test_every_service_runs_and_none_was_restarted(compose, decisions):
    for name in STARTED:
        expected = "exited 0 0" if name in RUN_ONCE else "running 0 0"
        assert compose.state(name) == expected, compose("logs", name)


def test_prometheus_reads_every_program(compose, decisions):
    jobs = {f"fraud-{name}" for name in ("api", "scorer", "labels", "desk", "reports")}
    assert eventually(lambda: (up := query("up == 1")).keys() == jobs and up)
    answered = 'sum by (job) ({__name__=~"fraud_decisions_total|fraud_repeats_total"})'
    assert eventually(lambda: query(answered).get("fraud-scorer")
                      ) == PAYMENTS
    assert "fraud-desk" in query("fraud_desk_overdue_cases")


def test_people_decide_reviews_on_the_desk(compose, tmp_path, monkeypatch):
    assert score("to-review", amount=0.5, origin="C-review")["decision"] == "review"
    certificate = tmp_path / "desk.crt"
    certificate.write_text(compose("exec", "-T", "desk", "cat", "/data/tls.crt"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert "Sign in" in requests.get(f"{DESK}/sign-in", timeout=30).text
    password = compose("exec", "-T", "desk", "python3", "-m", "desk.people", "add", "ana",
                       "--role", "lead").split()[-1]
    desk = Client(DESK, "ana", password)
    [case, *_] = eventually(desk.case_ids)
    assert desk.decide(case).ok


def test_the_registry_is_one_version_with_its_clients_and_knows_its_names(compose):
    assert requests.get(f"{MLFLOW}/version", timeout=30).text == version("mlflow")
    experiments = f"{MLFLOW}/api/2.0/mlflow/experiments/search?max_results=1"
    answers = {host: requests.get(experiments, headers={"Host": host}, timeout=30).status_code
               for host in ("localhost:5000", "mlflow:5000", "attacker.example")}
    assert answers == {"localhost:5000": 200, "mlflow:5000": 200, "attacker.example": 403}


def test_a_promotion_through_the_registry_reaches_api_and_stream(compose, decisions, payments,
                                                                 tmp_path, monkeypatch):
    variables = {"MLFLOW_TRACKING_URI": MLFLOW, "FRAUD_MODEL": str(compose.directory / "models")}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracking.connect()
    with tracking.run("a run", {}, {}) as run_id:
        mlflow.log_text("a model", "native/model")
    tags = {"framework": "xgboost", "test_f1": "0.9", "test_auprc": "0.9", "gate_reason": "passed",
            "data_digest": "d" * 64, "git_commit": "c" * 40, "metaflow_run": "TrainFlow/7"}
    with Registry().registered(
            tracking.Logged(run_id, None, f"runs:/{run_id}/native"), tags,
            lambda number, directory: write_bundle(
                Path(directory), number, tmp_path)) as number:
        pass
    subprocess.run([sys.executable, "-m", "fraud.training.registry", "promote", number, "--reason",
                    "better"], check=True, cwd=ROOT, env=environment(**variables))

    for job in ("fraud-api", "fraud-scorer"):
        assert eventually(lambda job=job: query(
            f'fraud_model_info{{job="{job}", model_version="{number}"}} == 1'))
    assert score("after-promotion")["model_version"] == number


class Receiver(BaseHTTPRequestHandler):
    """A receiver of events, which answers with the status of its server."""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_an_alert_of_the_webhook_reaches_alertmanager(compose, decisions, payments):
    gateway = subprocess.run(
        ["docker", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge"],
        capture_output=True, text=True, check=True).stdout.strip()
    with ThreadingHTTPServer(("0.0.0.0", 0), Receiver) as receiver:     # nosec B104
        receiver.status = 200
        Thread(target=receiver.serve_forever, daemon=True).start()
        with open(compose.directory / ".env", "a") as settings:
            settings.write(f"FRAUD_WEBHOOK_URL=http://{gateway}:{receiver.server_port}\n"
                           f"FRAUD_WEBHOOK_SECRET=whsec_{base64.b64encode(bytes(32)).decode()}\n")
        compose("--profile", "webhook", "up", "--detach", "--no-build", "webhook")
        assert eventually(lambda: query("fraud_webhook_delivered_total > 0"))
        receiver.status = 400
        produce(payments, PAYMENTS + 20)
        alerts = eventually(
            lambda: requests.get(f"{ALERTMANAGER}/api/v2/alerts", timeout=10).json())
        receiver.shutdown()
    assert "FraudWebhookRefused" in {alert["labels"]["alertname"] for alert in alerts}
