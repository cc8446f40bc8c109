"""The objects of the manifests: of each folder, and of the base with some of its components."""

import os
from functools import cache

import pytest

from tests.k8s.rendering import FOLDERS, render
from tests.tools import ROOT

OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: fraud
resources: [{base}]
components: [{components}]
"""


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[dict]]:
    return {folder: render(ROOT / "k8s" / folder) for folder in FOLDERS}


@pytest.fixture(scope="session")
def with_components(tmp_path_factory):
    """Renders the base with components, as k8s/README.md describes: `with_components(*names)`."""
    @cache
    def overlay(*components: str) -> list[dict]:
        directory = tmp_path_factory.mktemp("overlay")
        base = os.path.relpath(ROOT / "k8s/base", directory.resolve())
        (directory / "kustomization.yaml").write_text(OVERLAY.format(
            base=base, components=", ".join(f"{base}/{name}" for name in components)))
        return render(directory)

    return overlay
