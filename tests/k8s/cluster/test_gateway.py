"""The component gateway on two nodes, with Envoy Gateway: its routes, limits and losses."""

import json
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.k8s.cluster import gateway
from tests.k8s.cluster.cluster import eventually, run
from tests.k8s.cluster.gateway import ADDRESS, NAMESPACE, OWNED, Connection
from tests.k8s.cluster.load import Load
from tests.k8s.cluster.release import Release
from tests.serve.running import KEY, payment

pytestmark = [pytest.mark.system, pytest.mark.cluster, pytest.mark.acceptance]
API = "deployment/fraud-api"
BODY_BYTES = 2 ** 20
LIMIT = 100                     # requests a second of an address in a replica of Envoy
CONNECTIONS = 2_000             # of all addresses
NEIGHBOUR = "10.99.0.2"         # another address of this machine
ABSENT = "/v1/decisions/absent"
RESOURCE = "gateway.networking.k8s.io"
SLOW = {"connections": 10, "pause": 0.25}       # all callers have one address: below the limit


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    return gateway.certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def release(cluster, certificate, tmp_path_factory):
    """The base with the component, behind a load balancer; three pods of the API, two of Envoy."""
    gateway.install(cluster, tmp_path_factory.mktemp("images"))
    cluster.add_volumes(1)
    release = Release(cluster, tmp_path_factory.mktemp("overlay"), components=("gateway",))
    cluster.kubectl("-n", "fraud", "create", "secret", "tls", "fraud-tls",
                    f"--cert={certificate}", f"--key={certificate.with_suffix('.key')}")
    gateway.balance(cluster)
    eventually(lambda: len(cluster.pods("fraud-api")) == 3, seconds=180)    # by the autoscaler
    release.wait()
    yield release
    cluster.kubectl("delete", "namespace", "fraud", "--timeout=3m")


@pytest.fixture(scope="module")
def envoy(cluster, release) -> str:
    """The name of Envoy's Deployment, all of whose pods are ready."""
    [name] = cluster.kubectl(
        "-n", NAMESPACE, "get", "deployments", "-l", OWNED, "-o", "name").split()
    cluster.wait_for_rollout(name, namespace=NAMESPACE)
    return name


@pytest.fixture
def connect(envoy, certificate):
    """Makes connections to Envoy, by default to the load balancer."""
    return partial(Connection, certificate=certificate)


@pytest.fixture
def balancer(connect):
    connection = connect(ADDRESS)
    yield connection
    connection.close()


@pytest.fixture
def load(cluster, envoy, connect):
    """Callers of the Service of Envoy, which leads to its pods on both nodes."""
    [service] = cluster.get("-n", NAMESPACE, "services", "-l", OWNED)["items"]
    return lambda **options: Load(service["spec"]["clusterIP"], connect=connect, **SLOW | options)


def score(connection: Connection, identifier: str, size: int = 0) -> tuple[int, bytes]:
    """Send a payment in a body of a size."""
    body = json.dumps(payment(identifier, event_time=round(time.time() * 1_000))).encode()
    return connection.call("POST", "/v1/score", body.ljust(size), Authorization=f"Bearer {KEY}")


def conditions(cluster, kind: str) -> dict[str, str]:
    """Return the conditions of an object of the component: of itself or of what it refers to."""
    status = cluster.get("-n", "fraud", kind, "fraud-api")["status"]
    parts = [status] + status.get("parents", []) + status.get("ancestors", [])
    return {item["type"]: item["status"] for part in parts for item in part.get("conditions", [])}


def test_envoy_gateway_accepts_each_object(cluster, envoy):
    assert conditions(cluster, f"gateways.{RESOURCE}") == {"Accepted": "True", "Programmed": "True"}
    assert conditions(cluster, f"httproutes.{RESOURCE}") == (
        {"Accepted": "True", "ResolvedRefs": "True"})
    for kind in ("backendtrafficpolicies", "clienttrafficpolicies"):
        assert conditions(cluster, kind) == {"Accepted": "True"}


def test_the_network_policy_admits_envoy_on_both_nodes(cluster, envoy):
    policy = cluster.get("-n", "fraud", "networkpolicy", "from-gateway")["spec"]
    [peer] = policy["ingress"][0]["from"]
    labels = ",".join(f"{name}={value}" for name, value in
                      peer["podSelector"]["matchLabels"].items())
    namespace = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    pods = cluster.get("-n", namespace, "pods", "-l", labels)["items"]
    assert sorted(pod["spec"]["nodeName"] for pod in pods
                  if "deletionTimestamp" not in pod["metadata"]) == ["n1", "n2"]


def test_a_payment_is_scored_over_tls(balancer):
    status, content = score(balancer, "through-the-gateway")
    answer = json.loads(content)
    assert (status, answer["decision"], answer["history"]) == (200, "decline", "short")


@pytest.mark.parametrize("identifier", ["order-17", "3f2504e0-4f89-41d3-9a0c-0305e82c3301"])
def test_a_request_keeps_the_id_of_its_caller(balancer, identifier):
    headers = {"X-Request-ID": identifier, "Authorization": f"Bearer {KEY}"}
    balancer.request("GET", ABSENT, headers=headers)
    response = balancer.getresponse()
    response.read()
    assert (response.status, response.headers["X-Request-ID"]) == (404, identifier)


def test_a_request_without_an_id_is_given_one(balancer):
    balancer.request("GET", ABSENT)
    response = balancer.getresponse()
    response.read()
    assert response.headers["X-Request-ID"]


@pytest.mark.parametrize(("path", "expected"), [
    ("/healthz", 200), ("/docs", 200), (ABSENT, 401),
    ("/", 404), ("/metrics", 404), ("/readyz", 404), ("/v1score", 404), ("/healthz/more", 404),
    ("/v1/../metrics", 404), ("/v1/%2e%2e/metrics", 404), ("//metrics", 404)])
