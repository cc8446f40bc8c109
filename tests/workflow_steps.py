"""Runs the steps of a job of .github/workflows on this machine, as they are written."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.tools import ROOT

FOLDER = ROOT / ".github/workflows"
EXPRESSION = re.compile(r"\$\{\{ *([\w.]+) *\}\}")


def load(workflow: str) -> dict:
    return yaml.safe_load((FOLDER / f"{workflow}.yml").read_text())


def job_names() -> set[str]:
    """Return all jobs as WORKFLOW/JOB."""
    return {f"{path.stem}/{name}" for path in FOLDER.glob("*.yml") for name in
            load(path.stem)["jobs"]}


def run_job(name: str, directory: Path, values: Mapping[str, str], environment: Mapping[str, str],
            narrowed: Mapping[str, str]) -> str:
    """Run the `run:` steps of a job in order, and return their output.

    Steps with `uses:` (checkout, setup, caches, credentials) are what the caller has prepared.

    Args:
        name: WORKFLOW/JOB.
        directory: of the checkout.
        values: of expressions, such as `vars.FRAUD_MODEL`.
        environment: of the runner.
        narrowed: lines that take too long as they are, with the lines that run instead.
    """
    workflow_name, job_name = name.split("/")
    workflow = load(workflow_name)
    job = workflow["jobs"][job_name]
    output = ""
    for step in job["steps"]:
        if "run" not in step:
            continue
        variables = workflow.get("env", {}) | job.get("env", {}) | step.get("env", {})
        step_environment = {key: EXPRESSION.sub(lambda match: values[match[1]], str(value))
                            for key, value in variables.items()}
        line = narrowed.get(step["run"], step["run"])
        result = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line], cwd=directory,
            env={**environment, "CI": "true", **step_environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert result.returncode == 0, f"{line}\n{result.stdout[-5_000:]}"
        output += result.stdout
    return output


def checkout(directory: Path) -> Path:
    """Copy the files of git into a directory, with links to the environments of this project."""
    directory.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True,
                           text=True).stdout.split("\0")
    for file in filter(None, files):
        if (ROOT / file).exists():
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            (directory / file).write_bytes((ROOT / file).read_bytes())
            (directory / file).chmod((ROOT / file).stat().st_mode)
            if "requirements" in file or file == "pyproject.toml":
                os.utime(directory / file, (0, 0))      # older than the environments
    for name in (".venv", ".venv-lint", ".venv-tools", ".venv-uv"):
        if (ROOT / name).exists():
            (directory / name).symlink_to((ROOT / name).resolve())
    return directory
