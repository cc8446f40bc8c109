"""Input files, from a local path or S3, and output as Parquet files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from fraud.training.errors import TrainingError

S3_SCHEMES = ("s3://", "s3a://")
BLOCK = 1 << 23            # bytes
ALL_HISTORY = b"fraud.all_history"      # key in a schema: nobody had paid before the file begins
ROW_GROUP = 500_000


class File(NamedTuple):
    """A source file that can be read, or the files of a folder or glob, its parts."""

    name: str                   # as the caller gave it, for messages
    paths: tuple[Path, ...]     # sorted
    digest: str                 # sha256 of its bytes, or of the digests of its parts, hexadecimal


@contextmanager
def fetched(source: str, directory: Path) -> Iterator[File]:
    """Give the file or files that a path, glob or URI names; a file on S3 is copied for the block.

    Args:
        source: a local file, folder or glob, or an s3:// or s3a:// URI of a file; AWS_ENDPOINT_URL
            and the other AWS variables are honoured.
        directory: holds the copy of a file on S3.

    Raises:
        TrainingError: the source is missing, empty or unreadable.
    """
    if "://" not in source:
        yield _local(source)
        return
    copy = directory / "source.partial"
    try:
        _download(source, copy)
        yield File(source, (copy,), _digest(source, copy))
    finally:
        copy.unlink(missing_ok=True)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table; it gets its name only once it is complete.

    Raises:
        TrainingError: the directory is not there or not writable, or the disk is full.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        pq.write_table(table, partial, compression="zstd", row_group_size=ROW_GROUP)
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise not_writable(path.parent, error) from error


def not_writable(directory: Path, error: Exception) -> TrainingError:
    """Return the error for a directory that cannot be written to."""
    return TrainingError(f"{directory}: cannot be written to ({reason(error)}); "
                         "name a writable directory with free space")


def reason(error: Exception) -> str:
    """Return the message of an error in one line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def _local(source: str) -> File:
    if Path(source).is_dir():
        paths = sorted(path for path in Path(source).rglob("*") if path.is_file()
                       and not any(part.startswith(("_", ".")) for part
                                   in path.relative_to(source).parts))
    else:
        paths = sorted(map(Path, glob(source))) or [Path(source)]
    if not paths:
        raise TrainingError(f"{source}: is a folder without files; name one with parts")
    if len(paths) == 1:
        return File(source, (paths[0],), _digest(source, paths[0]))
    digests = [_digest(str(path), path) for path in paths]
    return File(source, tuple(paths), hashlib.sha256("".join(digests).encode()).hexdigest())


def _digest(name: str, path: Path) -> str:
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise TrainingError(f"{name}: is not a regular file; write its content to one")
    try:
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            is_empty = stream.tell() == 0
    except FileNotFoundError as error:
        raise TrainingError(f"{name}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise TrainingError(f"{name}: is a directory; name one file in it") from error
    except OSError as error:
        raise TrainingError(f"{name}: cannot be read ({reason(error)}); "
                            "check its permissions and the disk") from error
    if is_empty:
        raise TrainingError(f"{name}: is empty (0 bytes); export it again")
    return digest


def _download(source: str, copy: Path) -> None:
    remote = _object(source)
    try:
        with remote, open(copy, "wb") as local:
            while block := remote.read(BLOCK):
                local.write(block)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{source}: cannot be copied to {copy.parent} ({reason(error)}); check "
                            "the network, and that the directory has space") from error


def _object(source: str) -> pa.NativeFile:
    if not source.startswith(S3_SCHEMES):
        raise TrainingError(f"{source}: of an unknown scheme; "
                            f"use a local path or one of {', '.join(S3_SCHEMES)}")
    try:
        filesystem, key = fs.FileSystem.from_uri("s3://" + source.split("://", 1)[1])
        _check_object(source, filesystem.get_file_info(key).type)
        return filesystem.open_input_stream(key)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{source}: cannot be fetched ({reason(error)}); check the bucket, "
                            "the credentials and AWS_ENDPOINT_URL") from error


def _check_object(source: str, kind: fs.FileType) -> None:
    if kind == fs.FileType.NotFound:
        raise TrainingError(f"{source}: no such object; check the bucket and the key")
    if kind != fs.FileType.File:
        raise TrainingError(f"{source}: is a directory; name one object in it")
