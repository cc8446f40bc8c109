"""Which bundle serves: taken from where FRAUD_MODEL says, and followed when its pointer moves.

FRAUD_MODEL names a bundle directory, which stays as it is, or a folder or s3:// prefix with a
`champion.json`, which is looked at again by `refresh`.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Protocol

import msgspec

from fraud import bundle
from fraud.bundle import MANIFEST_FILE, POINTER_FILE, POLICY_FILE, Bundle, BundleError, Pointer

log = logging.getLogger(__name__)


class Champion:
    """The bundle that serves. Any thread may read it while another refreshes.

    Raises:
        BundleError: there is none, or it must not be served.
    """

    def __init__(self, location: str):
        self._place = _place(location)
        self._pointer = self._place.pointer()
        self.bundle = _load(self._place, self._pointer)

    def refresh(self) -> bool:
        """Take what the pointer names now; whether the bundle has changed.

        Whatever is wrong with the new one is logged, and the old one stays.
        """
        try:
            pointer = self._place.pointer()
            if pointer == self._pointer:
                return False
            self.bundle, self._pointer = _load(self._place, pointer), pointer
        except BundleError as error:
            log.error("the champion stays at version %s: %s", self.bundle.manifest.version, error)
            return False
        log.info("the champion is now version %s", pointer.version)
        return True


class _Place(Protocol):
    """Where bundles are."""

    def pointer(self) -> Pointer | None:
        """What champion.json says; None where the place is a bundle itself."""

    def fetch(self, folder: str, directory: Path) -> Path:
        """The local directory of a published bundle; `directory` may be used to hold it."""


def _place(location: str) -> _Place:
    if location.startswith("s3://"):
        return _Prefix(location)
    if "://" in location:
        raise BundleError(f"FRAUD_MODEL is {location!r}: name a directory or an s3:// prefix")
    return _Folder(location)


def _load(place: _Place, pointer: Pointer | None) -> Bundle:
    with tempfile.TemporaryDirectory() as directory:
        if pointer is None:
            return bundle.load(place.fetch("", Path(directory)))
        loaded = bundle.load(place.fetch(pointer.folder, Path(directory)), pointer.sha256)
    if loaded.policy_digest != pointer.policy_sha256:
        raise BundleError(f"{pointer.folder}/{POLICY_FILE}: sha256 is {loaded.policy_digest}, not "
                          f"the promised {pointer.policy_sha256}; publish the bundle again")
    return loaded


def _parsed(where: str, raw: bytes) -> Pointer:
    try:
        pointer = msgspec.json.decode(raw, type=Pointer)
    except msgspec.DecodeError as error:
        raise BundleError(f"{where}: {error}; promote a version again") from None
    if Path(pointer.folder).name != pointer.folder:
        raise BundleError(f"{where}: folder is {pointer.folder!r}, not one beside it; promote a "
                          "version again")
    return pointer


class _Folder:
    """A local bundle, or a local folder of bundles."""

    def __init__(self, location: str):
        self._root = Path(location)
        if not location or not self._root.is_dir():
            raise BundleError(f"FRAUD_MODEL is {location!r}, which is no directory; train a model, "
                              "or name a bundle, a folder with champion.json or an s3:// prefix")

    def pointer(self) -> Pointer | None:
        path = self._root / POINTER_FILE
        try:
            return _parsed(str(path), path.read_bytes())
        except FileNotFoundError:
            if (self._root / MANIFEST_FILE).is_file():
                return None
            raise BundleError(f"{self._root}: holds neither {POINTER_FILE} nor {MANIFEST_FILE}; "
                              "train a model, or let FRAUD_MODEL name its folder") from None
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror})") from None

    def fetch(self, folder: str, directory: Path) -> Path:
        return self._root / folder


class _Prefix:
    """A prefix of a bucket that holds bundles; AWS' own variables say how to reach it."""

    def __init__(self, location: str):
        import boto3

        self._location = location.rstrip("/")
        self._bucket, _, self._prefix = self._location.removeprefix("s3://").partition("/")
        self._client = boto3.client("s3")

    def pointer(self) -> Pointer:
        return _parsed(f"{self._location}/{POINTER_FILE}", self._read(POINTER_FILE))

    def fetch(self, folder: str, directory: Path) -> Path:
        raw = self._read(f"{folder}/{MANIFEST_FILE}")
        (directory / MANIFEST_FILE).write_bytes(raw)
        for file in {POLICY_FILE, *bundle.model_files(f"{self._location}/{folder}", raw)}:
            (directory / file).write_bytes(self._read(f"{folder}/{file}"))
        return directory

    def _read(self, name: str) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self._prefix}/{name}" if self._prefix else name
        try:
            return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except (BotoCoreError, ClientError) as error:
            raise BundleError(f"{self._location}/{name}: cannot be read ({error}); check "
                              "FRAUD_MODEL, the credentials and AWS_ENDPOINT_URL") from None
