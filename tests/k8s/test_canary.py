"""The guard's component on the base: consistent, confined, and in agreement with the guard."""

import subprocess
import sys

import pytest

from monitoring import canary
from tests.k8s.test_scorer import one
from tests.tools import ROOT

NAME = "fraud-canary"


@pytest.fixture(scope="module")
def overlay(with_components):
    return with_components("canary")


@pytest.fixture
def pod(overlay) -> dict:
    job = one(overlay, "CronJob", NAME)["spec"]["jobTemplate"]["spec"]
    return job["template"]["spec"]


def test_it_runs_the_guard_with_options_that_it_has(pod, capsys, monkeypatch, tmp_path):
    [container] = pod["containers"]
    assert container["command"] == ["python3", "-m", "monitoring.canary"]
    assert container["image"].startswith("registry.example.com/fraud-monitoring:")
    monkeypatch.setenv("FRAUD_MODEL", str(tmp_path))
    canary.main(container["args"])
    assert capsys.readouterr().out == f"{tmp_path} has no canary\n"


def test_it_is_confined_as_the_api_is(overlay, pod):
    api = one(overlay, "Deployment", "fraud-api")["spec"]["template"]["spec"]
    for name in ("securityContext", "automountServiceAccountToken", "enableServiceLinks"):
        assert pod[name] == api[name]
    [container] = pod["containers"]
    assert container["securityContext"] == api["containers"][0]["securityContext"]


def test_a_job_is_over_before_the_next_begins_and_does_not_look_twice(overlay):
    spec = one(overlay, "CronJob", NAME)["spec"]
    assert spec["schedule"] == "*/5 * * * *" and spec["concurrencyPolicy"] == "Forbid"
    job = spec["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] < 300 and job["backoffLimit"] == 0


def test_it_reaches_names_prometheus_mlflow_and_s3_and_no_one_reaches_it(overlay):
    policy = one(overlay, "NetworkPolicy", NAME)["spec"]
    assert [{port["port"] for port in rule["ports"]} for rule in policy["egress"]] == [
        {53}, {9090}, {5000}, {443}, {80}]
    assert "ingress" not in policy and policy["policyTypes"] == ["Ingress", "Egress"]
    labels = one(overlay, "CronJob", NAME)["spec"]["jobTemplate"]["spec"]["template"]["metadata"]
    assert policy["podSelector"]["matchLabels"] == labels["labels"]


def test_it_has_the_settings_of_the_base_and_its_own(overlay, pod):
    [container] = pod["containers"]
    names = {source["configMapRef"]["name"] for source in container["envFrom"]}
    maps = {item["metadata"]["name"]: item["data"] for item in overlay
            if item["kind"] == "ConfigMap"}
    settings = {name: value for each in names for name, value in maps[each].items()}
    assert {"FRAUD_MODEL", "MLFLOW_TRACKING_URI"} <= settings.keys()


def test_its_image_holds_what_the_guard_imports(tmp_path):
    """The folders that the image copies suffice to import the guard."""
    dockerfile = (ROOT / "monitoring/Dockerfile").read_text()
    for folder in ("fraud", "monitoring"):
        assert f"COPY {folder} /app/{folder}\n" in dockerfile
        (tmp_path / folder).symlink_to(ROOT / folder)
    subprocess.run([sys.executable, "-c", "import monitoring.canary"], check=True, cwd=tmp_path)
