"""Workflows of GitHub. No test runs them; each line is a target of the Makefile."""

import re

import pytest
import yaml

from tests.tools import ROOT, run

FOLDER = ROOT / ".github/workflows"
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
