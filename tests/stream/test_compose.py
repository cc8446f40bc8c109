"""compose.yaml and the scrape configuration are true to the programs that they start."""

import re

import yaml

from desk.settings import DeskSettings, read_desk_settings
from fraud.brokers import BROKERS
from serve.settings import ServeSettings
from stream.broker import JARS
from stream.settings import StreamSettings, read_stream_settings
from tests.tools import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
MADE = ("./models", "./monitored/report")       # by make train and make report


def test_all_is_there_with_images_of_one_version_each():
    assert {"kafka", "redis", "api", "scorer", "labels", "prometheus", "grafana", "mlflow"
            } <= SERVICES.keys()
    ours = {name: service["image"] for name, service in SERVICES.items() if "build" in service}
    assert ours == {"api": "fraud-detector", "desk": "fraud-desk", "scorer": "fraud-detector",
                    "labels": "fraud-detector", "topics": "fraud-detector"}
    for service in SERVICES.values():
        if "build" not in service:
            assert re.fullmatch(r".+:v?\d+(\.\d+)+", service["image"]), service["image"]


def test_the_broker_is_the_one_that_is_tested():
    [version] = re.findall(r"kafka_2\.13-(\S+)\.jar", JARS.read_text())
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"


def test_every_variable_of_a_detector_is_a_setting():
    known = {f"FRAUD_{field.upper()}" for kind in (ServeSettings, StreamSettings, DeskSettings)
             for field in kind.__struct_fields__} | {BROKERS}
    for service in SERVICES.values():
        if "build" in service:
            assert service["environment"].keys() <= known
    assert read_stream_settings(SERVICES["scorer"]["environment"]).brokers == "kafka:19092"


def test_the_desk_reads_where_the_detectors_write():
    read = read_desk_settings(SERVICES["desk"]["environment"]).desk_decisions.split(",")
    written = [SERVICES[name]["environment"]["FRAUD_DECISION_LOG"] for name in ("api", "scorer")]
    assert read == written
    assert SERVICES["desk"]["network_mode"] == "host"
    for name in ("api", "scorer", "desk"):
        assert "decisions:/data" in SERVICES[name]["volumes"]


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
    targets = [target for job in scraped["scrape_configs"] for its in job["static_configs"]
               for target in its["targets"]]
    port = StreamSettings().metrics_port
    assert targets == ["api:8000", f"scorer:{port}", f"labels:{port}", "node-exporter:9100"]
