"""From a trained candidate to the directory that serves: see `fraud.bundle` for what it holds."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fraud import bundle
from fraud.training.candidate import Candidate

NAME = "fraud-detector"
UNREGISTERED = "0"      # version of what no registry has numbered yet


@dataclass(frozen=True)
class Lineage:
    """Where a bundle comes from, and the number that the registry gave it."""

    data_digest: str            # sha256 of the source file, hexadecimal
    git_commit: str
    metaflow_run: str           # "TrainFlow/<run id>"
    tuned_until: int = 0        # ms since the epoch: of payments from then on it learned nothing
    mlflow_run: str = ""
    version: str = UNREGISTERED
    trained_at: int = 0         # ms since the epoch: when the run began
    data_file: str = ""         # path or URI of the source file
    data_md5: str = ""          # by which DVC keeps it: see `data_version.dvc_md5`


def write(candidate: Candidate, lineage: Lineage, directory: Path) -> str:
    """Write a candidate as a bundle, with the first policy of its version.

    Returns:
        the digest by which the bundle is known: sha256 of bundle.json, hexadecimal.
    """
    directory.mkdir(parents=True, exist_ok=True)
    variants = {"model": candidate.model, "fallback": candidate.fallback}
    for variant in variants.values():
        shutil.copyfile(variant.onnx, directory / variant.manifest.file)
    manifest = bundle.Manifest(
        name=NAME, version=lineage.version, framework=candidate.framework,
        data_digest=lineage.data_digest, git_commit=lineage.git_commit,
        metaflow_run=lineage.metaflow_run, mlflow_run=lineage.mlflow_run,
        trained_at=lineage.trained_at, tuned_until=lineage.tuned_until,
        data_file=lineage.data_file, data_md5=lineage.data_md5,
        **{name: variant.manifest for name, variant in variants.items()})
    policy = bundle.Policy(version=f"{lineage.version}.1", **{
        name: variant.thresholds for name, variant in variants.items()})
    (directory / bundle.POLICY_FILE).write_bytes(_json(policy))
    (directory / bundle.MANIFEST_FILE).write_bytes(_json(manifest))
    return bundle.sha256(_json(manifest))


def git_commit() -> str:
    """The commit that is checked out, marked where files differ from it; "unknown" without git."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(Path(__file__).parent), *arguments], text=True,
                          capture_output=True, check=True).stdout.strip()


def _json(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
