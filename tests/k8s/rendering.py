"""The manifests of this repository as kubectl renders them."""

from pathlib import Path

import yaml

from tests.tools import run

FOLDERS = ["base", "overlays/minikube"]


def render(folder: Path) -> list[dict]:
    """Return the objects of a folder with a kustomization."""
    return list(yaml.safe_load_all(run("kubectl", "kustomize", folder)))
