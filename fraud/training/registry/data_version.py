"""Versions of data files in DVC, and the way back to the data of a model."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def dvc_md5(source: str) -> str:
    """Return the md5 under which DVC keeps a file.

    It is "" if DVC does not keep the file in its present state, or if git does not have DVC's note.

    Args:
        source: a path or URI; a file outside of a DVC repository has no version.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    path = Path(source).absolute()
    try:
        with Repo(str(path.parent)) as repository:
            [output] = repository.find_outs_by_path(str(path))
            note = Path(output.stage.path)      # the file that holds the md5
            if note.name == "dvc.yaml":
                note = note.with_name("dvc.lock")
            kept = not output.changed_checksum() and _in_git(note)
            return output.hash_info.value if kept else ""
    except (DvcException, SCMError, OSError):
        return ""


def _in_git(file: Path) -> bool:
    return not subprocess.run(["git", "-C", file.parent, "ls-files", "--error-unmatch", file.name],
                              capture_output=True).returncode


def again(tags: Mapping[str, str]) -> str:
    """Return the commands that bring back code, data and run of a registered version.

    Args:
        tags: of the version: `git_commit`, `data_file`, `data_md5`, `metaflow_run`.
    """
    commit = tags["git_commit"].removesuffix("-dirty")
    run = tags["metaflow_run"].split("/")[-1]
    code = f"git checkout {commit}" if commit != "unknown" else "trained outside of git"
    if commit != tags["git_commit"]:
        code += "  (files differed from it)"
    return "\n".join((
        f"code  {code}", f"data  {_data(tags)}",
        f"run   .venv/bin/python flows/train_flow.py card view {run}/final_test"))


def _data(tags: Mapping[str, str]) -> str:
    """Return the command that brings a data file back, or why there is none."""
    file = tags.get("data_file", "a file with that sha256")
    if not tags.get("data_md5"):
        return f"{file}: not kept by DVC; data_digest is its sha256"
    if Path(f"{file}.dvc").exists():        # a file that was added; others come from a stage
        return f".venv/bin/dvc pull {file}"
    return "make data"
