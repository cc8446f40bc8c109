"""Files that come in, from a local path or S3, and Parquet files that go out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from fraud.training.errors import TrainingError

KINDS = (".csv", ".csv.gz", ".parquet")
S3_SCHEMES = ("s3://", "s3a://")
BLOCK = 1 << 23            # bytes
ROW_GROUP = 500_000


class File(NamedTuple):
    """A source file that can be read."""

    name: str          # as the caller gave it: what messages call the file
    path: Path
    digest: str        # sha256 of its bytes, hexadecimal

    @property
    def is_parquet(self) -> bool:
        return self.name.lower().endswith(".parquet")

    @property
    def compression(self) -> str | None:
        return "gzip" if self.name.lower().endswith(".gz") else None


@contextmanager
def fetched(source: str, directory: Path) -> Iterator[File]:
    """The file that a path or URI names; one on S3 is copied, as long as the context lasts.

    Args:
        source: a local path, or an s3:// or s3a:// URI; AWS_ENDPOINT_URL and the other AWS
            variables are honoured.
        directory: holds the copy of a file on S3.

    Raises:
        TrainingError: the source is missing, empty, a directory, of an unknown kind or unreadable.
    """
    if not source.lower().endswith(KINDS):
        raise TrainingError(_extension(source))
    if "://" not in source:
        yield _at_hand(source, Path(source))
        return
    copy = directory / "source.partial"
    try:
        _download(source, copy)
        yield _at_hand(source, copy)
    finally:
        copy.unlink(missing_ok=True)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table, under its name only when complete.

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
        raise not_writable(path.parent, error) from None


def not_writable(directory: Path, error: OSError) -> TrainingError:
    return TrainingError(f"{directory}: cannot be written to ({reason(error)}); "
                         "name a writable directory with free space")


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def _extension(source: str) -> str:
    if Path(source).is_dir():
        return f"{source}: is a directory; name one {' or '.join(KINDS)} file in it"
    return f"{source}: of an unknown kind; name a file that ends in {', '.join(KINDS)}"


def _at_hand(name: str, path: Path) -> File:
    try:
        with open(path, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise TrainingError(f"{name}: no such file; check the path") from None
    except IsADirectoryError:
        raise TrainingError(f"{name}: is a directory; name one file in it") from None
    except OSError as error:
        raise TrainingError(f"{name}: cannot be read ({reason(error)}); "
                            "check its permissions and the disk") from None
    if path.stat().st_size == 0:
        raise TrainingError(f"{name}: is empty (0 bytes); export it again")
    return File(name, path, digest)


def _download(source: str, copy: Path) -> None:
    remote = _object(source)
    try:
        with remote, open(copy, "wb") as local:
            while block := remote.read(BLOCK):
                local.write(block)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{source}: cannot be copied to {copy.parent} ({reason(error)}); check "
                            "the network, and that the directory has space") from None


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
                            "the credentials and AWS_ENDPOINT_URL") from None


def _check_object(source: str, kind: fs.FileType) -> None:
    if kind == fs.FileType.NotFound:
        raise TrainingError(f"{source}: no such object; check the bucket and the key")
    if kind != fs.FileType.File:
        raise TrainingError(f"{source}: is a directory; name one object in it")
