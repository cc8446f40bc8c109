"""Change of a version's thresholds without retraining."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fraud import bundle
from fraud.bundle import BundleError
from fraud.training import files
from fraud.training.errors import TrainingError
from fraud.training.registry import publication
from fraud.training.registry.bundle_writer import NAME
from fraud.training.registry.versions import BUNDLE, POLICY_DIGEST, Versions, number_of, signature


def change_policy(versions: Versions, number: str, policy: Path, reason: str) -> None:
    """Give a version other thresholds, and publish them if it is the champion.

    Args:
        policy: a policy.json with a new version.

    Raises:
        TrainingError: there is no such version, the policy cannot be read or is invalid, its
            version was used before, or it cannot be published; the old policy stays.
    """
    used = versions.version(number).tags.get("policy_versions", "").split()
    with tempfile.TemporaryDirectory() as name:
        before, after = Path(name, "before"), Path(name, "after")
        versions.export(number, before)
        shutil.copytree(before, after)
        old_version = bundle.load(before).policy.version
        new_version = _replace_policy(policy, after)
        if new_version in (old_version, *used):
            raise TrainingError(f"{policy}: its version {new_version} was used before; give it a "
                                "new one")
        _keep(versions, number, after)
        try:
            if number == number_of(versions.champion()):
                publication.publish(after, NAME, publication.target())
        except BaseException:
            _keep(versions, number, before)
            raise
    versions.tag(number, {"policy_version": new_version, "policy_reason": reason,
                          "policy_versions": " ".join((*used, old_version)),
                          **signature("policy")})


def _replace_policy(policy: Path, directory: Path) -> str:
    """Put a policy into a bundle; returns its version."""
    try:
        shutil.copyfile(policy, directory / bundle.POLICY_FILE)
    except OSError as error:
        raise TrainingError(f"{policy}: cannot be read ({files.reason(error)}); name a "
                            "policy.json") from error
    try:
        return bundle.load(directory).policy.version
    except BundleError as error:
        message = str(error).replace(str(directory / bundle.POLICY_FILE), str(policy))
        raise TrainingError(message) from error


def _keep(versions: Versions, number: str, directory: Path) -> None:
    """Log a policy as an artifact of the version's run, with its digest as a tag."""
    policy = directory / bundle.POLICY_FILE
    versions.client.log_artifact(versions.version(number).run_id, policy, BUNDLE)
    versions.tag(number, {POLICY_DIGEST: bundle.sha256(policy.read_bytes())})
