"""Reading of published files, from a local folder or from S3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fraud.errors import FraudError


class PublishedError(FraudError):
    """A published file that cannot be read. The message names the location and the fix."""


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
