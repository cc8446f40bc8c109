"""Runs the flow as a user would: in a process of its own, in a directory of its own."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOW = ROOT / "flows/train_flow.py"
SETTINGS = Path(__file__).with_name("train_flow.toml")


@dataclass(frozen=True)
class Flow:
    """A directory in which the flow runs: its data, its registry and what it published."""

    directory: Path

    def __call__(self, *arguments: str, settings: Path | None = SETTINGS,
                 **environment: str) -> subprocess.CompletedProcess:
        config = ["--config", "settings", str(settings)] if settings else []
        return subprocess.run(
            [sys.executable, str(FLOW), *config, *arguments], cwd=self.directory, text=True,
            capture_output=True, check=False, env={**bare_environment(), **environment})

    def python(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, *arguments], cwd=self.directory, text=True,
                              capture_output=True, check=False, env=bare_environment())


def bare_environment() -> dict[str, str]:
    """This environment as a container has it: nobody said who the user is."""
    unset = ("USER", "USERNAME", "SUDO_USER", "LOGNAME", "METAFLOW_USER", "MLFLOW_TRACKING_URI",
             "FRAUD_MODEL", "MAKEFLAGS", "ARGS")     # of the make that runs the tests
    return {name: value for name, value in os.environ.items() if name not in unset}


def written(result: subprocess.CompletedProcess) -> str:
    """All that a command wrote, without what Metaflow puts before each line."""
    return "\n".join(line.split(")] ", 1)[-1]
                     for line in (result.stdout + result.stderr).splitlines())
