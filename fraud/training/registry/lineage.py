"""The origin of a bundle: data, code and run."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

UNREGISTERED = "0"      # version of a bundle that the registry has not numbered yet


@dataclass(frozen=True)
class Lineage:
    """The origin of a bundle, and the number that the registry gave it."""

    data_digest: str            # sha256 of the source file, hexadecimal
    git_commit: str
    metaflow_run: str           # "TrainFlow/<run id>"
    tuned_until: int = 0        # ms since the epoch: later payments were used for nothing
    mlflow_run: str = ""
    version: str = UNREGISTERED
    trained_at: int = 0         # ms since the epoch: when the run began
    data_file: str = ""         # path or URI of the source file
    time_base: str = "event_time"       # see `dataset.Prepared`
    mapping_digest: str = ""    # sha256 of the mapping of its columns, if it has one
    data_md5: str = ""          # under which DVC keeps it: see `data_version.dvc_md5`


def git_commit() -> str:
    """Return the checked-out commit, with "-dirty" if files differ; "unknown" without git."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(Path(__file__).parent), *arguments], text=True,
                          capture_output=True, check=True).stdout.strip()
