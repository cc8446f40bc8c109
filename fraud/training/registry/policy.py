"""Change of a version's thresholds without retraining, and its trial on logged decisions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from fraud import bundle
from fraud.bundle import Bundle, BundleError, Policy
from fraud.training import files
from fraud.training.errors import TrainingError
from fraud.training.registry import policy_backtest, publication
from fraud.training.registry.bundle_writer import NAME
from fraud.training.registry.policy_backtest import PolicyChange
from fraud.training.registry.versions import BUNDLE, POLICY_DIGEST, Versions, number_of, signature


def change_policy(versions: Versions, number: str, changed: Path | PolicyChange, reason: str,
                  logs: Sequence[str] = ()) -> tuple[str, str]:
    """Give a version other thresholds, and publish them if it is the champion.

    Args:
        changed: a policy.json with a new version, or other thresholds of the model.
        logs: decision logs, on which an alert budget finds its threshold.

    Returns:
        the versions of the policy before and of the new one.

    Raises:
        TrainingError: there is no such version, the policy cannot be read or is invalid, its
            version was used before, or it cannot be published; the old policy stays.
    """
    used = _used_versions(versions, number)
    with tempfile.TemporaryDirectory() as name:
        before, after = Path(name, "before"), Path(name, "after")
        versions.export(number, before)
        shutil.copytree(before, after)
        current = bundle.load(before)
        policy = _changed(current, number, changed, used, logs, after)
        if policy.version in (current.policy.version, *used):
            raise TrainingError(f"{changed}: its version {policy.version} was used before; give it "
                                "a new one")
        _keep(versions, number, after)
        try:
            if number == number_of(versions.champion()):
                publication.publish(after, NAME, publication.target())
        except BaseException:
            _keep(versions, number, before)
            raise
    versions.tag(number, {"policy_version": policy.version, "policy_reason": reason,
                          "policy_versions": " ".join((*used, current.policy.version)),
                          **signature("policy")})
    return current.policy.version, policy.version


def try_policy(versions: Versions, number: str, changed: Path | PolicyChange, logs: Sequence[str],
               labels: Path | None) -> str:
    """Report the effect of other thresholds on the decisions of a version; nothing changes.

    Raises:
        TrainingError: see `change_policy` and `policy_backtest.read_scores`.
    """
    with tempfile.TemporaryDirectory() as name:
        versions.export(number, Path(name))
        current = bundle.load(Path(name))
        scores = policy_backtest.read_scores(logs, labels, current.digest)
        if isinstance(changed, Path):
            policy = _replace_policy(changed, Path(name))
        else:
            policy = policy_backtest.changed_policy(current.policy, changed, "tried", scores)
    return policy_backtest.report(current.policy, policy, scores)


def _changed(current: Bundle, number: str, changed: Path | PolicyChange, used: Sequence[str],
             logs: Sequence[str], directory: Path) -> Policy:
    """Put the changed policy into a copy of the bundle."""
    if isinstance(changed, Path):
        return _replace_policy(changed, directory)
    scores = policy_backtest.read_scores(logs, None, current.digest) if logs else None
    taken, count = {current.policy.version, *used}, len(used) + 2
    while f"{number}.{count}" in taken:
        count += 1
    policy = policy_backtest.changed_policy(current.policy, changed, f"{number}.{count}", scores)
    (directory / bundle.POLICY_FILE).write_bytes(
        msgspec.json.format(msgspec.json.encode(policy), indent=2))
    return policy


def _used_versions(versions: Versions, number: str) -> list[str]:
    """Return the versions of earlier policies."""
    return versions.version(number).tags.get("policy_versions", "").split()


def _replace_policy(policy: Path, directory: Path) -> Policy:
    """Put a policy file into a bundle."""
    try:
        shutil.copyfile(policy, directory / bundle.POLICY_FILE)
    except OSError as error:
        raise TrainingError(f"{policy}: cannot be read ({files.reason(error)}); name a "
                            "policy.json") from error
    try:
        return bundle.load(directory).policy
    except BundleError as error:
        message = str(error).replace(str(directory / bundle.POLICY_FILE), str(policy))
        raise TrainingError(message) from error


def _keep(versions: Versions, number: str, directory: Path) -> None:
    """Log a policy as an artifact of the version's run, with its digest as a tag."""
    policy = directory / bundle.POLICY_FILE
    versions.client.log_artifact(versions.version(number).run_id, policy, BUNDLE)
    versions.tag(number, {POLICY_DIGEST: bundle.sha256(policy.read_bytes())})
