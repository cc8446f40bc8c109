"""What a run computes, for steps on machines that share no disk: copied to S3 and from there.

Steps read and write a local folder, which has the same path on all machines. Each begins with what
earlier steps left on S3, and leaves there what is new.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from fraud.training.errors import TrainingError
from fraud.training.files import reason

LOCAL = fs.LocalFileSystem()


def fetch(prefix: str, folder: Path) -> None:
    """Copy the files below an s3:// prefix, with their paths, to a folder that has not got them.

    Raises:
        TrainingError: the prefix is none of S3, or cannot be read; the folder not be written.
    """
    remote, root = _remote(prefix)
    try:
        _copy(_listed(remote, root), remote, root, LOCAL, str(folder))
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{prefix}: cannot be copied to {folder} ({reason(error)})") from None


def keep(folder: Path, prefix: str) -> None:
    """Copy the files of a folder, with their paths, below an s3:// prefix that has not got them.

    Raises:
        TrainingError: the prefix is none of S3, or cannot be written.
    """
    remote, root = _remote(prefix)
    try:
        _copy(_listed(LOCAL, str(folder)), LOCAL, str(folder), remote, root)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{folder}: cannot be copied to {prefix} ({reason(error)})") from None


def _remote(prefix: str) -> tuple[fs.FileSystem, str]:
    if not prefix.startswith("s3://"):
        raise TrainingError(f"{prefix}: is no place on S3; give s3://BUCKET/PREFIX")
    try:
        return fs.FileSystem.from_uri(prefix)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{prefix}: cannot be reached ({reason(error)}); check the bucket, "
                            "the credentials and AWS_ENDPOINT_URL") from None


def _listed(filesystem: fs.FileSystem, root: str) -> dict[str, int]:
    """Sizes of all files below a folder, by their path in it."""
    found = filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return {str(Path(one.path).relative_to(root)): one.size for one in found
            if one.type == fs.FileType.File}


def _copy(files: dict[str, int], source: fs.FileSystem, source_root: str,
          target: fs.FileSystem, target_root: str) -> None:
    there = _listed(target, target_root)
    for file, size in files.items():
        if there.get(file) != size:
            path = f"{target_root}/{file}"
            target.create_dir(path.rsplit("/", 1)[0])
            fs.copy_files(f"{source_root}/{file}", path, source, target)
