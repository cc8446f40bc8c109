"""Stand-ins for the images that compose.yaml pulls, built where they are not on this machine."""

import shutil
import subprocess
from importlib.metadata import version
from os import environ
from pathlib import Path

from stream.broker import jars
from tests.tools import ROOT, program

FOLDER = Path(__file__).parent
PROGRAMS = "fraud-compose-programs"
NO_STAND_IN = {"grafana"}       # neither Debian nor a registry of packages has it


def build_missing(services: dict[str, dict], directory: Path) -> list[str]:
    """Build a stand-in for each image that is missing.

    Args:
        services: of compose.yaml.
        directory: receives build contexts.

    Returns:
        The names of the images that were built.
    """
    missing = {name: service["image"] for name, service in services.items()
               if "build" not in service and name not in NO_STAND_IN
               and not _exists(service["image"])}
    if missing:
        _from_debian("programs", PROGRAMS)
    for name, image in missing.items():
        if name == "kafka":
            _build(_kafka_context(directory / name), image)
        elif name == "mlflow":
            _build(_mlflow_context(directory / name), image)
        else:
            _from_debian(name, image)
    return list(missing.values())


def remove(images: list[str]) -> None:
    """Remove images, so that nobody takes a stand-in for what its name says."""
    if images:
        subprocess.run(["docker", "image", "rm", "--force", *images], check=True,
                       capture_output=True)


def _exists(image: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True,
                          check=False).returncode == 0


def _from_debian(target: str, image: str) -> None:
    with open(FOLDER / "debian.Dockerfile") as dockerfile:
        _build("-", image, "--target", target, stdin=dockerfile)


def _build(context: Path | str, image: str, *options: str, **streams) -> None:
    result = subprocess.run(
        ["docker", "build", "--quiet", "--tag", image, *options, context], capture_output=True,
        text=True, check=False, **streams, env={**environ, "DOCKER_BUILDKIT": "0"})
    assert result.returncode == 0, result.stdout + result.stderr


def _kafka_context(directory: Path) -> Path:
    shutil.copytree(FOLDER / "kafka", directory)
    (directory / "jars").mkdir()
    for jar in jars(environ):
        shutil.copyfile(jar, directory / "jars" / jar.name)     # readable by the broker's user
    return directory


def _mlflow_context(directory: Path) -> Path:
    """Install MLflow with the pins of requirements.txt, from uv's cache."""
    shutil.copytree(FOLDER / "mlflow", directory)
    constraints = directory / "constraints.txt"
    constraints.write_text("\n".join(
        line.rstrip(" \\") for line in (ROOT / "requirements.txt").read_text().splitlines()
        if line[:1].isalnum()))     # without hashes, which bind only what is listed
    own_uv = ROOT / ".venv-uv/bin/uv"
    subprocess.run(
        [own_uv if own_uv.exists() else program("uv"), "pip", "install", "--quiet", "--python",
         ROOT / ".venv/bin/python", "--target", directory / "packages", "--constraint",
         constraints, f"mlflow=={version('mlflow')}"], check=True)
    return directory
