"""Prometheus, Grafana and their targets have the names in compose.yaml that they look for."""

import json
import os
import subprocess

import pytest
import yaml

from tests.tools import ROOT

TOOLS = ROOT / ".venv-tools"
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


@pytest.mark.system
def test_dashboards_have_no_field_that_grafana_does_not_know():
    """Grafana cannot run here; its schema keeps what it knows, and drops the rest."""
    if not list(TOOLS.glob("lib/python3*/site-packages/grafana_foundation_sdk")):
        message = f"{TOOLS} has no grafana-foundation-sdk: make tools"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    dashboards = [json.loads(path.read_text()) for path in
                  sorted((ROOT / "monitoring/grafana/dashboards").glob("*.json"))]
    result = subprocess.run([TOOLS / "bin/python", ROOT / "tests/monitoring/grafana_schema.py"],
                            input=json.dumps(dashboards), text=True, check=True,
                            capture_output=True)
    for dashboard, kept in zip(dashboards, json.loads(result.stdout), strict=True):
        assert lost(dashboard, kept) == []


def lost(given: object, kept: object, place: str = "") -> list[str]:
    """Return where a part of a JSON value is missing from another, or differs."""
    match given, kept:
        case dict(), dict():
            pairs = {f".{name}": (value, kept.get(name)) for name, value in given.items()}
        case list(), list() if len(given) == len(kept):
            pairs = {f"[{number}]": pair
                     for number, pair in enumerate(zip(given, kept, strict=True))}
        case _:
            return [] if given == kept else [place]
    places = []
    for name, (part, kept_part) in pairs.items():
        places += lost(part, kept_part, place + name)
    return places
