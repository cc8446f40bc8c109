"""compose.yaml and the scrape configuration are true to the programs that they start."""

import re
from importlib.metadata import version

import yaml

from desk.settings import DeskSettings, read_desk_settings
from fraud.brokers import BROKERS
from serve.settings import ServeSettings
from stream.broker import JARS
from stream.settings import StreamSettings, WebhookSettings, read_stream_settings
from tests.tools import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
MADE = ("./models", "./monitored/report")       # by make train and make report


def test_all_is_there_with_images_of_one_version_each():
    assert {"kafka", "redis", "api", "scorer", "labels", "prometheus", "grafana", "mlflow"
            } <= SERVICES.keys()
    ours = {name: service["image"] for name, service in SERVICES.items() if "build" in service}
    assert ours == {"api": "fraud-detector", "desk": "fraud-desk", "scorer": "fraud-detector",
                    "labels": "fraud-detector", "topics": "fraud-detector",
                    "webhook": "fraud-detector"}
    for service in SERVICES.values():
        if "build" not in service:
            assert re.fullmatch(r".+:v?\d+(\.\d+)+", service["image"]), service["image"]


def test_the_broker_is_the_one_that_is_tested():
    [release] = re.findall(r"kafka_2\.13-(\S+)\.jar", JARS.read_text())
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{release}"


def test_every_variable_of_a_detector_is_a_setting():
    known = {f"FRAUD_{field.upper()}"
             for kind in (ServeSettings, StreamSettings, WebhookSettings, DeskSettings)
             for field in kind.__struct_fields__} | {BROKERS}
    for service in SERVICES.values():
        if "build" in service:
            assert service["environment"].keys() <= known
    assert read_stream_settings(SERVICES["scorer"]["environment"]).brokers == "kafka:19092"


def test_the_desk_and_the_webhook_read_where_the_detectors_write():
    read = read_desk_settings(SERVICES["desk"]["environment"]).desk_decisions.split(",")
    written = [SERVICES[name]["environment"]["FRAUD_DECISION_LOG"] for name in ("api", "scorer")]
    assert [path.replace("/decisions/", "/data/") for path in read] == written
    assert SERVICES["webhook"]["environment"]["FRAUD_DECISION_LOG"] in written
    for name in ("api", "scorer", "webhook"):
        assert "decisions:/data" in SERVICES[name]["volumes"]
    assert "decisions:/decisions:ro" in SERVICES["desk"]["volumes"]


def test_what_is_mounted_and_waited_for_is_there():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert source in MADE or (ROOT / source).exists()
            else:
                assert source in COMPOSE["volumes"]
        assert set(service.get("depends_on", {})) <= SERVICES.keys()


def test_nothing_is_open_to_other_machines():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_prometheus_reads_from_the_ports_that_programs_have():
    scraped = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in scraped["scrape_configs"]}
    [webhook] = jobs.pop("fraud-webhook")["dns_sd_configs"]
    targets = [target for job in jobs.values() for group in job["static_configs"]
               for target in group["targets"]]
    port = StreamSettings().metrics_port
    assert targets == ["api:8000", f"scorer:{port}", f"labels:{port}", "desk:8100",
                       "node-exporter:9100"]
    assert (webhook["names"], webhook["port"]) == (
        ["webhook"], WebhookSettings().webhook_metrics_port)


def test_the_server_of_mlflow_has_the_version_of_the_client():
    assert SERVICES["mlflow"]["image"] == f"ghcr.io/mlflow/mlflow:v{version('mlflow')}"
