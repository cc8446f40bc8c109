"""The bundles that decide or score in shadow: loaded from FRAUD_MODEL, followed by their pointers.

FRAUD_MODEL names a bundle directory, which never changes, or a folder or s3:// prefix with a
`champion.json` and perhaps a `canary.json` and a `challenger.json`, which `refresh` reads again.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

import msgspec

from fraud import bundle
from fraud.bundle import (
    CANARY_FILE, CHALLENGER_FILE, MANIFEST_FILE, POINTER_FILE, POLICY_FILE, Bundle, BundleError,
    CanaryPointer, Pointer)
from fraud.errors import JSON_ERRORS, FraudError
from fraud.published import PublishedError, PublishedFolder

log = logging.getLogger(__name__)
Kind = TypeVar("Kind", bound=Pointer)


class Champion:
    """The bundle that serves. Any thread may read it while another refreshes.

    Raises:
        BundleError: there is no bundle, or it must not be served.
    """

    def __init__(self, location: str):
        self._source = _source(location)
        self._pointer = self._source.pointer()
        self.bundle = _load(self._source, self._pointer)

    def refresh(self) -> bool:
        """Load the bundle that the pointer names now; return True if it has changed.

        A new bundle that must not be served is logged, and the old one stays.
        """
        try:
            pointer = self._source.pointer()
            if pointer is None or pointer == self._pointer:
                return False
            self.bundle, self._pointer = _load(self._source, pointer), pointer
        except BundleError as error:
            log.error("the champion stays at version %s: %s", self.bundle.manifest.version, error)
            return False
        log.info("the champion is now version %s", pointer.version)
        return True


class SecondBundle(Generic[Kind]):
    """A bundle next to the champion, if there is one that can be used.

    It never stops a program: one that cannot be used is logged, and there is none.
    """

    role: ClassVar[str]
    file: ClassVar[str]             # its pointer
    kind: type[Kind]                # of pointer

    def __init__(self, location: str):
        self._source = _source(location)
        self.pointer: Kind | None = None
        self.bundle: Bundle | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Load the bundle that the pointer names now; return True if it is another one, or none.
        """
        try:
            raw = self._source.folder.read(self.file)
            pointer = _parse_pointer(self.file, raw, self.kind) if raw is not None else None
        except FraudError as error:
            log.error("the %s is not known to have changed: %s", self.role, error)
            return False
        if pointer == self.pointer:
            return False
        self.pointer, self.bundle = pointer, None
        try:
            self.bundle = _load(self._source, pointer) if pointer else None
        except BundleError as error:
            log.error("there is no %s: %s", self.role, error)
        log.info("the %s is now version %s", self.role,
                 self.bundle.manifest.version if self.bundle else "none")
        return True


class Challenger(SecondBundle[Pointer]):
    """The bundle that scores in shadow."""

    role, file, kind = "challenger", CHALLENGER_FILE, Pointer


class CanaryBundle(SecondBundle[CanaryPointer]):
    """The bundle that decides for a share of the accounts."""

    role, file, kind = "canary", CANARY_FILE, CanaryPointer


class _BundleSource(Protocol):
    """A location of bundles."""

    folder: PublishedFolder

    def pointer(self) -> Pointer | None:
        """Return the content of champion.json; None where the location is a bundle."""

    def fetch(self, folder: str, directory: Path) -> Path:
        """Return the local directory of a bundle; `directory` is free to hold a copy."""


def _source(location: str) -> _BundleSource:
    if location.startswith("s3://"):
        return _S3Prefix(location)
    if "://" in location:
        raise BundleError(f"FRAUD_MODEL is {location!r}: name a directory or an s3:// prefix")
    return _Directory(location)


def _load(source: _BundleSource, pointer: Pointer | None) -> Bundle:
    with tempfile.TemporaryDirectory() as directory:
        if pointer is None:
            return bundle.load(source.fetch("", Path(directory)))
        loaded = bundle.load(source.fetch(pointer.folder, Path(directory)), pointer.sha256)
    if loaded.policy_digest != pointer.policy_sha256:
        raise BundleError(f"{pointer.folder}/{POLICY_FILE}: sha256 is {loaded.policy_digest}, not "
                          f"the promised {pointer.policy_sha256}; publish the bundle again")
    return loaded


def _parse_pointer(location: str, raw: bytes, kind: type[Kind]) -> Kind:
    try:
        pointer = msgspec.json.decode(raw, type=kind)
    except JSON_ERRORS as error:
        raise BundleError(f"{location}: {error}; promote a version again") from error
    if Path(pointer.folder).name != pointer.folder:
        raise BundleError(f"{location}: folder is {pointer.folder!r}, not the name of a folder in "
                          "the same directory; promote a version again")
    return pointer


class _Directory:
    """A local bundle, or a local folder of bundles."""

    def __init__(self, location: str):
        self._root, self.folder = Path(location), PublishedFolder(location)
        if not location or not self._root.is_dir():
            raise BundleError(f"FRAUD_MODEL is {location!r}, which is not a directory; train a "
                              "model, or name a bundle, a folder with champion.json or an s3:// "
                              "prefix")

    def pointer(self) -> Pointer | None:
        path = self._root / POINTER_FILE
        try:
            return _parse_pointer(str(path), path.read_bytes(), Pointer)
        except FileNotFoundError as error:
            if (self._root / MANIFEST_FILE).is_file():
                return None
            raise BundleError(f"{self._root}: holds neither {POINTER_FILE} nor {MANIFEST_FILE}; "
                              "train a model, or let FRAUD_MODEL name its folder") from error
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror}); check its permissions"
                              ) from error

    def fetch(self, folder: str, directory: Path) -> Path:
        return self._root / folder


class _S3Prefix:
    """A prefix of an S3 bucket that holds bundles."""

    def __init__(self, location: str):
        self.folder = PublishedFolder(location)

    def pointer(self) -> Pointer:
        return _parse_pointer(f"{self.folder.location}/{POINTER_FILE}", self._read(POINTER_FILE),
                              Pointer)

    def fetch(self, folder: str, directory: Path) -> Path:
        raw = self._read(f"{folder}/{MANIFEST_FILE}")
        (directory / MANIFEST_FILE).write_bytes(raw)
        for file in {POLICY_FILE, *bundle.model_files(f"{self.folder.location}/{folder}", raw)}:
            (directory / file).write_bytes(self._read(f"{folder}/{file}"))
        return directory

    def _read(self, name: str) -> bytes:
        try:
            content = self.folder.read(name)
        except PublishedError as error:
            raise BundleError(str(error)) from error
        if content is None:
            raise BundleError(f"{self.folder.location}/{name}: is missing; promote a version, or "
                              "let FRAUD_MODEL name another prefix")
        return content
