"""A real Prometheus reads a real server under traffic, a report and the stream's metrics; what
dashboards and rules ask for is there."""

import json
import re
import subprocess
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
import requests
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, write_to_textfile
from prometheus_client.metrics import MetricWrapperBase

from desk import metrics as desk_metrics
from fraud.bundle import CanaryPointer, sha256
from fraud.rules.rule_set import Condition, Rule, RuleSet, RulesPointer
from fraud.training.errors import TrainingError
from fraud.training.registry import bundle_writer, publication
from fraud.training.registry.lineage import Lineage
from monitoring import canary_rates, exposition, report
from monitoring.canary_rates import VersionPair
from stream import metrics as stream_metrics, webhook_metrics
from stream.broker import free_port
from tests.conftest import linear_candidate
from tests.monitoring.conftest import write_log
from tests.monitoring.test_rules import ALERTS, FOLDER, RECORDED, RULES
from tests.serve.running import Server, payment
from tests.tools import ROOT, program

DASHBOARDS = sorted((ROOT / "monitoring/grafana/dashboards").glob("*.json"))
SECONDS = 90

pytestmark = pytest.mark.system


def write_stream_metrics(path: Path, batches: int) -> None:
    """Metrics of a worker of the stream after some batches, of a webhook and of a desk; their names
    are those of stream/metrics.py, stream/webhook_metrics.py and desk/metrics.py."""
    registry = CollectorRegistry()
    counted = partial(Counter, registry=registry)
    counted("fraud_stream_messages_total", "-").inc(100 * batches)
    Gauge("fraud_stream_lag_messages", "-", ["partition"], registry=registry).labels("0").set(7)
    for name, buckets, value in (("batch_messages", (10, 100, 1000), 100),
                                 ("latency_seconds", (0.01, 0.1, 1), 0.05)):
        its = Histogram(f"fraud_stream_{name}", "-", buckets=buckets, registry=registry)
        for _ in range(batches):
            its.observe(value)
    counted("fraud_stream_dead_letters_total", "-", ["reason"]).labels("id-reused").inc(batches)
    counted("fraud_stream_aborted_total", "-", ["error"]).labels("fenced").inc(batches)
    counted("fraud_stream_outages_total", "-").inc(batches)
    for name in ("delivered", "refused", "skipped_lines"):
        counted(f"fraud_webhook_{name}_total", "-").inc(0 if name == "refused" else batches)
    counted("fraud_webhook_failures_total", "-", ["reason"]).labels("503").inc(batches)
    Histogram("fraud_webhook_seconds", "-", buckets=(0.1, 1), registry=registry).observe(0.05)
    for name, value in (("queue_events", 3), ("queue_limit_events", 100), ("unread_bytes", 0)):
        Gauge(f"fraud_webhook_{name}", "-", registry=registry).set(value)
    for name in ("lines", "invalid_lines"):
        counted(f"fraud_desk_{name}_total", "-").inc(batches)
    for name in ("open_cases", "overdue_cases"):
        Gauge(f"fraud_desk_{name}", "-", registry=registry).set(0)
    Gauge("fraud_desk_outbox_waiting", "-", ["kind"], registry=registry).labels("label").set(0)
    for name in ("sent", "send_failures"):
        counted(f"fraud_desk_{name}_total", "-", ["kind"]).labels("label").inc(0)
    counted("fraud_desk_outcomes_total", "-", ["outcome"]).labels("fraud").inc(batches)
    Histogram("fraud_desk_request_seconds", "-", ["status"], buckets=(0.1, 1),
              registry=registry).labels("200").observe(0.05)
    write_to_textfile(str(path), registry)


