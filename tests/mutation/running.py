"""A run of mutmut on one module, in a copy of the tree."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.mutation.modules import MODULES, mirror

MUTMUT = (sys.executable, "-c", "from mutmut.__main__ import cli; cli()")
KILLED = {1, 3, 24, -24, 152, 255}      # exit codes: failed, internal error, too much time
LEFT_OUT = {".git", "data", "models", "monitored", "mlruns", "pyproject.toml"}
PYTEST = ["-m", "not slow and not system and not acceptance", "-p", "no:cacheprovider",
          # These two collect garbage three times a run, which takes longer than most tests.
          "-p", "no:unraisableexception", "-p", "no:threadexception",
          "--hypothesis-profile=mutants"]


class MutationError(Exception):
    """A module whose mutants cannot be tested. The message has the end of mutmut's output."""


class Outcome(NamedTuple):
    """The mutants of a module."""

    mutants: int
    survivors: list[str]    # a unified difference each

    @property
    def killed(self) -> int:
        return self.mutants - len(self.survivors)

    @property
    def share(self) -> float:
        return self.killed / self.mutants


def run(root: Path, module: str, jobs: int) -> Outcome:
    """Run the fast tests of a module against each of its mutants.

    Args:
        root: the tree, which is not changed.
        module: a key of `MODULES`.
        jobs: mutants to test at a time.

    Raises:
        MutationError: the tests fail without a mutant, or never call the module.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        return _run_in(Path(directory), root, module, jobs)


def _run_in(workspace: Path, root: Path, module: str, jobs: int) -> Outcome:
    for path in root.iterdir():
        if path.name not in LEFT_OUT and not path.name.startswith(".venv"):
            (workspace / path.name).symlink_to(path)
    (workspace / "pyproject.toml").write_text(
        (root / "pyproject.toml").read_text() + _settings(root, workspace, module))
    done = subprocess.run([*MUTMUT, "run", "--max-children", str(jobs)], cwd=workspace,
                          capture_output=True, text=True)
    if done.returncode:
        raise MutationError(f"{module}: {done.stdout[-3_000:]}{done.stderr[-3_000:]}")
    results = json.loads((workspace / "mutants" / f"{module}.meta").read_text())
    codes: dict[str, int] = results["exit_code_by_key"]
    return Outcome(len(codes), [_difference(workspace, mutant)
                                for mutant, code in codes.items() if code not in KILLED])


def _settings(root: Path, workspace: Path, module: str) -> str:
    """Return the section of pyproject.toml that mutmut reads."""
    package = module.split("/")[0]
    tests = [path for path in (mirror(module), *MODULES[module]) if (root / path).exists()]
    settings = {
        "source_paths": [package], "only_mutate": [module],
        "also_copy": [path.name for path in workspace.iterdir()
                      if path.name not in (package, "tests")],
        "pytest_add_cli_args": PYTEST, "pytest_add_cli_args_test_selection": tests,
        "process_isolation": "forkserver"}      # tests before a mutant leave it no threads
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    return f"\n[tool.mutmut]\n{''.join(lines)}"


def _difference(workspace: Path, mutant: str) -> str:
    return subprocess.run([*MUTMUT, "show", mutant], cwd=workspace, check=True,
                          capture_output=True, text=True).stdout
