"""Overlays of the base with one of its components, as k8s/README.md describes them."""

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
components: [{base}/{component}]
"""


@pytest.fixture(scope="session")
def with_component(tmp_path_factory):
    """Renders the base with a component: `with_component(name)`."""
    @cache
    def render(component: str) -> list[dict]:
        directory = tmp_path_factory.mktemp("overlay")
        base = os.path.relpath(ROOT / "k8s/base", directory.resolve())
        (directory / "kustomization.yaml").write_text(
            OVERLAY.format(base=base, component=component))
        return list(yaml.safe_load_all(run("kubectl", "kustomize", directory)))

    return render
