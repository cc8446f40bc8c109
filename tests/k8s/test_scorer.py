"""The scorer's component on the base: consistent, and in agreement with the scorer."""

from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import pytest

from fraud.brokers import BROKERS
from fraud.settings import SettingsError
from stream.settings import StreamSettings, read_stream_settings
from tests.tools import ROOT

NAME = "fraud-scorer"


@pytest.fixture(scope="module")
def overlay(with_components):
    return with_components("scorer")


def one(objects: list[dict], kind: str, name: str = NAME) -> dict:
    [match] = [item for item in objects
               if item["kind"] == kind and item["metadata"]["name"].startswith(name)]
    return match


@pytest.fixture
def container(overlay) -> dict:
    [container] = one(overlay, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container


def test_its_settings_are_those_of_the_scorer(overlay, container):
    maps = {item["metadata"]["name"]: item["data"] for item in overlay
            if item["kind"] == "ConfigMap"}
    variables = {}
    for source in container["envFrom"]:
        variables |= maps[source["configMapRef"]["name"]]
    names = {*variables, *(variable["name"] for variable in container["env"])}
    api_only = {"FRAUD_BODY_BYTES", "FRAUD_REQUEST_SECONDS"}
    assert names - api_only - {"REDIS_PASSWORD", BROKERS} <= {
        f"FRAUD_{field.upper()}" for field in StreamSettings.__struct_fields__}
    settings = read_stream_settings(variables)
    [port] = container["ports"]
    assert port == {"name": "metrics", "containerPort": settings.metrics_port}
    assert settings.metrics_host == "0.0.0.0"
    pod = one(overlay, "Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds
    with pytest.raises(SettingsError):
        read_stream_settings({**variables, "FRAUD_METRICS_PORT": "many"})


def test_it_is_the_scorer_of_the_image_that_the_api_has(overlay, container):
    [api] = one(overlay, "Deployment", "fraud-api")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == api["image"]
    assert container["command"] == ["python3", "-m", "stream.scorer"]
    assert (ROOT / "stream/scorer.py").is_file()


def test_it_is_confined_as_the_api_is(overlay, container):
    scorer, api = (one(overlay, "Deployment", name)["spec"]["template"]["spec"]
                   for name in (NAME, "fraud-api"))
    for name in ("securityContext", "automountServiceAccountToken", "enableServiceLinks"):
        assert scorer[name] == api[name]
    assert container["securityContext"] == api["containers"][0]["securityContext"]


def test_a_node_can_be_drained_while_all_pods_are_broken(overlay):
    budget = one(overlay, "PodDisruptionBudget")["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_every_selector_selects_its_pods(overlay):
    labels = one(overlay, "Deployment")["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget", "PodMonitor"):
        assert one(overlay, kind)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert one(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= (
        labels.items())


def test_it_reaches_names_redis_kafka_and_s3_and_is_reached_by_prometheus(overlay):
    spec = one(overlay, "NetworkPolicy")["spec"]
    assert [{port["port"] for port in rule["ports"]} for rule in spec["egress"]] == [
        {53}, {6379}, {9092, 9093}, {443}, {80}]
    [ingress] = spec["ingress"]
    assert ingress["ports"] == [{"port": "metrics"}]
    store = one(overlay, "NetworkPolicy", "fraud-redis")["spec"]["ingress"][0]["from"]
    assert NAME in store[0]["podSelector"]["matchExpressions"][0]["values"]


def test_api_and_scorer_ask_dns_for_full_names_and_do_not_wait_long(overlay, container):
    kafka = one(overlay, "ConfigMap", "fraud-scorer-settings")["data"][BROKERS]
    redis = one(overlay, "Service", "fraud-redis")["metadata"]
    for name in (NAME, "fraud-api"):
        pod = one(overlay, "Deployment", name)["spec"]["template"]["spec"]
        assert pod["dnsConfig"]["options"] == [
            {"name": "timeout", "value": "1"}, {"name": "attempts", "value": "1"},
            {"name": "ndots", "value": "1"}]
        [url] = [variable["value"] for variable in pod["containers"][0]["env"]
                 if variable["name"] == "FRAUD_HISTORY"]
        assert urlsplit(url).hostname == (
            f"{redis['name']}.{redis['namespace']}.svc.cluster.local.")
    assert kafka == "kafka-bootstrap.kafka.svc.cluster.local.:9092"


@pytest.mark.parametrize("address, ports", [
    ("3.5.140.1", {443}), ("2600:1fa0::1", {443}),          # S3
    ("169.254.170.23", {80}), ("fd00:ec2::23", {80}),       # EKS Pod Identity
    ("169.254.169.254", set()), ("fd00:ec2::254", set()),   # the credentials of the node
    ("fe80::1", set())])
def test_pods_reach_s3_and_their_own_credentials_but_not_those_of_the_node(
        overlay, address, ports):
    for name in ("fraud-api", "fraud-scorer"):
        egress = one(overlay, "NetworkPolicy", name)["spec"]["egress"]
        assert {port["port"] for rule in egress if admits(rule, address)
                for port in rule["ports"]} == ports


def admits(rule: dict, address: str) -> bool:
    """Return True if a rule of egress names this address outside the cluster."""
    def inside(network: str) -> bool:
        return ip_address(address) in ip_network(network)

    return any(inside(block["cidr"]) and not any(map(inside, block.get("except", [])))
               for block in (peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer))