class Files:
    """A server of files: what node_exporter and the stream's worker would expose."""

    def __init__(self, directory: Path):
        class Quiet(SimpleHTTPRequestHandler):
            extensions_map = {"": "text/plain; version=0.0.4"}

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Quiet, directory=str(directory)))
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("server")
    models = str(directory / "models")
    for version, file in (("1", "champion.json"), ("2", "challenger.json")):
        bundle_writer.write(linear_candidate(directory), Lineage(
            "d" * 64, "c" * 40, "TrainFlow/7", version=version, trained_at=1_704_103_200_000),
            directory / version)
        pointer = publication.publish(directory / version, "fraud-detector", models, file)
    publication.write_pointer(CanaryPointer(**msgspec.structs.asdict(pointer), share=50, since=0),
                              models, "canary.json")
    rule = Rule("large", "decline", "why", "ana", (Condition("amount", ">=", 5.0),))
    content = msgspec.json.encode(RuleSet(1, 0, "ana", "why", (rule,)))
    publication.write_files(str(directory / "rules"), {
        "rules-1.json": content, "rules.json": msgspec.json.encode(
            RulesPointer(1, "rules-1.json", sha256(content)))})
    server = Server(directory, FRAUD_MODEL=models,
                    FRAUD_RULES=str(directory / "rules"))
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture(scope="module")
def exposed(tmp_path_factory, month) -> Path:
    """A directory with the metrics of a report, of a retraining and of the stream."""
    directory = tmp_path_factory.mktemp("exposed")
    write_log(month.days(0, 28), directory / "log.jsonl")
    declined = {one.transaction_id for one in month.decisions if one.decision == "decline"}
    month.labels.assign(is_fraud=month.labels["transaction_id"].isin(declined).astype(int)
                        ).to_parquet(directory / "labels.parquet")
    report.main(["--reference", str(directory / "log.jsonl"), "--decisions",
                 str(directory / "log.jsonl"), "--labels", str(directory / "labels.parquet"),
                 "--out", str(directory)])
    exposition.write_retraining(False, time.time_ns() // 1_000_000,
                                directory / "retraining.prom")
    write_stream_metrics(directory / "stream.prom", 1)
    return directory


def configuration(api: int, files: int, directory: Path) -> Path:
    """Our own configuration, a second between looks, with targets that are here."""
    its = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    its["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    its["rule_files"] = [str(FOLDER / path) for path in its["rule_files"]]
    del its["alerting"]
    jobs = {job["job_name"]: job for job in its["scrape_configs"]}
    assert set(jobs) == {"fraud-api", "fraud-scorer", "fraud-labels", "fraud-desk",
                         "fraud-webhook", "fraud-reports"}
    jobs["fraud-api"]["static_configs"] = [{"targets": [f"127.0.0.1:{api}"]}]
    jobs["fraud-scorer"] |= {"metrics_path": "/stream.prom", "static_configs": [
        {"targets": [f"127.0.0.1:{files}"]}]}
    reports = jobs["fraud-reports"] | {"static_configs": [{"targets": [f"127.0.0.1:{files}"]}]}
    its["scrape_configs"] = [jobs["fraud-api"], jobs["fraud-scorer"], *(
        reports | {"job_name": f"fraud-{name}", "metrics_path": f"/{name}.prom"}
        for name in ("report", "retraining"))]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(its))
    return directory / "prometheus.yml"


