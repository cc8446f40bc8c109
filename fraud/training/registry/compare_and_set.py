"""Atomic change of a published file: written only if it still has the content that was read.

Of two changes at the same time one is refused, so a later one never silently replaces an earlier
one. A folder is locked (flock); S3 compares the object's ETag (a conditional write).
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

from fraud.published import PublishedFolder
from fraud.training.errors import TrainingError
from fraud.training.files import not_writable
from fraud.training.registry import publication

Expected = Callable[[bytes | None], bool]       # of the present content; None: there is no file


def replace_if(destination: str, name: str, is_expected: Expected, content: bytes) -> bool:
    """Replace a file if its content is as expected; returns True if it was replaced.

    Args:
        destination: a folder, made if absent, or an s3:// prefix.

    Raises:
        TrainingError: the destination cannot be written to.
    """
    if destination.startswith("s3://"):
        return _replace_object(destination.rstrip("/"), name, is_expected, content)
    return _replace_file(destination, name, is_expected, content)


def _replace_file(destination: str, name: str, is_expected: Expected, content: bytes) -> bool:
    folder = Path(destination)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f".{name}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_expected(PublishedFolder(destination).read(name)):
                return False
            publication.write_files(destination, {name: content})
            return True
    except OSError as error:
        raise not_writable(folder, error) from error


def _replace_object(destination: str, name: str, is_expected: Expected, content: bytes) -> bool:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client("s3")
    bucket, _, prefix = destination.removeprefix("s3://").partition("/")
    key = f"{prefix}/{name}" if prefix else name
    try:
        try:
            found = client.get_object(Bucket=bucket, Key=key)
            present, condition = found["Body"].read(), {"IfMatch": found["ETag"]}
        except client.exceptions.NoSuchKey:
            present, condition = None, {"IfNoneMatch": "*"}
        if not is_expected(present):
            return False
        client.put_object(Bucket=bucket, Key=key, Body=content, **condition)
        return True
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
            return False
        raise _not_writable(destination, error) from error
    except BotoCoreError as error:
        raise _not_writable(destination, error) from error


def _not_writable(destination: str, error: Exception) -> TrainingError:
    return TrainingError(f"{destination}: cannot be written to ({error}); check the bucket and the "
                         "credentials")
