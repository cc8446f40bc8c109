"""Published files, in a local folder or on S3."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fraud.errors import FraudError


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
            partial = path.with_name(f"{path.name}.partial")
            partial.write_bytes(content)
            os.replace(partial, path)
        except OSError as error:
            raise PublishedError(f"{path}: cannot be written ({error.strerror}); check its "
                                 "permissions") from error

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock file of a local folder, so that two programs do not change it at once.

        S3 has no locks: there, the last program to write wins.
        """
        if self._client:
            yield
            return
        path = Path(self.location, name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a")
        except OSError as error:
            raise PublishedError(f"{path}: cannot be written ({error.strerror}); check its "
                                 "permissions") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _read_file(self, name: str) -> bytes | None:
        path = Path(self.location, name)
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise PublishedError(f"{path}: cannot be read ({error.strerror}); check its permissions"
                                 ) from error

    def _read_object(self, name: str) -> bytes | None:
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self._prefix}/{name}" if self._prefix else name
        try:
            content: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise PublishedError(f"{self.location}/{name}: cannot be read ({error}); check the "
                                 "location, the credentials and AWS_ENDPOINT_URL") from error
        return content

    def _write_object(self, name: str, content: bytes) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self._prefix}/{name}" if self._prefix else name
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content)
        except (BotoCoreError, ClientError) as error:
            raise PublishedError(f"{self.location}/{name}: cannot be written ({error}); check the "
                                 "location, the credentials and AWS_ENDPOINT_URL") from error
