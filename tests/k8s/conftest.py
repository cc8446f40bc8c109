"""Overlays of the base with some of its components, as k8s/README.md describes them."""

import os
from functools import cache

import pytest
import yaml

from tests.tools import ROOT, run

OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: fraud
resources: [{base}]
components: [{components}]
"""


@pytest.fixture(scope="session")
def with_components(tmp_path_factory):
    """Renders the base with components: `with_components(*names)`."""
    @cache
    def render(*components: str) -> list[dict]:
        directory = tmp_path_factory.mktemp("overlay")
        base = os.path.relpath(ROOT / "k8s/base", directory.resolve())
        (directory / "kustomization.yaml").write_text(OVERLAY.format(
            base=base, components=", ".join(f"{base}/{name}" for name in components)))
        return list(yaml.safe_load_all(run("kubectl", "kustomize", directory)))

    return render
