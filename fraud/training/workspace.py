"""Synchronisation of a run's files with S3, for steps on machines without a shared disk.

Steps read and write a local folder, which has the same path on all machines. Each step first
fetches the files that earlier steps stored on S3; at its end it stores new files there and deletes
the files that it removed. Files of concurrent steps stay.
"""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs

from fraud.training.errors import TrainingError

State = dict[str, tuple[int, int]]      # of a folder: modification time (ns) and bytes of each file


def location(prefix: str, run: str) -> str:
    """Return the S3 location of a run's files.

    Raises:
        TrainingError: the prefix is not on S3.
    """
    if not prefix.startswith("s3://"):
        raise TrainingError(f"--workspace-uri is {prefix!r}: give s3://BUCKET/PREFIX")
    return f"{prefix.rstrip('/')}/{run}"


def fetch(uri: str, folder: Path) -> State:
    """Copy missing files from S3 to a folder, and return the folder's state.

    Raises:
        OSError: S3 cannot be read, or the folder not be written; a retry may succeed.
    """
    remote, root = fs.FileSystem.from_uri(uri)
    local = _state(folder)
    for file, size in _sizes(remote, root).items():
        if file not in local or local[file][1] != size:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            fs.copy_files(f"{root}/{file}", str(folder / file), remote, fs.LocalFileSystem())
    return _state(folder)


def store(folder: Path, uri: str, fetched: State) -> None:
    """Copy files to S3 that changed since the folder was fetched, and delete removed ones.

    Args:
        fetched: the state that `fetch` returned.

    Raises:
        OSError: S3 cannot be written; a retry may succeed.
    """
    remote, root = fs.FileSystem.from_uri(uri)
    local, stored = _state(folder), _sizes(remote, root)
    for file in local:
        if file not in stored or local[file] != fetched.get(file):
            remote.create_dir(f"{root}/{file}".rpartition("/")[0])
            fs.copy_files(str(folder / file), f"{root}/{file}", fs.LocalFileSystem(), remote)
    for file in fetched.keys() - local.keys() & stored.keys():
        remote.delete_file(f"{root}/{file}")


def _state(folder: Path) -> State:
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in folder.rglob("*") if path.is_file()}


def _sizes(remote: fs.FileSystem, root: str) -> dict[str, int]:
    """Return the bytes of all files below a folder, by their path in it."""
    entries = remote.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return {str(Path(entry.path).relative_to(root)): entry.size for entry in entries
            if entry.type == fs.FileType.File}
