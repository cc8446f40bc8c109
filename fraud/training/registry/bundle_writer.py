"""Writer of bundles: from a trained candidate to the directory that serves, see `fraud.bundle`."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from fraud import bundle
from fraud.training.models.candidate import Candidate
from fraud.training.registry.lineage import Lineage

NAME = "fraud-detector"


def write(candidate: Candidate, lineage: Lineage, directory: Path) -> str:
    """Write a candidate as a bundle, with the first policy of its version.

    Returns:
        the digest of the bundle: sha256 of bundle.json, hexadecimal.
    """
    directory.mkdir(parents=True, exist_ok=True)
    variants = {"model": candidate.model, "fallback": candidate.fallback}
    for variant in variants.values():
        shutil.copyfile(variant.onnx, directory / variant.manifest.file)
    manifest = bundle.Manifest(
        name=NAME, version=lineage.version, framework=candidate.framework,
        types=candidate.types, left_out=candidate.left_out,
        data_digest=lineage.data_digest, git_commit=lineage.git_commit,
        metaflow_run=lineage.metaflow_run, mlflow_run=lineage.mlflow_run,
        trained_at=lineage.trained_at, tuned_until=lineage.tuned_until,
        data_file=lineage.data_file, data_md5=lineage.data_md5,
        time_base=lineage.time_base, mapping_digest=lineage.mapping_digest,
        **{name: variant.manifest for name, variant in variants.items()})
    policy = bundle.Policy(
        version=f"{lineage.version}.1", alerts_per_day=candidate.alerts_per_day,
        **{name: variant.thresholds for name, variant in variants.items()})
    (directory / bundle.POLICY_FILE).write_bytes(_json(policy))
    (directory / bundle.MANIFEST_FILE).write_bytes(_json(manifest))
    return bundle.sha256(_json(manifest))


def _json(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)
