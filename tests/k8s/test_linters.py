"""The manifests and all components under linters and Kubernetes' own schemas."""

from pathlib import Path

import pytest
import yaml

from tests.k8s.rendering import FOLDERS
from tests.tools import ROOT, run

COMPONENTS = ("canary", "desk", "gateway", "ingress-nginx", "scorer")
CUSTOM_GROUPS = ("monitoring.coreos.com", "gateway.networking.k8s.io", "gateway.envoyproxy.io")
# Findings of kube-score that are meant so.
ACCEPTED = (
    "container-image-pull-policy",          # fixed tags: what a node has, it need not ask for
    "deployment-has-host-podantiaffinity",  # topologySpreadConstraints spread the pods
    "deployment-replicas",                  # the desk has one intake; a laptop has one server
    "deployment-strategy",                  # two desks at once could not be migrated
    "pod-probes-identical",                 # nobody calls the scorer: ready and alive are the same
    "statefulset-has-servicename",          # nobody calls a Redis pod by its own name
)


@pytest.fixture(scope="module", params=[*FOLDERS, "components"])
def objects(request, rendered, with_components) -> list[dict]:
    """The objects of the base, of the overlay, of the base with all components."""
    return rendered.get(request.param) or with_components(*COMPONENTS)


def written(objects: list[dict], directory: Path) -> Path:
    """Return a file with the objects."""
    file = directory / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    return file


@pytest.mark.system
def test_kubernetes_schemas_accept_every_object(objects, tmp_path):
    known = [item for item in objects
             if item["apiVersion"].partition("/")[0] not in CUSTOM_GROUPS]
    output = run("kubernetes-validate", "--strict", written(known, tmp_path))
    assert output.count(" passed for resource ") == len(known) >= 13


@pytest.mark.system
def test_checkov_finds_nothing(objects, tmp_path):
    output = run("checkov", "--config-file", ROOT / "k8s/.checkov.yaml", "--file",
                 written(objects, tmp_path))
    assert "Failed checks: 0" in output


@pytest.mark.system
def test_kube_score_finds_nothing(objects, tmp_path):
    ignored = [argument for name in ACCEPTED for argument in ("--ignore-test", name)]
    output = run("kube-score", "score", "--exit-one-on-warning", "--output-format", "ci", *ignored,
                 written(objects, tmp_path))
    assert "[OK]" in output


def test_all_components_are_checked():
    kinds = {path.parent.name: yaml.safe_load(path.read_text())["kind"]
             for path in (ROOT / "k8s/base").glob("*/kustomization.yaml")}
    assert {name for name, kind in kinds.items() if kind == "Component"} == set(COMPONENTS)
