"""Workflows of GitHub, and their jobs run on this machine as they are written.

Steps with `uses:` are stood in for: a copy of the files of git is the checkout, this machine's
Python, Java and caches are what the setup steps install.
"""

import os
import re
from hashlib import sha256

import pytest
import yaml

from fraud.training.registry import publication
from tests.flows.running import bare_environment
from tests.serve.running import Server
from tests.tools import ROOT, run
from tests.workflow_steps import FOLDER, checkout, job_names, run_job

# Lines that are run in part: the first two would run this file again, and tests/test_readme.py
# trains on a copy of the files of git.
NARROWED = {
    "make test COVERAGE=1": 'make test COVERAGE=1 ARGS="tests/test_style.py"',
    "make test-system": 'make test-system ARGS="tests/test_workflows.py -k zizmor"',
    "make mutants": "make mutants MODULE=stream/backoff.py",
    "make train": "test -e models/champion.json"}
ELSEWHERE = {"deploy/lambda": "tests/sam/test_deploy.py",
             "retrain/retrain": "tests/monitoring/test_loop.py"}
RECORDER = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
case "$(basename "$0") $*" in "minikube ip") echo {address};; "minikube status") exit 1;; esac
"""
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(path) -> list[dict]:
    return [step for job in yaml.safe_load(path.read_text())["jobs"].values()
            for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_line_calls_a_target_of_the_makefile(path):
    lines = [step["run"] for step in steps(path) if "run" in step]
    assert lines
    for line in lines:
        assert re.fullmatch(r"make ([a-z-]+)( COVERAGE=1)?", line)[1] in TARGETS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_jobs_have_only_the_rights_they_name(path):
    for step in steps(path):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"])
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert "write" not in job["permissions"].values() or (
            job["environment"] in ("production", "retraining"))


@pytest.mark.system
def test_zizmor_finds_nothing():
    run("zizmor", "--offline", "--strict-collection", FOLDER)


@pytest.mark.system
def test_actionlint_finds_nothing():
    run("actionlint", *WORKFLOWS)


# The jobs.

@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return checkout(tmp_path_factory.mktemp("runner") / "checkout")


def test_every_job_is_run_by_a_test():
    here = {"ci/lint", "ci/test", "ci/system", "ci/minikube", "mutants/mutants"}
    assert job_names() == here | ELSEWHERE.keys()
    for name, file in ELSEWHERE.items():
        assert f'run_job("{name}"' in (ROOT / file).read_text()


@pytest.mark.system
@pytest.mark.parametrize("name", ["ci/lint", "ci/test", "ci/system", "mutants/mutants"])
def test_the_job_succeeds(tree, name):
    cache = {"MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")}       # of `make lint`, if it ran here
    run_job(name, tree, {}, bare_environment() | cache, NARROWED)


@pytest.mark.system
def test_the_job_minikube_deploys_the_image_and_scores_a_payment(tree, tmp_path, bundle_directory):
    """Docker, Minikube and kubectl only note how they are called; a server is the Ingress."""
    publication.publish(bundle_directory, "fraud-detector", str(tree / "models"))
    run("bash", tree / "k8s/secrets.sh")
    key = (tree / "k8s/overlays/mine/key").read_text().strip()
    server = Server(tmp_path, FRAUD_MODEL=str(tree / "models"),
                    FRAUD_API_KEYS=sha256(key.encode()).hexdigest())
    programs, log = tmp_path / "bin", tmp_path / "log"
    programs.mkdir()
    for name in ("docker", "minikube", "kubectl"):
        (programs / name).write_text(RECORDER.format(log=log, address=server.url.split("//")[1]))
        (programs / name).chmod(0o755)
    environment = bare_environment()
    try:
        output = run_job("ci/minikube", tree, {}, environment | {
            "PATH": f"{programs}{os.pathsep}{environment['PATH']}"}, NARROWED)
    finally:
        server.stop()
    assert '"decision"' in output
    calls = log.read_text().splitlines()
    expected = ["docker build", "minikube start", "docker tag fraud-detector",
                "minikube image load", "kubectl apply -k k8s/overlays/mine",
                "kubectl -n fraud rollout status"]
    positions = [next(number for number, call in enumerate(calls) if call.startswith(start))
                 for start in expected]
    assert positions == sorted(positions)
