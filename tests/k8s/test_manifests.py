"""The manifests as kubectl renders them: safe, consistent, in agreement with the server."""

import os
import re
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from bench import redis_memory
from fraud.settings import from_environment
from fraud.stores import open_store
from fraud.stores.redis import RedisStore
from fraud.transaction import parse
from serve.keys import Keys
from serve.settings import ServeSettings
from tests.factories import NOON, payment
from tests.k8s.rendering import FOLDERS, render
from tests.tools import ROOT, program, routes

CUSTOM_KINDS = {"ServiceMonitor", "PrometheusRule"}


@pytest.fixture(params=FOLDERS)
def objects(request, rendered) -> list[dict]:
    """All objects of the base, and of the overlay."""
    return rendered[request.param]


def one(objects: list[dict], kind: str, name: str = "fraud-api") -> dict:
    [match] = [item for item in objects
               if item["kind"] == kind and item["metadata"]["name"].startswith(name)]
    return match


def workloads(objects: list[dict]) -> list[dict]:
    return [item for item in objects if item["kind"] in ("Deployment", "StatefulSet")]


def pods(objects: list[dict]) -> list[dict]:
    return [item["spec"]["template"] for item in workloads(objects)]


def api(objects: list[dict]) -> dict:
    [container] = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container


def environment(objects: list[dict]) -> dict[str, str]:
    """The API's variables, as a pod would have them: references followed."""
    maps = {item["metadata"]["name"]: item["data"] for item in objects
            if item["kind"] == "ConfigMap"}
    secrets = {item["metadata"]["name"]: {
        name: b64decode(value).decode() for name, value in item["data"].items()}
        for item in objects if item["kind"] == "Secret"}
    variables = {}
    for source in api(objects)["envFrom"]:
        variables |= maps[source["configMapRef"]["name"]]
    for variable in api(objects)["env"]:
        if "valueFrom" in variable:
            reference = variable["valueFrom"]["secretKeyRef"]
            value = secrets[reference["name"]][reference["key"]]
        else:
            value = variable["value"]
            for name, known in variables.items():
                value = value.replace(f"$({name})", known)
        variables[variable["name"]] = value
    return variables


# Usable.

def test_prometheus_finds_the_service_by_the_label_of_its_chart(rendered):
    monitor, service = (one(rendered["base"], kind) for kind in ("ServiceMonitor", "Service"))
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= (
        service["metadata"]["labels"].items())
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]


def test_a_bare_minikube_has_all_that_the_overlay_needs(rendered):
    kinds = {item["kind"] for item in rendered["overlays/minikube"]}
    assert not kinds & (CUSTOM_KINDS | {"HorizontalPodAutoscaler", "PodDisruptionBudget"})
    assert one(rendered["overlays/minikube"], "Deployment")["spec"]["replicas"] == 1
    assert api(rendered["overlays/minikube"])["image"] == "fraud-detector:local"
    assert api(rendered["overlays/minikube"])["imagePullPolicy"] == "Never"


# Consistent: objects that refer to each other agree.

def selected(objects: list[dict]) -> Iterator[tuple[str, dict]]:
    for item in objects:
        if item["kind"] == "Service":
            yield item["metadata"]["name"], item["spec"]["selector"]
        elif item["kind"] == "NetworkPolicy":
            yield item["metadata"]["name"], item["spec"]["podSelector"].get("matchLabels", {})
        elif "matchLabels" in item.get("spec", {}).get("selector", {}) and (
                item["kind"] not in CUSTOM_KINDS):
            yield item["metadata"]["name"], item["spec"]["selector"]["matchLabels"]


def test_every_selector_selects_pods(objects):
    labels = [pod["metadata"]["labels"] for pod in pods(objects)]
    for name, selector in selected(objects):
        assert any(selector.items() <= pod_labels.items() for pod_labels in labels), name


def test_services_lead_to_ports_that_their_pods_have(objects):
    named = {port["name"]: port["containerPort"] for pod in pods(objects)
             for container in pod["spec"]["containers"] for port in container["ports"]}
    assert named["http"] == 8000
    for item in objects:
        if item["kind"] == "Service":
            assert {port["targetPort"] for port in item["spec"]["ports"]} <= named.keys()


