"""The desk's component on the base: consistent, confined, and in agreement with the desk."""

import pytest

from desk.database import Database
from desk.settings import DeskSettings, read_desk_settings
from fraud.settings import SettingsError

NAME = "fraud-desk"


@pytest.fixture(scope="module")
def overlay(with_components):
    return with_components("desk")


def one(objects: list[dict], kind: str, name: str = NAME) -> dict:
    [match] = [item for item in objects
               if item["kind"] == kind and item["metadata"]["name"].startswith(name)]
    return match


def pods(overlay) -> dict[str, dict]:
    """The pods of desk and migration."""
    return {kind: one(overlay, kind)["spec"]["template"] for kind in ("Deployment", "Job")}


def test_its_settings_are_those_of_the_desk_behind_tls(overlay):
    variables = one(overlay, "ConfigMap", "fraud-desk-settings")["data"]
    known = {f"FRAUD_{field.upper()}" for field in DeskSettings.__struct_fields__}
    assert variables.keys() - {"KAFKA_BOOTSTRAP_SERVERS"} <= known
    settings = read_desk_settings(variables)
    assert settings.is_secure
    spec = pods(overlay)["Deployment"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > settings.drain_seconds
    mounts = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    assert settings.desk_tls_key.startswith(tuple(mounts))


def test_without_an_overlay_that_names_a_database_it_does_not_start(overlay):
    import base64

    value = one(overlay, "Secret", "fraud-desk")["data"]["FRAUD_DESK_DATABASE"]
    with pytest.raises(SettingsError):
        Database(base64.b64decode(value).decode())


def test_desk_and_migration_are_one_image_and_confined_as_the_api_is(overlay):
    api = one(overlay, "Deployment", "fraud-api")["spec"]["template"]["spec"]
    for template in pods(overlay).values():
        spec = template["spec"]
        [container] = spec["containers"]
        assert container["image"] == "registry.example.com/fraud-desk:0.1.0"
        assert container["command"][:3] == ["python3", "-m", "desk"]
        assert container["securityContext"] == api["containers"][0]["securityContext"]
        assert spec["securityContext"].items() >= api["securityContext"].items()
        assert spec["automountServiceAccountToken"] is spec["enableServiceLinks"] is False


def test_selectors_select_and_one_pod_reads_decisions(overlay):
    deployment = one(overlay, "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")
    labels = deployment["template"]["metadata"]["labels"]
    assert one(overlay, "Service")["spec"]["selector"].items() <= labels.items()
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    [expression] = one(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchExpressions"]
    names = {template["metadata"]["labels"]["app.kubernetes.io/name"]
             for template in pods(overlay).values()}
    assert names == set(expression["values"])


def test_it_reaches_names_database_kafka_and_s3(overlay):
    spec = one(overlay, "NetworkPolicy")["spec"]
    assert [{port["port"] for port in rule["ports"]} for rule in spec["egress"]] == [
        {53}, {5432}, {9092, 9093}, {443}, {80}]
    [ingress] = spec["ingress"]
    assert ingress["ports"] == [{"port": "https"}]
