"""The flow as it is sent to other machines. moto's server stands in for S3; no cluster is there."""

import json
import os
import shutil

import pytest

from tests.flows.running import written

STEPS = {"start", "features", "audit", "train-xgboost", "train-tensorflow", "select", "final-test",
         "register", "end"}


def test_the_code_package_holds_the_domain(flow):
    listed = flow("package", "list", settings=None)
    assert listed.returncode == 0, listed.stderr
    for file in ("fraud/features.py", "fraud/training/features/spark_job.py", "train_flow.py"):
        assert file in written(listed), file


@pytest.fixture
def template(flow, bucket):
    """The workflow template that `argo-workflows create` would send to a cluster."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    result = flow(
        "--with", "kubernetes:image=fraud-training", "argo-workflows", "create", "--only-json",
        settings=None, METAFLOW_DEFAULT_DATASTORE="s3", METAFLOW_S3_ENDPOINT_URL=endpoint,
        METAFLOW_DATASTORE_SYSROOT_S3="s3://models/metaflow")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_argo_runs_every_step_with_its_resources_retries_and_time_limit(template):
    assert template["kind"] == "WorkflowTemplate"
    steps = {step["name"]: step for step in template["spec"]["templates"] if "container" in step}
    assert STEPS <= set(steps)
    for name, step in steps.items():
        if name in STEPS:
            asked = step["container"]["resources"]["requests"]
            assert float(asked["cpu"]) >= 1 and asked["memory"].endswith("M")
            assert step["activeDeadlineSeconds"] in (3_600, 4 * 3_600)
            assert step["container"]["image"] == "fraud-training"
    retried = {name for name in STEPS
               if int(steps[name].get("retryStrategy", {}).get("limit", 0)) > 0}
    assert retried == {"features", "train-xgboost", "train-tensorflow"}


def test_argo_takes_the_parameters_of_the_flow(template):
    names = {parameter["name"] for parameter in template["spec"]["arguments"]["parameters"]}
    assert {"transactions", "sample", "rows", "spark-master", "data-dir",
            "workspace-uri", "tune"} <= names


@pytest.mark.system
def test_steps_on_machines_that_share_no_disk_pass_what_they_computed_through_s3(
        flow, payments, bucket):
    first = flow("run", "--transactions", str(payments), "--workspace-uri", "s3://models/runs")
    assert first.returncode == 0, written(first)
    [workspace] = (flow.directory / "data/runs").iterdir()
    shutil.rmtree(workspace)        # as on a machine that has not seen the run
    again = flow("resume", "final_test", settings=None)
    assert again.returncode == 0, written(again)
    assert (workspace / "xgboost/bundle/model.onnx").exists()
    assert "Decision  version 2" in written(again)