def test_the_autoscaler_alone_says_how_many_replicas_there_are(rendered):
    base = rendered["base"]
    target = one(base, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert "replicas" not in one(base, target["kind"], target["name"])["spec"]
    assert one(base, "HorizontalPodAutoscaler")["spec"]["minReplicas"] > (
        one(base, "PodDisruptionBudget")["spec"]["maxUnavailable"])


def test_a_node_can_be_drained_while_all_pods_are_broken(rendered):
    budgets = [item for item in rendered["base"] if item["kind"] == "PodDisruptionBudget"]
    assert [budget["spec"]["unhealthyPodEvictionPolicy"] for budget in budgets] == ["AlwaysAllow"]


# In agreement with the server.

def test_probes_ask_for_paths_that_the_app_has(objects, app):
    probed = {name: api(objects)[f"{name}Probe"]["httpGet"]["path"]
              for name in ("startup", "readiness", "liveness")}
    assert probed == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    assert {("GET", path) for path in probed.values()} <= routes(app)


def test_every_variable_is_a_setting_and_its_value_can_be_used(objects):
    variables = environment(objects)
    assert {name for name in variables if name != "REDIS_PASSWORD"} <= {
        f"FRAUD_{field.upper()}" for field in ServeSettings.__struct_fields__}
    store = open_store(from_environment(variables, ServeSettings))
    assert isinstance(store, RedisStore)
    store.close()


def test_services_put_no_variables_that_look_like_settings_into_pods(objects):
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods(objects))


def test_a_pod_has_time_to_leave_the_service_and_to_finish_what_it_accepted(objects):
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    leaving = api(objects)["lifecycle"]["preStop"]["sleep"]["seconds"]
    draining = from_environment(environment(objects), ServeSettings).drain_seconds
    assert pod["terminationGracePeriodSeconds"] > leaving + draining
    rollout = one(objects, "Deployment")["spec"]["strategy"]["rollingUpdate"]
    assert rollout["maxUnavailable"] == 0


# Safe.

