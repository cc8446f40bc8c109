"""Programs that are not ours, from .venv-tools or the machine; and what READMEs tell to run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fraud.training import publication

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-tools" / "bin"
BUILT_FROM = ("fraud", "serve", "stream", "requirements.txt", "pyproject.toml", ".dockerignore")


def program(name: str) -> str:
    """The path of a program. A test without it is skipped, but fails in CI."""
    if path := shutil.which(name, path=f"{FOLDER}{os.pathsep}{os.environ['PATH']}"):
        return path
    missing = f"{name} is missing: make tools (kubectl, openssl, Redis: their own packages)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def run(name: str, *arguments: str | Path, **options) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True,
                          **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def need_docker() -> None:
    """Skips a test where no Docker engine answers; in CI it fails."""
    if subprocess.run([program("docker"), "info"], capture_output=True, check=False).returncode:
        message = "no Docker engine answers"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)


def build_context(directory: Path, bundle: Path) -> Path:
    """A copy of what the image is built from, with a bundle as the champion that is baked in."""
    for name in BUILT_FROM:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, directory / name)
    publication.publish(bundle, "fraud-detector", str(directory / "models"))
    subprocess.run(["chmod", "-R", "a+rX", str(directory / "models")], check=True)
    return directory


def shell_blocks(readme: Path) -> list[str]:
    """The blocks of a README that are marked as shell."""
    return re.findall(r"^```sh\n(.*?)^```$", readme.read_text(), re.DOTALL | re.MULTILINE)


def routes(app) -> set[tuple[str, str]]:
    """Methods and paths of a Sanic app, with {name} for what varies."""
    return {(method, re.sub(r"<(\w+):\w+>", r"{\1}", f"/{route.path}"))
            for route in app.router.routes for method in route.methods}
