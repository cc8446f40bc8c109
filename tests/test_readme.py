"""The README's commands from a clone to a scored payment, run on a clone."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from stream.broker import free_port
from tests.flows.running import bare_environment
from tests.tools import ROOT

README = (ROOT / "README.md").read_text()
START = README.split("## From a clone to a scored payment")[1].split("\n## ")[0]
COMMANDS = [block.strip("\n") for block in re.findall(
    r"((?:^    .*\n)+)", START.split("The answer:")[0], re.MULTILINE)]


def test_there_are_three_commands_on_the_way():
    assert [command.split()[0] for command in COMMANDS] == ["make", "make", "curl"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the files in git, with a link to this environment, which takes minutes to make."""
    copy = tmp_path_factory.mktemp("clone")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True,
                           text=True).stdout.split("\0")
    for file in filter(None, files):
        if (ROOT / file).exists():
            (copy / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy / file)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    for file in ("requirements.txt", "pyproject.toml"):
        os.utime(copy / file, (0, 0))          # older than the environment: nothing to install
    return copy


@pytest.fixture(scope="module")
def environment(clone):
    """As a new user has it; the port may be in use here."""
    return bare_environment() | {"PYTHONPATH": str(clone), "PORT": str(free_port())}


@pytest.fixture(scope="module")
def trained(clone, environment):
    """The output of `make train`."""
    training = subprocess.run(["bash", "-c", COMMANDS[0]], cwd=clone, env=environment, text=True,
                              capture_output=True)
    assert training.returncode == 0, training.stdout[-3_000:] + training.stderr[-3_000:]
    return training.stdout


@pytest.mark.system
def test_both_candidates_compete_and_the_winner_is_promoted(trained):
    f1 = {name: float(value) for name, value in re.findall(
        r"^(xgboost|tensorflow) +([0-9.]+)", trained, re.MULTILINE)}
    assert set(f1) == {"xgboost", "tensorflow"}
    assert 0.70 <= max(f1.values()) <= 0.97 and max(f1.values()) - min(f1.values()) <= 0.10
    assert "Decision  version 1 is promoted" in trained


@pytest.mark.system
def test_the_payment_of_the_readme_is_scored(trained, clone, environment):
    serve = COMMANDS[1] + ' ARGS="--port $PORT"'
    server = subprocess.Popen(["bash", "-c", serve], cwd=clone, env=environment,
                              start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        answer, end = "", time.monotonic() + 60
        while not answer and time.monotonic() < end:
            answer = subprocess.run(
                ["bash", "-c", COMMANDS[2].replace(":8000", ":$PORT")], cwd=clone,
                env=environment, text=True, capture_output=True).stdout
            time.sleep(0.2)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    assert '"transaction_id":"t-1"' in answer
    assert '"decision":"decline"' in answer and '"code":"amount-against-balance"' in answer
