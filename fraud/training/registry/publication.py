"""Publication of models for serving: bundles and one pointer, in a folder or on S3.

    champion.json                    `fraud.bundle.Pointer`: replaced in one move
    challenger.json                  the same for the bundle that scores in shadow, if there is one
    canary.json                      the same for the bundle that decides for some of the accounts
    fraud-detector-<N>-<digest>/     a bundle of version N, written before the pointer names it

A published folder never changes: its name holds a digest of the model and its policy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow as pa
from pyarrow import fs

from fraud import bundle
from fraud.bundle import Pointer
from fraud.rules.publication import RulePublisher
from fraud.settings import Settings
from fraud.training.errors import TrainingError
from fraud.training.files import not_writable, reason

PARTIAL = ".partial"        # suffix of a local file that is being written
Kind = TypeVar("Kind", bound=Pointer)


def target() -> str:
    """Return the folder or s3:// prefix that FRAUD_MODEL names, from which serving reads."""
    return os.environ.get("FRAUD_MODEL") or Settings().model


def rule_publisher() -> RulePublisher:
    """Return the publisher of rules in the folder or s3:// prefix of FRAUD_RULES, else FRAUD_MODEL.
    """
    return RulePublisher(os.environ.get("FRAUD_RULES") or target(), target(),
                         os.environ.get("FRAUD_ACCOUNT_KEY", ""))


def publish(directory: Path, name: str, destination: str,
            pointer_file: str = bundle.POINTER_FILE) -> Pointer:
    """Copy a bundle, then move the pointer: readers see the old bundle or the new one.

    Args:
        directory, name, destination: see `add_bundle`.
        pointer_file: champion.json, or challenger.json for a bundle that scores in shadow.

    Raises:
        BundleError, TrainingError: see `add_bundle`.
    """
    pointer = add_bundle(directory, name, destination)
    write_pointer(pointer, destination, pointer_file)
    return pointer


def add_bundle(directory: Path, name: str, destination: str) -> Pointer:
    """Copy a bundle; returns the pointer to it, which is not written.

    Args:
        directory: holds the bundle; it is loaded first, so an invalid one is not published.
        name: of the model, the first part of the published folder's name.
        destination: a folder, made if absent, or an s3:// prefix.

    Raises:
        BundleError: the directory holds no valid bundle.
        TrainingError: the destination cannot be written to, or is a bundle itself.
    """
    loaded = bundle.load(directory)
    version = loaded.manifest.version
    digest = bundle.sha256((loaded.digest + loaded.policy_digest).encode())[:8]
    pointer = Pointer(version=version, folder=f"{name}-{version}-{digest}", sha256=loaded.digest,
                      policy_sha256=loaded.policy_digest)
    filesystem, root = _opened(destination)
    try:
        if filesystem.get_file_info(f"{root}/{bundle.MANIFEST_FILE}").type == fs.FileType.File:
            raise TrainingError(
                f"{destination}: is a bundle; set FRAUD_MODEL to a folder of bundles")
        filesystem.create_dir(f"{root}/{pointer.folder}")
        for file in directory.iterdir():
            _add(filesystem, f"{root}/{pointer.folder}/{file.name}", file.read_bytes())
    except (OSError, pa.ArrowException) as error:
        raise not_writable(Path(destination), error) from error
    return pointer


def write_pointer(pointer: Pointer, destination: str, file: str) -> None:
    """Write a pointer; its bundle is published from then on.

    Raises:
        TrainingError: the destination cannot be written to.
    """
    write_files(destination, {file: msgspec.json.format(msgspec.json.encode(pointer), indent=2)})


def remove(destination: str, name: str) -> None:
    """Remove a file if it is there.

    Raises:
        TrainingError: the destination cannot be written to.
    """
    filesystem, root = _opened(destination)
    try:
        if filesystem.get_file_info(f"{root}/{name}").type == fs.FileType.File:
            filesystem.delete_file(f"{root}/{name}")
    except (OSError, pa.ArrowException) as error:
        raise not_writable(Path(destination), error) from error


def published(destination: str, pointer_file: str = bundle.POINTER_FILE,
              kind: type[Kind] = Pointer) -> Kind | None:      # type: ignore[assignment]
    """Return the pointer; None without one."""
    filesystem, root = _opened(destination)
    path = f"{root}/{pointer_file}"
    if filesystem.get_file_info(path).type != fs.FileType.File:
        return None
    with filesystem.open_input_stream(path) as stream:
        return msgspec.json.decode(stream.read(), type=kind)


def write_files(destination: str, contents: Mapping[str, bytes]) -> None:
    """Write files in their order: readers see the whole old content of each or the whole new one.

    Args:
        destination: a folder, made if absent, or an s3:// prefix.
        contents: by name.

    Raises:
        TrainingError: the destination cannot be written to.
    """
    filesystem, root = _opened(destination)
    try:
        filesystem.create_dir(root)
        for name, content in contents.items():
            _replace(filesystem, f"{root}/{name}", content)
    except (OSError, pa.ArrowException) as error:
        raise not_writable(Path(destination), error) from error


def _opened(destination: str) -> tuple[fs.FileSystem, str]:
    try:
        if "://" in destination:
            filesystem, root = fs.FileSystem.from_uri(destination)
            return filesystem, root.rstrip("/")
        return fs.LocalFileSystem(), str(Path(destination).absolute())
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{destination}: cannot be published to ({reason(error)}); set "
                            "FRAUD_MODEL to a folder or an s3:// prefix") from error


def _add(filesystem: fs.FileSystem, path: str, content: bytes) -> None:
    """Write a file unless it exists with this content: a server may be reading it."""
    if filesystem.get_file_info(path).type == fs.FileType.File:
        with filesystem.open_input_stream(path) as stream:
            if stream.read() == content:
                return
    _replace(filesystem, path, content)


def _replace(filesystem: fs.FileSystem, path: str, content: bytes) -> None:
    """Write a file so that a reader sees the whole old file or the whole new one."""
    is_local = isinstance(filesystem, fs.LocalFileSystem)
    written = path + PARTIAL if is_local else path     # an S3 object appears whole
    with filesystem.open_output_stream(written) as stream:
        stream.write(content)
    if is_local:
        filesystem.move(written, path)
