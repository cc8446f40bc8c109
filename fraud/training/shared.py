"""What a run computes, for steps on machines that share no disk: copied to S3 and from there.

Steps read and write a local folder, which has the same path on all machines. Each begins with what
earlier steps left on S3; in the end it leaves there what it wrote, and takes away what it removed.
Whatever else steps at the same time leave stays.
"""

from __future__ import annotations

from pathlib import Path

from pyarrow import fs

from fraud.training.errors import TrainingError

State = dict[str, tuple[int, int]]      # of a folder: modification time (ns) and bytes of each file


def place(prefix: str, run: str) -> str:
    """Where the files of a run are.

    Raises:
        TrainingError: the prefix is none of S3.
    """
    if not prefix.startswith("s3://"):
        raise TrainingError(f"--shared {prefix}: is no place on S3; give s3://BUCKET/PREFIX")
    return f"{prefix.rstrip('/')}/{run}"


def fetch(place: str, folder: Path) -> State:
    """Copy what the folder has not got; gives the state of the folder then.

    Raises:
        OSError: S3 cannot be read, or the folder not be written; another attempt may succeed.
    """
    remote, root = fs.FileSystem.from_uri(place)
    here = _state(folder)
    for file, size in _sizes(remote, root).items():
        if file not in here or here[file][1] != size:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            fs.copy_files(f"{root}/{file}", str(folder / file), remote, fs.LocalFileSystem())
    return _state(folder)


def keep(folder: Path, place: str, fetched: State) -> None:
    """Copy what was written since the folder was fetched, and delete what was removed.

    Args:
        fetched: what `fetch` gave.

    Raises:
        OSError: S3 cannot be written; another attempt may succeed.
    """
    remote, root = fs.FileSystem.from_uri(place)
    now, there = _state(folder), _sizes(remote, root)
    for file in now:
        if file not in there or now[file] != fetched.get(file):
            remote.create_dir(f"{root}/{file}".rpartition("/")[0])
            fs.copy_files(str(folder / file), f"{root}/{file}", fs.LocalFileSystem(), remote)
    for file in fetched.keys() - now.keys() & there.keys():
        remote.delete_file(f"{root}/{file}")


def _state(folder: Path) -> State:
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in folder.rglob("*") if path.is_file()}


def _sizes(remote: fs.FileSystem, root: str) -> dict[str, int]:
    """Bytes of all files below a folder, by their path in it."""
    found = remote.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return {str(Path(one.path).relative_to(root)): one.size for one in found
            if one.type == fs.FileType.File}
