"""A cluster for tests that apply the manifests, and the decision to run them.

They run with `make test-cluster` and `make acceptance`, which build Kubernetes if need be, and with
`make test-system` where it is built already. FRAUD_CLUSTER=never leaves them out.
"""

import shutil
from pathlib import Path

import pytest

from stream.broker import jars
from tests.k8s.cluster import programs
from tests.k8s.cluster.cluster import HERE, Cluster, run

CRDS = ("podmonitors", "prometheusrules", "servicemonitors")
NAME = pytest.StashKey[str]()


@pytest.hookimpl(trylast=True)          # after -m
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests on a cluster that cannot run or would take too long: CI fails on skips."""
    marked = [item for item in items if item.get_closest_marker("cluster")]
    obstacle = programs.obstacle()
    if marked and obstacle:
        items[:] = [item for item in items if item not in marked]
        config.hook.pytest_deselected(items=marked)
    if marked:
        config.stash[NAME] = (
            f"Tests on a cluster did not run: {obstacle}" if obstacle
            else f"Tests on a cluster ran, of Kubernetes {programs.VERSION}")


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    if line := config.stash.get(NAME, ""):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> None:
    """The images of the cluster, in Docker."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("coredns", "pause"):
        context = folder / name
        context.mkdir()
        shutil.copy(programs.BIN / name, context / name)
        (context / "Dockerfile").write_text(
            f'FROM scratch\nCOPY {name} /{name}\nENTRYPOINT ["/{name}"]\n')
        build(name, context)
    for name in ("ingress", "redis"):
        build(name, HERE / "images" / name)
    shutil.copytree(HERE / "images/kafka", folder / "kafka")
    (folder / "kafka/jars").mkdir()
    for jar in jars({}):
        shutil.copyfile(jar, folder / "kafka/jars" / jar.name)       # readable by all
    build("kafka", folder / "kafka")


def build(name: str, context: Path) -> None:
    run("docker", "build", "--quiet", "--tag", f"fraud-cluster/{name}", context)


@pytest.fixture(scope="session")
def cluster(images, image):
    """The cluster, with name resolution, volumes and the custom resources of Prometheus."""
    programs.build()
    cluster = Cluster()
    try:
        cluster.load("fraud-cluster/pause")
        cluster.load("fraud-cluster/coredns")
        cluster.kubectl("apply", "-f", HERE / "addons.yaml")
        for crd in CRDS:
            cluster.kubectl("apply", "--server-side", "-f",
                            programs.CRDS / f"monitoring.coreos.com_{crd}.yaml")
        cluster.load("fraud-cluster/redis", "redis:8.10.2")
        cluster.load(image, "registry.example.com/fraud-detector:0.1.0")
        cluster.wait_for_rollout("deployment/coredns", namespace="kube-system")
        yield cluster
    finally:
        cluster.stop()
