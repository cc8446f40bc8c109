"""Which version of DVC's a file of payments is, and how to see again what a model learned from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def dvc_md5(source: str) -> str:
    """The md5 under which DVC keeps a file; "" where it does not, or not as it is now.

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
            return "" if output.changed_checksum() else output.hash_info.value
    except (DvcException, SCMError, OSError):
        return ""


def again(tags: Mapping[str, str]) -> str:
    """What to type to see code, data and run of a registered version again: lines of text.

    Args:
        tags: of the version: `git_commit`, `data_file`, `data_md5`, `metaflow_run`.
    """
    commit, clean = tags["git_commit"].removesuffix("-dirty"), "-dirty" not in tags["git_commit"]
    file, run = tags.get("data_file", "a file of that sha256"), tags["metaflow_run"].split("/")[-1]
    data = (f"dvc pull {file}" if tags.get("data_md5") else
            f"{file}: DVC did not keep it; data_digest is its sha256")
    return "\n".join((
        f"code  git checkout {commit}" + ("" if clean else "  (files differed from it)"),
        f"data  {data}",
        f"run   python flows/train_flow.py card view {run}/audit"))
