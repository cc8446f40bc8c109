"""Runs a project of Docker Compose."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import requests

from tests.serve.running import environment
from tests.tools import program

SECONDS = 120


def eventually(condition: Callable[[], object]):
    """Return the first true value of a condition, which may fail to connect before."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if value := condition():
                return value
        except requests.RequestException:
            pass
        assert time.monotonic() < deadline, f"not within {SECONDS} s"
        time.sleep(0.5)


class Compose:
    """The project of a directory, with Docker's plugin or, where that is not, Debian's program."""

    def __init__(self, directory: Path):
        self.directory = directory
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        self._command = [program("docker"), "compose"] if plugin.returncode == 0 else [
            program("docker-compose")]

    def __call__(self, *arguments: str) -> str:
        """Run a command, which must succeed, and return its output."""
        result = subprocess.run(
            [*self._command, "--project-name", "fraud-compose-test", *arguments],
            cwd=self.directory, capture_output=True, text=True, check=False,
            env=environment(DOCKER_BUILDKIT="0", COMPOSE_DOCKER_CLI_BUILD="0"))
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def state(self, service: str) -> str:
        """Return status, exit code and number of restarts of the container of a service."""
        return subprocess.run(
            ["docker", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}",
             self("ps", "--all", "--quiet", service).strip()],
            capture_output=True, text=True, check=True).stdout.strip()
