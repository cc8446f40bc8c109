"""Alerts and recording rules: promtool runs their tests, and no alert is without one."""

import re
from collections.abc import Iterator

import pytest
import yaml

from tests.tools import ROOT, run

FOLDER = ROOT / "monitoring/prometheus"
TESTS = sorted((FOLDER / "tests").glob("*.yml"))
RULES = [rule for path in (FOLDER / "rules").glob("*.yml")
         for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression asks for, through recording rules too."""
    names = set(re.findall(r"\b(?:fraud_\w+|up|process_cpu_seconds_total)\b", expression))
    for name in re.findall(r"\bfraud:[\w:]+", expression):
        names |= metrics_in(RECORDED[name])
    return names


def cases() -> Iterator[tuple[set[str], list[set[str]]]]:
    """Of each case of promtool: the metrics it has, and the alerts that fire, moment by moment."""
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            moments = [{re.search(r'alertname="(\w+)"', sample["labels"])[1]
                        for sample in test.get("exp_samples", [])}
                       for test in case["promql_expr_test"] if "ALERTS" in test["expr"]]
            yield {re.split(r"\W", series["series"])[0] for series in case["input_series"]}, moments


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_promtool_finds_that_rules_do_what_their_tests_say(path):
    run("promtool", "test", "rules", path)


def test_the_configurations_are_valid():
    run("promtool", "check", "config", FOLDER / "prometheus.yml")
    run("amtool", "check-config", FOLDER / "alertmanager.yml")


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_fires_in_one_case_and_is_silent_in_another(name):
    needed = metrics_in(ALERTS[name]["expr"])
    assert needed
    fires = [name in moment for its, moments in cases() if its & needed for moment in moments]
    assert True in fires
    assert False in fires


@pytest.mark.parametrize("name", RECORDED)
def test_each_recording_is_asked_for(name):
    asked = [rule["expr"] for rule in RULES] + [
        path.read_text() for path in (ROOT / "monitoring/grafana").rglob("*.json")]
    assert any(re.search(rf"{re.escape(name)}(?![\w:])", text) for text in asked)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert "for" in rule
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    assert page.endswith("/monitoring/runbook.md")
    headings = re.findall(r"^## (.*)$", (ROOT / "monitoring/runbook.md").read_text(), re.MULTILINE)
    assert anchor in [heading.lower() for heading in headings]


def test_the_runbook_speaks_of_no_alert_that_is_gone():
    headings = re.findall(r"^## (.*)$", (ROOT / "monitoring/runbook.md").read_text(), re.MULTILINE)
    assert set(headings) == set(ALERTS)


def test_alertmanager_wakes_someone_for_critical_alerts_only():
    routes = FOLDER / "alertmanager.yml"
    for severity, receiver in (("critical", "on-call"), ("warning", "team")):
        assert run("amtool", "config", "routes", "test", f"--config.file={routes}",
                   f"severity={severity}").strip() == receiver
