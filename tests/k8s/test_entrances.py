"""The ways in from outside, Gateway API and ingress-nginx: the same routes, with limits."""

import re

import pytest

from fraud.settings import from_environment
from serve.settings import ServeSettings
from tests.tools import ROOT, routes

ENTRANCES = ["gateway", "ingress-nginx"]


@pytest.fixture(params=ENTRANCES)
def entrance(request, with_components) -> list[dict]:
    return with_components(request.param)


@pytest.fixture
def gateway(with_components) -> list[dict]:
    return with_components("gateway")


@pytest.fixture
def nginx(with_components) -> list[dict]:
    return with_components("ingress-nginx")


@pytest.fixture
def settings(with_components) -> ServeSettings:
    [variables] = [item["data"] for item in with_components("gateway")
                   if item["kind"] == "ConfigMap"
                   and item["metadata"]["name"].startswith("fraud-settings")]
    return from_environment(variables, ServeSettings)


def one(objects: list[dict], kind: str, name: str = "fraud-api") -> dict:
    [match] = [item for item in objects
               if item["kind"] == kind and item["metadata"]["name"] == name]
    return match


def annotations(objects: list[dict]) -> dict[str, str]:
    return {name.rpartition("/")[2]: value for name, value in
            one(objects, "Ingress")["metadata"]["annotations"].items()}


def public_paths(objects: list[dict]) -> list[tuple[str, bool]]:
    """Return each path that leads to the API, and True if longer ones do too."""
    if any(item["kind"] == "Ingress" for item in objects):
        [rule] = one(objects, "Ingress")["spec"]["rules"]
        return [(path["path"], path["pathType"] == "Prefix") for path in rule["http"]["paths"]]
    [rule] = one(objects, "HTTPRoute")["spec"]["rules"]
    return [(match["path"]["value"], match["path"]["type"] == "PathPrefix")
            for match in rule["matches"]]


def seconds(duration: str) -> int:
    return int(re.fullmatch(r"(\d+)s", duration)[1])


# Both.

def test_the_api_and_its_docs_are_public_and_nothing_else(entrance, app):
    def is_public(path: str) -> bool:
        return any(path == public or (with_longer and path.startswith(public + "/"))
                   for public, with_longer in public_paths(entrance))

    closed = {path for _, path in routes(app) if not is_public(path)}
    assert closed == {"/", "/metrics", "/readyz"}       # the root redirects to /docs


@pytest.mark.parametrize("component, peer", [
    ("gateway", {"app.kubernetes.io/name": "envoy",
                 "gateway.envoyproxy.io/owning-gateway-name": "fraud-api",
                 "gateway.envoyproxy.io/owning-gateway-namespace": "fraud"}),
    ("ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"})])
def test_the_pods_of_the_entrance_reach_the_api_and_only_they(with_components, component, peer):
    objects = with_components(component)
    policy = one(objects, "NetworkPolicy", f"from-{component}")["spec"]
    pod = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= pod.items()
    [rule] = policy["ingress"]
    assert rule["ports"] == [{"port": "http"}]
    assert [source["podSelector"]["matchLabels"] for source in rule["from"]] == [peer]
    assert all("namespaceSelector" in source for source in rule["from"])


def test_the_base_alone_has_no_way_in():
    kustomization = (ROOT / "k8s/base/kustomization.yaml").read_text()
    assert not re.search(r"^  - (ingress|gateway)", kustomization, re.MULTILINE)


# Gateway API.

def test_the_gateway_leads_to_a_port_of_the_service_over_https_only(gateway):
    [listener] = one(gateway, "Gateway")["spec"]["listeners"]
    assert (listener["protocol"], listener["tls"]["mode"]) == ("HTTPS", "Terminate")
    route = one(gateway, "HTTPRoute")["spec"]
    assert route["parentRefs"] == [{"name": "fraud-api", "sectionName": listener["name"]}]
    [backend] = route["rules"][0]["backendRefs"]
    assert backend["port"] in [
        port["port"] for port in one(gateway, "Service", backend["name"])["spec"]["ports"]]


def test_the_policies_of_the_gateway_apply_to_its_route_and_listener(gateway):
    for kind, target in (("BackendTrafficPolicy", "HTTPRoute"), ("ClientTrafficPolicy", "Gateway")):
        [reference] = one(gateway, kind)["spec"]["targetRefs"]
        assert reference["kind"] == target
        assert one(gateway, target, reference["name"])


