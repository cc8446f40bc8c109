"""Prometheus, Grafana and their targets have the names in compose.yaml that they look for."""

import yaml

from tests.tools import ROOT

SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
PROMETHEUS = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())


def test_services_find_one_another_by_name():
    [alertmanager] = PROMETHEUS["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    [source] = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yml"
                               ).read_text())["datasources"]
    reports = PROMETHEUS["scrape_configs"][-1]["static_configs"][0]["targets"]
    names = {alertmanager.split(":")[0], source["url"].removeprefix("http://").split(":")[0],
             *(target.split(":")[0] for target in reports)}
    assert names <= set(SERVICES)


def test_grafana_finds_dashboards_where_they_are_mounted():
    [provider] = yaml.safe_load((ROOT / "monitoring/grafana/provisioning/dashboards/fraud.yml"
                                 ).read_text())["providers"]
    assert any(f":{provider['options']['path']}:" in volume
               for volume in SERVICES["grafana"]["volumes"])
