"""The manifests of this repository, deployed as k8s/README.md describes."""

import json
import os
import time
from functools import cached_property
from pathlib import Path

import requests

from tests.k8s.cluster.cluster import Cluster, eventually
from tests.serve.running import HASH, KEY, payment
from tests.tools import ROOT

BASE = ROOT / "k8s/base"
REDIS_PASSWORD = "secret"
SMALLER = """\
- {op: replace, path: /spec/template/spec/containers/0/resources/requests/cpu, value: 100m}
"""     # so that all pods have room on one node of two cores


class Release:
    """An overlay of the base in a folder, applied to a cluster.

    Args:
        components: names of folders of the base.

    `keys` are the hashes of API keys, `settings` has changes of ConfigMaps by their names.
    """

    def __init__(self, cluster: Cluster, folder: Path, components: tuple[str, ...] = ()):
        self._cluster, self._folder = cluster, folder
        self._base = os.path.relpath(BASE, folder.resolve() / "composed")
        self._components = components
        self._session = requests.Session()
        self.keys = HASH
        self.settings: dict[str, dict[str, str]] = {}
        self.apply()
        self.wait()

    def apply(self) -> None:
        """Apply the overlay with the current keys and settings."""
        kustomize(self._folder / "composed", {
            "resources": [self._base],
            "components": [f"{self._base}/{name}" for name in self._components]})
        kustomize(self._folder, {       # apart from the components, whose ConfigMaps it changes
            "namespace": "fraud", "resources": ["composed"],
            "patches": [{"target": {"kind": "Deployment"}, "patch": SMALLER}],
            "configMapGenerator": [
                {"name": name, "behavior": "merge", "literals": literals(settings)}
                for name, settings in self.settings.items()],
            "secretGenerator": [
                {"name": name, "behavior": "replace", "literals": literals(values)}
                for name, values in {
                    "fraud-secrets": {"FRAUD_API_KEYS": self.keys, "FRAUD_ACCOUNT_KEY": "key"},
                    "fraud-redis": {"REDIS_PASSWORD": REDIS_PASSWORD}}.items()]})
        self._cluster.kubectl("apply", "-k", self._folder)

    def wait(self) -> None:
        """Wait until all pods of the last change are ready, and those before it have left."""
        self._cluster.wait_for_rollout("statefulset/fraud-redis", "deployment/fraud-api")
        eventually(lambda: not self._cluster.leaving_pods("fraud-api"))

    @cached_property
    def address(self) -> str:
        """The address of the API's Service."""
        return self._cluster.address("fraud-api")

    def score(self, identifier: str, key: str = KEY) -> requests.Response:
        body = payment(identifier, event_time=round(time.time() * 1_000))
        return requests.post(f"http://{self.address}/v1/score", json=body, timeout=30,
                             headers={"Authorization": f"Bearer {key}"})

    def decision(self, identifier: str) -> dict:
        """Return the stored answer to a payment."""
        def response():
            answer = self._session.get(f"http://{self.address}/v1/decisions/{identifier}",
                                       headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
            return answer.status_code != 503 and answer     # Redis may be slow for a moment

        return eventually(response).json()


def kustomize(folder: Path, content: dict) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(json.dumps({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **content}))


def literals(values: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in values.items()]