def test_the_gateway_limits_each_address_and_bodies(gateway, settings):
    policy = one(gateway, "BackendTrafficPolicy")["spec"]
    limits = {rule["clientSelectors"][0]["sourceCIDR"]["value"]: rule["limit"]
              for rule in policy["rateLimit"]["local"]["rules"]}
    every_second = {"requests": 100, "unit": "Second"}
    assert limits == {"0.0.0.0/0": every_second, "::/0": every_second}
    assert all(rule["clientSelectors"][0]["sourceCIDR"]["type"] == "Distinct"
               for rule in policy["rateLimit"]["local"]["rules"])
    assert policy["requestBuffer"]["limit"] == f"{settings.body_bytes // 2 ** 20}Mi"
    assert seconds(policy["timeout"]["http"]["requestTimeout"]) > settings.request_seconds
    client = one(gateway, "ClientTrafficPolicy")["spec"]
    assert seconds(client["timeout"]["http"]["requestReceivedTimeout"]) == settings.request_seconds


def test_the_gateway_passes_on_only_what_no_pod_has_received(gateway):
    policy = one(gateway, "BackendTrafficPolicy")["spec"]
    assert policy["retry"]["retryOn"] == {"triggers": ["connect-failure", "reset-before-request"]}
    attempts = policy["retry"]["numRetries"] + 1
    assert attempts == 3
    assert attempts * seconds(policy["timeout"]["tcp"]["connectTimeout"]) < (
        seconds(policy["timeout"]["http"]["requestTimeout"]))


def test_the_gateway_keeps_the_id_that_a_caller_gives_its_request(gateway):
    assert one(gateway, "ClientTrafficPolicy")["spec"]["headers"] == {"requestID": "Preserve"}


def test_envoy_closes_an_idle_connection_before_the_api_does(gateway, app):
    timeout = one(gateway, "BackendTrafficPolicy")["spec"]["timeout"]["http"]
    assert seconds(timeout["connectionIdleTimeout"]) < app.config.KEEP_ALIVE_TIMEOUT


def test_envoy_has_replicas_on_different_nodes_and_keeps_one(gateway):
    reference = one(gateway, "Gateway")["spec"]["infrastructure"]["parametersRef"]
    proxy = one(gateway, reference["kind"], reference["name"])["spec"]
    assert proxy["mergeType"] == "StrategicMerge"       # the cluster's settings of Envoy stay
    envoy = proxy["provider"]["kubernetes"]
    assert envoy["envoyDeployment"]["replicas"] > envoy["envoyPDB"]["minAvailable"] == 1
    [spread] = envoy["envoyDeployment"]["pod"]["topologySpreadConstraints"]
    [rule] = one(gateway, "NetworkPolicy", "from-gateway")["spec"]["ingress"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["labelSelector"]["matchLabels"].items() <= (
        rule["from"][0]["podSelector"]["matchLabels"].items())


# ingress-nginx.

def test_the_ingress_leads_to_a_port_of_the_service(nginx):
    assert "defaultBackend" not in one(nginx, "Ingress")["spec"]
    for path in one(nginx, "Ingress")["spec"]["rules"][0]["http"]["paths"]:
        service = path["backend"]["service"]
        assert service["port"]["name"] in [
            port["name"] for port in one(nginx, "Service", service["name"])["spec"]["ports"]]


def test_the_ingress_limits_rates_and_bodies(nginx, settings):
    limits = annotations(nginx)
    assert int(limits["limit-rps"]) > 0 and int(limits["limit-connections"]) > 0
    assert limits["proxy-body-size"] == f"{settings.body_bytes // 2 ** 20}m"
    assert int(limits["proxy-read-timeout"]) > settings.request_seconds


def test_the_ingress_passes_a_request_on_from_a_pod_that_is_gone_and_gives_up_in_time(
        nginx, settings):
    limits = annotations(nginx)
    assert set(limits["proxy-next-upstream"].split()) == {"error", "timeout"}
    tries, connect, stop = (int(limits[name]) for name in (
        "proxy-next-upstream-tries", "proxy-connect-timeout", "proxy-next-upstream-timeout"))
    assert (tries - 1) * connect < stop < tries * connect       # all tries may start, none more
    assert stop + connect < settings.request_seconds


def test_the_ingress_is_reached_over_https_only(nginx):
    ingress = one(nginx, "Ingress")
    assert annotations(nginx)["ssl-redirect"] == "true"
    assert ingress["spec"]["tls"][0]["hosts"] == [ingress["spec"]["rules"][0]["host"]]
