"""Published files, in a local folder or on S3."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fraud.errors import FraudError

PARTIAL = ".partial"        # suffix of a local file that is being written
CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict")    # S3: it was changed meanwhile

Expected = Callable[[bytes | None], bool]       # of the present content; None: there is no file


class PublishedError(FraudError):
    """A published file that cannot be read or written. The message names location and fix."""


class PublishedFolder:
    """A folder, or an s3:// prefix; AWS' variables give region and credentials.

    Raises:
        PublishedError: the location has another scheme.
    """

    def __init__(self, location: str):
        self.location = location.rstrip("/")
        self._client: Any = None
        if location.startswith("s3://"):
            import boto3

            self._client = boto3.client("s3")
            self._bucket, _, self._prefix = self.location.removeprefix("s3://").partition("/")
        elif "://" in location:
            raise PublishedError(f"{location}: cannot be read from; name a folder or an s3:// "
                                 "prefix")

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it is not there.

        Raises:
            PublishedError: it cannot be read.
        """
        return self._read_object(name) if self._client else self._read_file(name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file so that a reader sees the whole old content or the whole new one.

        Raises:
            PublishedError: it cannot be written.
        """
        if self._client:
            self._write_object(name, content)
            return
        path = Path(self.location, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}{PARTIAL}")
            partial.write_bytes(content)
            os.replace(partial, path)
        except OSError as error:
            raise _not_writable(str(path), error) from error

    def replace_if(self, name: str, is_expected: Expected, content: bytes) -> bool:
        """Replace a file if its content is as expected; return True if it was replaced.

        Of two programs that replace it at the same time, one is refused: a folder is locked
        (flock), on S3 the write is conditional on the object's ETag.

        Raises:
            PublishedError: it cannot be written.
        """
        if self._client:
            return self._replace_object(name, is_expected, content)
        lock = Path(self.location, f".{name}.lock")
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("a")
        except OSError as error:
            raise _not_writable(str(lock.parent), error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not is_expected(self._read_file(name)):
                return False
            self.write(name, content)
            return True

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder below, sorted; none if it is not there.

        Raises:
            PublishedError: they cannot be listed.
        """
        if self._client:
            return sorted(self._object_names(folder))
        try:
            return sorted(path.name for path in Path(self.location, folder).iterdir()
                          if path.suffix != PARTIAL)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _not_readable(f"{self.location}/{folder}", error) from error

    def _read_file(self, name: str) -> bytes | None:
        path = Path(self.location, name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _not_readable(str(path), error) from error

    def _read_object(self, name: str) -> bytes | None:
        found = self._object(name)
        return found[0] if found else None

    def _object(self, name: str) -> tuple[bytes, str] | None:
        """Return content and ETag of an object; None if it is not there."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            return answer["Body"].read(), answer["ETag"]
        except self._client.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise _not_readable(f"{self.location}/{name}", error) from error

    def _write_object(self, name: str, content: bytes, **condition: str) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.put_object(Bucket=self._bucket, Key=self._key(name), Body=content,
                                    **condition)
        except (BotoCoreError, ClientError) as error:
            raise _not_writable(f"{self.location}/{name}", error) from error

    def _replace_object(self, name: str, is_expected: Expected, content: bytes) -> bool:
        from botocore.exceptions import ClientError

        present = self._object(name)
        if not is_expected(present[0] if present else None):
            return False
        condition = {"IfMatch": present[1]} if present else {"IfNoneMatch": "*"}
        try:
            self._write_object(name, content, **condition)
        except PublishedError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] in CONFLICTS:
                return False
            raise
        return True

    def _object_names(self, folder: str) -> Iterator[str]:
        from botocore.exceptions import BotoCoreError, ClientError

        prefix = self._key(f"{folder}/")
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=prefix)
        try:
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(prefix)
        except (BotoCoreError, ClientError) as error:
            raise _not_readable(f"{self.location}/{folder}", error) from error

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


def _not_readable(location: str, error: Exception) -> PublishedError:
    return PublishedError(f"{location}: cannot be read {_advice(error)}")


def _not_writable(location: str, error: Exception) -> PublishedError:
    return PublishedError(f"{location}: cannot be written {_advice(error)}")


def _advice(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"({error.strerror}); check its permissions"
    return f"({error}); check the location, the credentials and AWS_ENDPOINT_URL"
