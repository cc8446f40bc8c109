"""Which version of DVC's a file of payments is, and how to see again what a model learned from."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path


def dvc_md5(source: str) -> str:
    """The md5 under which DVC keeps a file; "" where it does not, or not as it is now, or where
    git does not know the note of it.

    Args:
        source: a path or URI; what is not in a repository of DVC has no version.
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
    """What to type to see code, data and run of a registered version again: lines of text.

    Args:
        tags: of the version: `git_commit`, `data_file`, `data_md5`, `metaflow_run`.
    """
    commit, clean = tags["git_commit"].removesuffix("-dirty"), "-dirty" not in tags["git_commit"]
    file, run = tags.get("data_file", "a file of that sha256"), tags["metaflow_run"].split("/")[-1]
    data = (f".venv/bin/dvc pull {file}" if tags.get("data_md5") else
            f"{file}: DVC did not keep it; data_digest is its sha256")
    code = f"git checkout {commit}" if commit != "unknown" else "it was trained without git"
    return "\n".join((
        f"code  {code}" + ("" if clean else "  (files differed from it)"),
        f"data  {data}",
        f"run   .venv/bin/python flows/train_flow.py card view {run}/audit"))
