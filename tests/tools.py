"""Programs of others, from .venv-tools or the machine; commands of READMEs; our own commands."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fraud.training.registry import publication

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-tools" / "bin"
IMAGE = "fraud-detector-test"
BUILT_FROM = ("fraud", "serve", "stream", "requirements.txt", ".dockerignore")
MISSING = "{} is missing"       # how a skipped test names the program that it needs


def program(name: str) -> str:
    """Return the path of a program. A test without it is skipped, but fails in CI."""
    if path := shutil.which(name, path=f"{FOLDER}{os.pathsep}{os.environ['PATH']}"):
        return path
    missing = f"{MISSING.format(name)}: make programs, make tools"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def run(name: str, *arguments: str | Path, **options) -> str:
    """Run a program, which must succeed, and return its output."""
    result = subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True,
                            **options)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


class CommandResult(NamedTuple):
    """The exit code and output of a command."""

    code: int
    out: str
    err: str


def run_main(capsys: pytest.CaptureFixture, main: Callable[[list[str]], None],
             *arguments: object) -> CommandResult:
    """Run the main function of a command in this process."""
    code = exit_code(main, *arguments)
    return CommandResult(code, *capsys.readouterr())


def exit_code(main: Callable[[list[str]], None], *arguments: object) -> int:
    """Run the main function of a command in this process, and return its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code
    return 0


def need_docker() -> None:
    """Skip a test if no Docker engine answers; in CI it fails."""
    if subprocess.run([program("docker"), "info"], capture_output=True, check=False).returncode:
        message = "no Docker engine answers"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


def build_context(directory: Path, bundle: Path) -> Path:
    """Copy the build context of the image, with a bundle as the champion."""
    for name in BUILT_FROM:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, directory / name)
    publication.publish(bundle, "fraud-detector", str(directory / "models"))
    subprocess.run(["chmod", "-R", "a+rX", str(directory / "models")], check=True)
    return directory


def shell_blocks(readme: Path) -> list[str]:
    """Return the shell blocks of a README."""
    return re.findall(r"^```sh\n(.*?)^```$", readme.read_text(), re.DOTALL | re.MULTILINE)


def routes(app) -> set[tuple[str, str]]:
    """Return methods and paths of a Sanic app, with {name} for parameters."""
    return {(method, re.sub(r"<(\w+):\w+>", r"{\1}", f"/{route.path}"))
            for route in app.router.routes for method in route.methods}
