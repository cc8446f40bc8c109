"""Programs that are not ours, from .venv-tools or the machine; and what READMEs tell to run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-tools" / "bin"


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


def shell_blocks(readme: Path) -> list[str]:
    """The blocks of a README that are marked as shell."""
    return re.findall(r"^```sh\n(.*?)^```$", readme.read_text(), re.DOTALL | re.MULTILINE)


def routes(app) -> set[tuple[str, str]]:
    """Methods and paths of a Sanic app, with {name} for what varies."""
    return {(method, re.sub(r"<(\w+):\w+>", r"{\1}", f"/{route.path}"))
            for route in app.router.routes for method in route.methods}
