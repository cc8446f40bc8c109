"""The script k8s/minikube.sh, on the cluster of the tests behind a stand-in of `minikube`."""

import json
import shutil
import time

import pytest

from tests.k8s.cluster.cluster import HERE, run
from tests.tools import ROOT

pytestmark = [pytest.mark.system, pytest.mark.cluster, pytest.mark.acceptance]


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
        answer = json.loads(output[output.rindex("\n{"):])
        assert (answer["decision"], answer["history"]) == ("decline", "short")
    finally:
        cluster.kubectl("delete", "namespace", "fraud", "ingress-nginx", "--timeout=3m")
    assert cluster.rest() == []