def test_no_pod_runs_as_root_or_can_become_it_or_can_write_to_its_image(objects):
    for pod in pods(objects):
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] and context["runAsUser"] == 65532
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        [container] = pod["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]}}
        assert {"cpu", "memory"} <= container["resources"]["limits"].keys()
    assert {"name": "tmp", "mountPath": "/tmp"} in api(objects)["volumeMounts"]
    assert one(objects, "Namespace", "fraud")["metadata"]["labels"][
        "pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_is_written_down(objects):
    secrets = [item for item in objects if item["kind"] == "Secret"]
    assert [sorted(secret["data"]) for secret in secrets] == [
        ["REDIS_PASSWORD"], ["FRAUD_ACCOUNT_KEY", "FRAUD_API_KEYS"]]
    assert {value for secret in secrets for value in secret["data"].values()} == {""}
    values = [variable.get("value", "") for pod in pods(objects)
              for container in pod["spec"]["containers"] for variable in container["env"]]
    assert [value for value in values if value] == [
        "redis://:$(REDIS_PASSWORD)@fraud-redis.fraud.svc.cluster.local.:6379/0"]


def test_all_traffic_is_denied_except_as_the_policies_allow(objects):
    everything = one(objects, "NetworkPolicy", "default-deny")["spec"]
    assert everything == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    spec = one(objects, "NetworkPolicy")["spec"]
    [ingress] = spec["ingress"]
    [prometheus] = ingress["from"]
    assert prometheus["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"}
    assert prometheus["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    assert [{port["port"] for port in rule["ports"]} for rule in spec["egress"]] == [
        {53}, {6379}, {443}, {80}]
    store = one(objects, "NetworkPolicy", "fraud-redis")["spec"]
    assert "egress" not in store
    [expression] = store["ingress"][0]["from"][0]["podSelector"]["matchExpressions"]
    assert expression == {"key": "app.kubernetes.io/name", "operator": "In",
                          "values": ["fraud-api", "fraud-scorer"]}


# Redis.

@pytest.fixture
def configured_redis(objects, tmp_path):
    """A Redis started as in the StatefulSet, with a socket in place of the network."""
    text = one(objects, "ConfigMap", "fraud-redis")["data"]["redis.conf"]
    configuration = tmp_path / "redis.conf"
    configuration.write_text(text.replace("dir /data", f"dir {tmp_path}") + (
        f"\nport 0\nunixsocket {tmp_path}/redis.sock\n"))
    [container] = one(objects, "StatefulSet", "fraud-redis")["spec"]["template"]["spec"][
        "containers"]
    command = [part.replace("/etc/redis/redis.conf", str(configuration))
               for part in container["command"]]
    started = []

    def start(password: str) -> subprocess.Popen:
        started.append(subprocess.Popen(
            command, env={"PATH": os.environ["PATH"], "REDISCLI_AUTH": password},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE))
        return started[-1]

    program("redis-server")
    yield start
    for process in started:
        process.kill()
        process.communicate()       # waits and closes the pipe


def test_redis_keeps_history_behind_its_password(configured_redis, tmp_path):
    process, socket = configured_redis("secret"), tmp_path / "redis.sock"
    while not socket.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(unix_socket_path=str(socket)).ping()
    store = RedisStore(f"unix://:secret@{socket}", 60_000, 10_000)
    transfer = parse(b'{"transaction_id": "a", "event_time": 1704103200000, "type": "TRANSFER", '
                     b'"amount": 1, "origin": "C1", "destination": "C2", "origin_balance": 1, '
                     b'"destination_balance": 0}')
    [claim] = store.claim([transfer], 1704103200000)
    assert store.finish([claim], [b"answer"]) == [b"answer"]
    store.close()
    client = redis.Redis(unix_socket_path=str(socket), password="secret", decode_responses=True)
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_one_version_of_redis_is_named_everywhere(objects):
    [container] = one(objects, "StatefulSet", "fraud-redis")["spec"]["template"]["spec"][
        "containers"]
    version = re.fullmatch(r"redis:(\d+\.\d+)\.\d+", container["image"])[1]
    files = subprocess.run(["git", "grep", "-IE", "redis:[0-9]+[.]"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout
    named = dict(re.findall(r"^(\S+?):.*\b(redis:\d+\.[\w.-]+)", files, re.MULTILINE))
    assert {"compose.yaml", "docs/security.md", "k8s/base/redis/statefulset.yaml"} <= named.keys()
    assert set(named.values()) == {container["image"]}
    assert f"Compose and Kubernetes run Redis {version}." in (ROOT / "docs/history.md").read_text()


def test_a_redis_that_never_became_ready_is_replaced_once_its_template_is_fixed(objects):
    assert one(objects, "StatefulSet", "fraud-redis")["spec"]["podManagementPolicy"] == "Parallel"


def test_redis_does_not_start_without_a_password(configured_redis):
    process = configured_redis("")
    assert process.wait(10) != 0
    assert b"REDISCLI_AUTH" in process.stderr.read()


def test_redis_has_room_to_rewrite_its_file(objects):
    settings = dict(line.split(" ", 1) for line in one(objects, "ConfigMap", "fraud-redis")[
        "data"]["redis.conf"].splitlines() if line and not line.startswith("#"))
    [container] = one(objects, "StatefulSet", "fraud-redis")["spec"]["template"]["spec"][
        "containers"]
    limit = container["resources"]["limits"]["memory"]
    units = {"mb": 2 ** 20, "gb": 2 ** 30, "Mi": 2 ** 20, "Gi": 2 ** 30}
    assert 2 * int(settings["maxmemory"][:-2]) * units[settings["maxmemory"][-2:]] <= (
        int(limit[:-2]) * units[limit[-2:]])


def test_redis_has_room_for_the_rate_that_its_configuration_names(rendered):
    text = (ROOT / "k8s/base/redis/redis.conf").read_text()
    rate, hours, id_bytes, accounts, account_bytes, percent, alert = (
        int(number.replace(",", "")) for number in re.search(
            r"(\d+) payments a second x 3,600 s x (\d+) hours .*? x (\d+) bytes, and "
            r"([\d,]+) accounts.*? x ([\d,]+) bytes, .*?: (\d+) % .*? fires at (\d+) %",
            text, re.DOTALL).groups())
    settings = from_environment(environment(rendered["base"]), ServeSettings)
    assert settings.idempotency_hours == hours
    needed = rate * 3_600 * hours * id_bytes + accounts * account_bytes
    limit = int(re.search(r"^maxmemory (\d+)gb$", text, re.MULTILINE)[1]) * 2 ** 30
    assert percent == round(100 * needed / limit) < alert
    rule = one(rendered["base"], "PrometheusRule", "fraud")
    [expression] = [entry["expr"] for group in rule["spec"]["groups"] for entry in group["rules"]
                    if entry.get("alert") == "FraudHistoryFull"]
    assert expression.endswith(f"> {alert / 100}")
    guide = (ROOT / "docs/operations.md").read_text()
    assert f"FRAUD_IDEMPOTENCY_HOURS x {id_bytes} bytes" in guide
    assert f"accounts of the last month x {account_bytes:,} bytes" in guide


def test_a_payment_and_an_account_need_the_memory_that_the_configuration_names(own_redis):
    text = (ROOT / "k8s/base/redis/redis.conf").read_text()
    stated = [int(size.replace(",", "")) for size in re.findall(r"x ([\d,]+) bytes", text)]
    payments = ([payment(event_time=NOON + index * 60_000, origin=f"C{index % 1_300:010}",
                         destination=f"C{index % 1_100:010}")
                 for index in range(first, first + 100)]
                for first in range(0, 30_000, 100))         # over three weeks
    measured = redis_memory.kept_bytes(own_redis().url, payments)
    for size, most in zip(measured, stated, strict=True):
        assert 0.6 * most < size < 1.05 * most, measured


# The scripts.

STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
if [ "$*" = ip ]; then echo 192.0.2.1; fi
"""


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the manifests without the overlay `mine`."""
    program("openssl")
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s", ignore=shutil.ignore_patterns("mine"))
    return tmp_path


def test_the_created_overlay_has_secrets_and_admits_its_key(copy):
    subprocess.run(["k8s/secrets.sh"], cwd=copy, check=True)
    mine = copy / "k8s/overlays/mine"
    objects = render(mine)
    variables = environment(objects)
    key = (mine / "key").read_text().strip()
    assert Keys(variables["FRAUD_API_KEYS"]).find(f"Bearer {key}")
    assert len(variables["FRAUD_ACCOUNT_KEY"]) == len(variables["REDIS_PASSWORD"]) == 64
    assert f":{variables['REDIS_PASSWORD']}@" in variables["FRAUD_HISTORY"]
    assert api(objects)["image"] == "fraud-detector:local"
    assert not mine.stat().st_mode & 0o077


@pytest.mark.parametrize("file, variable, replaced", [
    ("secrets.env", "FRAUD_API_KEYS", {"fraud-api"}),
    ("redis.env", "REDIS_PASSWORD", {"fraud-api", "fraud-redis"})])
def test_a_changed_secret_replaces_the_pods_that_use_it_and_no_others(
        copy, file, variable, replaced):
    subprocess.run(["k8s/secrets.sh"], cwd=copy, check=True)
    before = workloads(render(copy / "k8s/overlays/mine"))
    secrets = copy / "k8s/overlays/mine" / file
    secrets.write_text(re.sub(f"{variable}=.*", f"{variable}={64 * '0'}", secrets.read_text()))
    after = workloads(render(copy / "k8s/overlays/mine"))
    assert replaced == {old["metadata"]["name"] for old, new in zip(before, after, strict=True)
                        if old["spec"]["template"] != new["spec"]["template"]}


def test_secrets_that_may_be_in_use_are_kept(copy):
    subprocess.run(["k8s/secrets.sh"], cwd=copy, check=True)
    before = (copy / "k8s/overlays/mine/key").read_text()
    again = subprocess.run(["k8s/secrets.sh"], cwd=copy, capture_output=True, text=True)
    assert again.returncode == 1 and "exists already" in again.stderr
    assert (copy / "k8s/overlays/mine/key").read_text() == before


def test_the_script_deploys_the_image_to_a_minikube_and_scores_a_payment(copy):
    """A Minikube cannot run in tests: stand-ins for its programs log their arguments."""
    log = copy / "log"
    for name in ("minikube", "docker", "kubectl", "curl"):
        (copy / name).write_text(STAND_IN.format(log=log))
        (copy / name).chmod(0o755)
    subprocess.run(["k8s/minikube.sh"], cwd=copy, check=True,
                   env=os.environ | {"PATH": f"{copy}:{os.environ['PATH']}"})
    calls = log.read_text()
    positions = [calls.index(step) for step in (
        "minikube image load --overwrite=true fraud-detector:local",
        "kubectl apply -k k8s/overlays/mine", "kubectl -n fraud rollout status",
        "http://192.0.2.1/v1/score")]
    assert positions == sorted(positions)
    key = (copy / "k8s/overlays/mine/key").read_text().strip()
    assert f"Authorization: Bearer {key} " in calls
    assert parse(calls[calls.index("-d {") + 3:].encode()).origin == "C1231006815"


def test_git_ignores_secrets():
    git = subprocess.run(["git", "check-ignore", "k8s/overlays/mine/secrets.env"], cwd=ROOT,
                         capture_output=True, text=True)
    assert git.stdout.strip() == "k8s/overlays/mine/secrets.env", git.stderr