def test_only_public_paths_lead_to_the_api(balancer, path, expected):
    assert balancer.call("GET", path)[0] == expected


def test_another_host_name_is_refused(connect, balancer):
    assert balancer.call("GET", "/healthz", Host="other.example.com")[0] == 404
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(ADDRESS, name="other.example.com").call("GET", "/healthz")


def test_nothing_is_served_without_tls(envoy):
    with pytest.raises(OSError):
        socket.create_connection((ADDRESS, 80), timeout=3)


def test_a_body_may_have_as_many_bytes_as_the_api_takes_and_none_more(connect):
    assert score(connect(ADDRESS), "large", BODY_BYTES)[0] == 200
    status, content = score(connect(ADDRESS), "too-large", BODY_BYTES + 1)
    assert status == 413 and b"problems" not in content         # of Envoy, not of the API


def test_a_request_that_is_not_sent_in_time_is_ended(connect):
    connection = connect(ADDRESS)
    connection.putrequest("POST", "/v1/score")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"{")
    start = time.monotonic()
    assert connection.getresponse().status == 408
    assert 9 < time.monotonic() - start < 60


def test_an_address_that_sends_too_much_is_limited_and_no_other(connect):
    run("ip", "addr", "replace", f"{NEIGHBOUR}/32", "dev", "fraud-host")
    connections = [connect(ADDRESS, source=NEIGHBOUR) for _ in range(16)]
    for connection in connections:
        connection.connect()
    start = time.monotonic()

    def send(connection: Connection) -> list[int]:
        statuses = []
        while time.monotonic() < start + 30 and 429 not in statuses:
            statuses.append(connection.call("GET", ABSENT)[0])
        return statuses

    with ThreadPoolExecutor(len(connections)) as pool:
        results = sum(pool.map(send, connections), [])
    seconds = time.monotonic() - start
    assert connect(ADDRESS, source="10.99.0.1").call("GET", ABSENT)[0] == 401
    assert set(results) == {401, 429}
    assert LIMIT <= results.count(401) <= LIMIT * (1 + seconds)
    time.sleep(2)
    assert connect(ADDRESS, source=NEIGHBOUR).call("GET", ABSENT)[0] == 401


def test_envoy_takes_two_thousand_connections_and_refuses_others(connect):
    def is_taken(connection: Connection) -> bool:
        try:
            connection.connect()        # with its handshake
        except OSError:
            return False
        return True

    connections = [connect(ADDRESS) for _ in range(CONNECTIONS + 20)]
    with ThreadPoolExecutor(16) as pool:
        taken = sum(pool.map(is_taken, connections))
    for connection in connections:
        connection.close()
    assert CONNECTIONS - 10 < taken <= CONNECTIONS      # some of other tests may be left
    eventually(lambda: is_taken(connect(ADDRESS)))


def test_rollouts_and_killed_pods_of_the_api_fail_no_request(
        cluster, release, load, acceptance, record_property):
    rollouts = 10 if acceptance else 2
    with load() as callers:
        for _ in range(rollouts):
            cluster.kubectl("-n", "fraud", "rollout", "restart", API)
            release.wait()
        cluster.kubectl("-n", "fraud", "delete", "pod",
                        cluster.pods("fraud-api")[0]["metadata"]["name"])
        release.wait()
    record_property("rollouts", rollouts)
    record_property("requests", len(callers.seconds))
    record_property("failed", len(callers.failures))
    assert callers.answers and callers.failures == []


def test_a_rollout_and_a_killed_pod_of_envoy_fail_no_request(
        cluster, envoy, load, record_property):
    with load() as callers:
        cluster.kubectl("-n", NAMESPACE, "rollout", "restart", envoy)
        cluster.wait_for_rollout(envoy, namespace=NAMESPACE)
        pods = cluster.get("-n", NAMESPACE, "pods", "-l", OWNED)["items"]
        cluster.kubectl("-n", NAMESPACE, "delete", "pod", pods[0]["metadata"]["name"])
        cluster.wait_for_rollout(envoy, namespace=NAMESPACE)
    record_property("requests", len(callers.seconds))
    assert callers.answers and callers.failures == []


def test_a_pod_that_takes_no_connection_costs_two_seconds_and_no_request(
        cluster, release, envoy, load, record_property):
    lost = cluster.pods("fraud-api")[0]["status"]["podIP"]
    rule = ("FORWARD", "-d", lost, "-p", "tcp", "--syn", "-j", "DROP")
    cluster.on_nodes("iptables", "-I", *rule)
    try:            # with another Envoy, which has no connections yet
        cluster.kubectl("-n", NAMESPACE, "delete", "pods", "-l", OWNED, "--force")
        cluster.wait_for_rollout(envoy, namespace=NAMESPACE)
        with load() as callers:
            time.sleep(15)
    finally:
        cluster.on_nodes("iptables", "-D", *rule)
    record_property("requests", len(callers.seconds))
    record_property("ms for the slowest", round(max(callers.seconds) * 1_000))
    assert callers.answers and callers.failures == []
    assert 2 < max(callers.seconds) < 15


def test_a_drained_node_fails_no_request(cluster, release, envoy, load, record_property):
    with load() as callers:
        cluster.kubectl("drain", "n2", "--ignore-daemonsets", "--delete-emptydir-data",
                        "--timeout=5m")
        release.wait()
        cluster.wait_for_rollout(envoy, namespace=NAMESPACE)
    cluster.kubectl("uncordon", "n2")
    record_property("requests", len(callers.seconds))
    assert callers.answers and callers.failures == []
