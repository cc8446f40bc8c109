"""The base on two nodes: its restrictions, and the cost of changes and losses for callers."""

import json
import subprocess
import time
from hashlib import sha256

import pytest

from bench import serving
from tests.k8s.cluster.cluster import eventually
from tests.k8s.cluster.load import Load
from tests.k8s.cluster.release import Release
from tests.serve.running import HASH, payment

pytestmark = [pytest.mark.system, pytest.mark.cluster, pytest.mark.acceptance]
API, REDIS = "deployment/fraud-api", "statefulset/fraud-redis"
DROP_DNS = ("-p", "udp", "--dport", "53", "-j", "DROP")


@pytest.fixture(scope="module")
def release(cluster, tmp_path_factory) -> Release:
    cluster.add_volumes(1)
    release = Release(cluster, tmp_path_factory.mktemp("overlay"))
    eventually(lambda: len(cluster.pods("fraud-api")) == 3)       # by the HorizontalPodAutoscaler
    release.wait()
    return release


@pytest.fixture
def calls(cluster, release):
    """Calls of kubectl in the namespace of the release."""
    return lambda *arguments: cluster.kubectl("-n", "fraud", *arguments)


def test_all_pods_get_ready_on_both_nodes_and_score_a_payment(cluster, release):
    assert {pod["spec"]["nodeName"] for pod in cluster.pods("fraud-api")} == {"n1", "n2"}
    answer = release.score("first").json()
    assert (answer["decision"], answer["history"]) == ("decline", "short")


def test_a_pod_without_restrictions_is_refused(cluster, release):
    refused = subprocess.run(
        ["kubectl", "-n", "fraud", "run", "shell", "--image=fraud-cluster/redis"],
        env=cluster.environment, capture_output=True, text=True)
    assert refused.returncode == 1 and 'violates PodSecurity "restricted' in refused.stderr


@pytest.mark.parametrize(("name", "folder"), [(API, "/tmp"), (REDIS, "/data")])
def test_a_container_cannot_write_its_files_and_has_no_token(calls, name, folder):
    lines = calls("exec", name, "--", "sh", "-c", f"""
        exec 2>&1
        touch /etc/file; ls -d /var/run/secrets/kubernetes.io; id -u
        touch {folder}/file && echo written; rm {folder}/file""").splitlines()
    assert "Read-only file system" in lines[0] and "No such file" in lines[1]
    assert lines[2:] == ["65532", "written"]


def test_rollouts_and_killed_pods_fail_no_request_and_lose_no_answer(
        cluster, calls, release, acceptance, record_property):
    rollouts, kills = (10, 5) if acceptance else (2, 1)
    with Load(release.address) as load:
        for _ in range(rollouts):
            calls("rollout", "restart", API)
            release.wait()
        for _ in range(kills):
            calls("delete", "pod", cluster.pods("fraud-api")[0]["metadata"]["name"])
            release.wait()
    record_property("rollouts", rollouts)
    record_property("killed pods", kills)
    record_property("requests", len(load.seconds))
    record_property("failed", len(load.failures))
    assert load.failures == []
    promised = [answer for _, answer in load.answers if answer["idempotent"]]
    assert promised and [release.decision(answer["transaction_id"]) for answer in promised] == (
        promised)


def test_a_broken_release_changes_nothing_for_callers_and_is_undone(calls, release):
    with Load(release.address) as load:
        calls("set", "env", API, "FRAUD_MODEL=/absent")
        eventually(lambda: "0/1" in calls("get", "pods"))
        time.sleep(5)
        calls("rollout", "undo", API)
        release.wait()
    assert load.answers and load.failures == []


def test_a_drained_node_fails_no_request(cluster, calls, release):
    with Load(release.address) as load:
        calls("drain", "n2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=3m")
        assert {pod["spec"]["nodeName"] for pod in cluster.pods("fraud-api")} == {"n1"}
        release.wait()
    calls("uncordon", "n2")
    assert load.answers and load.failures == []


def test_answers_have_no_history_while_redis_is_away(calls, release):
    with Load(release.address, connections=4) as load:
        calls("scale", REDIS, "--replicas=0")
        eventually(lambda: release.score("away").json()["history"] == "unavailable")
        calls("scale", REDIS, "--replicas=1")
        release.wait()
        eventually(lambda: release.score("back").json()["history"] == "short")
    assert load.failures == []


def test_with_lost_dns_packets_and_another_redis_answers_are_quick_and_marked(
        cluster, calls, release, record_property):
    cluster.on_nodes("iptables", "-I", "FORWARD", *DROP_DNS)
    try:
        with Load(release.address, connections=4) as load:
            calls("delete", "pod", "fraud-redis-0")
            release.wait()
            eventually(lambda: release.score("again").json()["history"] == "short")
    finally:
        cluster.on_nodes("iptables", "-D", "FORWARD", *DROP_DNS)
    record_property("requests", len(load.seconds))
    record_property("ms for the slowest", round(max(load.seconds) * 1_000))
    assert load.failures == []
    assert {answer["history"] for _, answer in load.answers} == {"short", "unavailable"}
    assert max(load.seconds) < 1        # which a lookup takes until it is given up


def test_a_key_is_rotated_without_a_failed_request_and_redis_stays(cluster, release):
    [redis] = cluster.pods("fraud-redis")
    with Load(release.address) as load:
        release.keys = f"{HASH},{sha256(b'another').hexdigest()}"
        release.apply()
        release.wait()
    assert load.answers and load.failures == []
    with Load(release.address, key="another") as load:
        release.keys = sha256(b"another").hexdigest()
        release.apply()
        release.wait()
    assert load.answers and load.failures == []
    assert release.score("old-key").status_code == 401
    assert cluster.pods("fraud-redis")[0]["metadata"]["uid"] == redis["metadata"]["uid"]


def test_one_to_three_replicas_answer_as_fast_as_they_can(
        cluster, calls, release, acceptance, tmp_path, record_property):
    release.keys = f"{HASH},{sha256(serving.KEY.encode()).hexdigest()}"
    release.apply()
    calls("delete", "horizontalpodautoscaler", "fraud-api")
    bodies = tmp_path / "bodies"
    bodies.write_text("".join(
        json.dumps(payment("ID", origin=f"C{number}", destination=f"C{number + 1}")) + "\n"
        for number in range(10_000)))
    for replicas in (1, 2, 3):
        calls("scale", API, f"--replicas={replicas}")
        release.wait()
        eventually(lambda: len(cluster.pods("fraud-api")) == replicas)  # noqa: B023
        measured = serving.load(f"http://{release.address}/v1/score", bodies,
                                seconds=20 if acceptance else 2)
        record_property(f"replicas: requests a second with {replicas}", round(measured["speed"]))
        record_property(f"replicas: p99 ms with {replicas}", round(measured["p99"]))


def test_a_deleted_namespace_leaves_nothing(cluster, calls):
    cluster.kubectl("delete", "namespace", "fraud", "--timeout=3m")
    assert cluster.rest() == []