class Prometheus:
    def __init__(self, configuration: Path, directory: Path):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._api = f"{self.url}/api/v1"
        self._log = open(directory / "log", "wb")
        self.process = subprocess.Popen(
            [program("prometheus"), f"--config.file={configuration}",
             f"--storage.tsdb.path={directory / 'data'}",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=self._log, stderr=self._log)

    def ask(self, expression: str) -> list:
        answer = requests.get(f"{self._api}/query", params={"query": expression}, timeout=10).json()
        assert answer["status"] == "success", (expression, answer)
        return [sample for sample in answer["data"]["result"] if sample["value"][1] != "NaN"]

    def targets(self) -> dict[str, str]:
        found = requests.get(f"{self._api}/targets", timeout=10).json()["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    def rules(self) -> dict[str, str]:
        groups = requests.get(f"{self._api}/rules", timeout=10).json()["data"]["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


@pytest.fixture(scope="module")
def prometheus(server, exposed, tmp_path_factory):
    """It has looked at everything at least twice, under traffic."""
    directory, files = tmp_path_factory.mktemp("prometheus"), Files(exposed)
    prometheus = Prometheus(configuration(server.port, files.port, directory), directory)
    deadline, rounds = time.monotonic() + SECONDS, 0
    while time.monotonic() < deadline:
        rounds += 1
        traffic(server, rounds)
        write_stream_metrics(exposed / "stream.prom", rounds)
        time.sleep(0.5)
        if rounds > 5 and is_ready(prometheus):
            break
    yield prometheus
    prometheus.stop()
    files.stop()


def traffic(server: Server, round_: int) -> None:
    """Payments of every decision, a repeat, a refusal and a batch."""
    for place, amount in enumerate((0.01, 0.5, 9.0)):
        server.score(f"{round_}-{place}", amount=amount)
    server.score(f"{round_}-0", amount=0.01)
    assert server.score(f"{round_}-0", amount=0.02).status_code == 409
    server.post("/v1/score/batch", [
        payment(f"{round_}-b{number}", amount=0.02, origin=f"C{number}") for number in range(20)])


def is_ready(prometheus: Prometheus) -> bool:
    try:
        looks = prometheus.ask("min(count_over_time(up[1m]))")
        recorded = prometheus.ask("fraud:stream_latency_seconds:p99_5m")
    except requests.ConnectionError:
        return False
    return bool(looks and recorded) and float(looks[0]["value"][1]) > 4


def test_everything_is_read(prometheus):
    assert prometheus.targets() == dict.fromkeys(
        ["fraud-api", "fraud-scorer", "fraud-report", "fraud-retraining"], "up")


def queries() -> list[tuple[str, str]]:
    """Of all dashboards: the panel, and what it asks."""
    return [(f"{path.stem}: {panel['title']}", target["expr"]) for path in DASHBOARDS
            for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]


@pytest.mark.parametrize(("panel", "expression"), queries())
def test_no_panel_is_dead(prometheus, panel, expression):
    assert prometheus.ask(expression.replace("$__rate_interval", "1m"))


@pytest.mark.parametrize("name", RECORDED)
def test_every_recording_has_a_value(prometheus, name):
    assert prometheus.ask(name)


@pytest.mark.parametrize("name", ALERTS)
def test_every_metric_that_an_alert_asks_for_is_there_with_its_labels(prometheus, name):
    expression = ALERTS[name]["expr"]
    found = re.findall(r"\b(fraud[\w:]*|up)\b(?:\{(.*?)\})?(?!\s*\()", expression)
    assert found
    for metric, matchers in found:
        has = "".join(f'{label}!="",' for label in re.findall(r"(\w+)[=!]", matchers))
        assert prometheus.ask(f"{metric}{{{has}}}"), metric


def test_alerts_fire_on_what_is_wrong_here_and_on_nothing_else(prometheus):
    pending = {sample["metric"]["alertname"] for sample in prometheus.ask("ALERTS")}
    assert pending == {
        "FraudModelOld", "FraudHistoryShort", "FraudDeadLetters", "FraudStreamAborts",
        "FraudStreamPaused", "FraudCanaryOverdue"}


def test_the_guard_reads_the_rates_of_champion_and_canary(prometheus):
    versions = VersionPair(canary="2", champion="1")
    rates = canary_rates.of_prometheus(prometheus.url, versions, 600, 0.025)
    assert set(rates) == {"errors", "slow_calls", "reviews", "declines"}
    for pair in rates.values():
        assert min(rate.trials for rate in pair) > 0
    assert rates["errors"].canary.events == rates["errors"].champion.events == 0
    with pytest.raises(TrainingError, match="slow_seconds is 0.03, and fraud_model_seconds has no"):
        canary_rates.of_prometheus(prometheus.url, versions, 600, 0.03)


def test_prometheus_can_evaluate_every_rule(prometheus):
    assert prometheus.rules() == dict.fromkeys(
        [rule.get("alert") or rule["record"] for rule in RULES], "ok")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_has_a_title_a_question_and_no_panel_over_another(path):
    dashboard = json.loads(path.read_text())
    assert dashboard["title"] and "?" in dashboard["description"]
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_the_dashboards_are_those_that_kubernetes_is_given():
    given = yaml.safe_load((ROOT / "monitoring/grafana/kustomization.yaml").read_text())
    [generator] = given["configMapGenerator"]
    assert {Path(file).name for file in generator["files"]} == {path.name for path in DASHBOARDS}


def test_the_stream_has_the_metrics_that_stand_for_it_here(tmp_path):
    write_stream_metrics(tmp_path / "stream.prom", 1)
    written = dict(line.split()[2:4] for line in (tmp_path / "stream.prom").read_text().splitlines()
                   if line.startswith("# TYPE") and "_created" not in line)
    its = {described.name + ("_total" if described.type == "counter" else ""): described.type
           for module in (stream_metrics, webhook_metrics, desk_metrics)
           for metric in vars(module).values() if isinstance(metric, MetricWrapperBase)
           for described in metric.describe()}
    assert written == its
