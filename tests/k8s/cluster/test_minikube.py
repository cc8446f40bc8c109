"""The script k8s/minikube.sh, on the cluster of the tests behind a stand-in of `minikube`."""

import shutil
import time

import pytest

from tests.k8s.cluster.cluster import HERE, eventually, run
from tests.tools import ROOT

pytestmark = [pytest.mark.system, pytest.mark.cluster, pytest.mark.acceptance]
ADDRESS = "http://10.99.0.11"      # as the stand-in says


def test_the_script_scores_a_payment_from_an_image(
        cluster, image, tmp_path, record_property):
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s", ignore=shutil.ignore_patterns("mine"))
    cluster.add_volumes(1)
    cluster.load("fraud-cluster/ingress")
    start = time.monotonic()
    try:
        output = run(tmp_path / "k8s/minikube.sh", env=cluster.environment | {
            "IMAGE": image, "PATH": f"{HERE / 'stand_ins'}:{cluster.environment['PATH']}"})
        record_property("seconds to a scored payment", round(time.monotonic() - start))
        assert '"decision":"decline"' in output
        eventually(lambda: '"history":"short"' in run(tmp_path / "k8s/score.sh", ADDRESS))
    finally:
        cluster.kubectl("delete", "namespace", "fraud", "ingress-nginx", "--timeout=3m")
    assert cluster.rest() == []
