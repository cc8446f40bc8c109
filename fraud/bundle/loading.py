"""Load a bundle, and refuse one whose files, digests or features do not match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
import onnxruntime

from fraud.bundle.manifest import (
    MANIFEST_FILE, POINTER_FILE, BundleError, Manifest, ModelManifest, Pointer, sha256)
from fraud.bundle.onnx_model import OnnxModel, open_session
from fraud.bundle.policy import POLICY_FILE, Policy
from fraud.errors import JSON_ERRORS
from fraud.features import FeatureTable
from fraud.published import PublishedFolder

Kind = TypeVar("Kind", Manifest, Policy)


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: two models, their features, their policy, and the digests of both files."""

    manifest: Manifest
    features: FeatureTable
    policy: Policy
    model: OnnxModel
    fallback: OnnxModel
    digest: str             # sha256 of bundle.json
    policy_digest: str      # sha256 of policy.json


def read_champion_file(location: str, name: str) -> bytes | None:
    """Return a file of the champion of a folder or s3:// prefix, or of a bundle; None without one.

    Raises:
        PublishedError: the location cannot be read.
    """
    folder = PublishedFolder(location)
    if pointer := folder.read(POINTER_FILE):
        name = f"{msgspec.json.decode(pointer, type=Pointer).folder}/{name}"
    return folder.read(name)


def load(directory: Path | str, expected_digest: str | None = None, threads: int = 1) -> Bundle:
    """Return the bundle in a directory.

    Args:
        directory: holds the four files.
        expected_digest: sha256 of bundle.json that a pointer promised, if there is one.
        threads: for one ONNX run; one is the fastest for single payments.

    Raises:
        BundleError: a file is missing, does not match its digest, or expects other features than
            this code computes.
    """
    directory = Path(directory)
    raw_manifest, raw_policy = _read(directory / MANIFEST_FILE), _read(directory / POLICY_FILE)
    digest = sha256(raw_manifest)
    if expected_digest not in (None, digest):
        raise BundleError(f"{directory / MANIFEST_FILE}: sha256 is {digest}, not the promised "
                          f"{expected_digest}; publish the bundle again")
    manifest = _decode(directory / MANIFEST_FILE, raw_manifest, Manifest)
    table = FeatureTable(manifest.types, manifest.left_out)
    return Bundle(
        manifest=manifest,
        features=table,
        policy=_decode(directory / POLICY_FILE, raw_policy, Policy),
        model=_model(directory, manifest.model, table, table.names, threads),
        fallback=_model(directory, manifest.fallback, table, table.fallback_names, threads),
        digest=digest,
        policy_digest=sha256(raw_policy),
    )


def model_files(location: str, raw_manifest: bytes) -> list[str]:
    """Return the names of the ONNX files that a bundle.json lists.

    Raises:
        BundleError: it is not a manifest, or lists a file outside the bundle.
    """
    manifest = _decode(Path(location) / MANIFEST_FILE, raw_manifest, Manifest)
    return [_inside(Path(location), model.file).name
            for model in (manifest.model, manifest.fallback)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); a bundle holds "
                          "bundle.json, policy.json and two ONNX files") from error


def _decode(path: Path, raw: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(raw, type=kind)
    except JSON_ERRORS as error:
        raise BundleError(f"{path}: {error}; train or export the bundle again") from error


def _model(directory: Path, manifest: ModelManifest, table: FeatureTable,
           names: tuple[str, ...], threads: int) -> OnnxModel:
    path = _inside(directory, manifest.file)
    content = _read(path)
    if sha256(content) != manifest.sha256:
        raise BundleError(f"{path}: sha256 is {sha256(content)}, but bundle.json says "
                          f"{manifest.sha256}; publish the bundle again")
    _check_features(path, manifest, names, table.types)
    return OnnxModel(_session(path, content, len(names), threads), manifest, table)


def _session(path: Path, content: bytes, width: int,
             threads: int) -> onnxruntime.InferenceSession:
    try:
        session = open_session(content, threads)
    except Exception as error:      # the exceptions of onnxruntime have no common base class
        raise BundleError(f"{path}: ONNX Runtime cannot load it ({error}); "
                          "train or export the bundle again") from error
    columns = session.get_inputs()[0].shape[1]
    if columns != width:
        raise BundleError(f"{path}: takes {columns} columns, bundle.json names {width}; "
                          "train or export the bundle again")
    return session


def _inside(directory: Path, file: str) -> Path:
    if Path(file).name != file:
        raise BundleError(f"{directory / MANIFEST_FILE}: names the file {file!r}, which is not "
                          "in the same directory; publish the bundle again")
    return directory / file


def _check_features(path: Path, manifest: ModelManifest, names: tuple[str, ...],
                    types: tuple[str, ...]) -> None:
    for index, (actual, computed) in enumerate(zip(manifest.features, names, strict=False)):
        if actual != computed:
            raise BundleError(f"{path}: feature {index} is {actual!r}, this code computes "
                              f"{computed!r} there; use the code the model was trained with")
    if len(manifest.features) != len(names):
        raise BundleError(f"{path}: has {len(manifest.features)} features, this code computes "
                          f"{len(names)}; use the code the model was trained with")
    tables = {"": manifest.medians} | {f" for {kind}": manifest.medians_by_type.get(kind, {})
                                       for kind in types}
    for of_type, medians in tables.items():
        missing = [name for name in names if name not in medians]
        if missing:
            raise BundleError(f"{path}: bundle.json has no median of {missing[0]!r}{of_type}; "
                              "train or export the bundle again")
