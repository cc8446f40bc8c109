"""The models that were registered: which one is champion, where each came from, and who said so.

MLFLOW_TRACKING_URI names the MLflow server or file (default sqlite:///mlflow.db), FRAUD_MODEL the
folder or s3:// prefix from which serving takes its model (default models). The command is
`python -m fraud.training.registry`.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fraud import bundle
from fraud.training import files, publication, reference, tracking
from fraud.training.assembly import NAME
from fraud.training.errors import TrainingError

CHAMPION, CHALLENGER = "champion", "challenger"
GATE, PASSED, REFUSED = "gate", "passed", "refused"      # a tag of each version
GATE_USES = "gate_uses_"    # a tag of the model for each window, with the start of its digest
POLICY = "policy_sha256"    # a tag of each version
BUNDLE, REFERENCE = "bundle", "reference"      # the artifacts of a version's run
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")    # MLflow's words for no alias


def champion():
    """MLflow's version that stands as champion; None where none does."""
    return with_alias(CHAMPION)


@contextmanager
def registered(logged: tracking.Logged, tags: dict[str, str],
               assemble: Callable[[str, Path], str]) -> Iterator[str]:
    """Make a version of a logged candidate, with its bundle as an artifact of its run.

    Args:
        tags: lineage, kept on the version.
        assemble: writes the bundle of a version number into a directory, returns its digest.

    Gives the version's number. Where it or its block fails, nothing stays registered.
    """
    client = tracking.connect()
    _make_name(client)
    number = str(client.create_model_version(
        NAME, logged.model_uri, run_id=logged.run_id, model_id=logged.model_id, tags=tags).version)
    try:
        with tempfile.TemporaryDirectory() as directory:
            digest = assemble(number, Path(directory))
            client.log_artifacts(logged.run_id, directory, BUNDLE)
            policy = bundle.sha256(Path(directory, bundle.POLICY_FILE).read_bytes())
        for tag, value in (("bundle_sha256", digest), (POLICY, policy)):
            client.set_model_version_tag(NAME, number, tag, value)
        yield number
    except BaseException:
        client.delete_model_version(NAME, number)
        raise


def keep_reference(version: str, validated: Path) -> None:
    """Log what a version saw in validation as an artifact of its run.

    Args:
        validated: what `reference.write` wrote.
    """
    with tempfile.TemporaryDirectory() as directory:
        reference.of_version(validated, version, Path(directory) / reference.FILE)
        tracking.connect().log_artifacts(version_of(version).run_id, directory, REFERENCE)


def name_challenger(version: str) -> None:
    """Mark a version as the one that was refused last: it may be promoted by hand."""
    tracking.connect().set_registered_model_alias(NAME, CHALLENGER, version)


def promote(version: str, reason: str, force: bool = False) -> None:
    """Make a version the champion: publish its bundle, record who, when and why.

    Args:
        force: also one that the gate has refused; that is recorded too.

    Raises:
        TrainingError: there is no such version, the gate refused it, or it cannot be published;
            the champion stays.
    """
    before, found = number_of(champion()), version_of(version)
    refused = found.tags.get(GATE) == REFUSED
    if refused and not force:
        raise TrainingError(f"version {version} was refused by the gate ({found.tags['verdict']}); "
                            "promote it with --force if you know better")
    _crown(found, reason, ({} if before == str(version) else {"previous_champion": before})
           | ({"promotion_forced": "yes"} if refused else {}))


def rollback(reason: str) -> str:
    """Restore the champion before the present one; returns its version.

    Raises:
        TrainingError: there is none.
    """
    present = champion()
    previous = present.tags.get("previous_champion", "") if present else ""
    if not previous:
        raise TrainingError("no earlier champion to roll back to; promote a version by its number")
    _crown(version_of(previous), reason, {})
    return previous


def export(version: str, directory: Path) -> None:
    """Copy the bundle of a version into a directory, which is made if absent.

    Raises:
        TrainingError: there is no such version, or its artifacts are gone, or not what was
            registered.
    """
    _copy(version, BUNDLE, directory)
    tags = version_of(version).tags
    for file, tag in ((bundle.MANIFEST_FILE, "bundle_sha256"), (bundle.POLICY_FILE, POLICY)):
        found = bundle.sha256((directory / file).read_bytes())
        promised = tags.get(tag, found)     # versions from before the tag promise nothing
        if found != promised:
            raise TrainingError(f"version {version}: sha256 of its {file} is {found}, but "
                                f"{promised} was registered; its artifacts were changed")


def change_policy(version: str, policy: Path, reason: str) -> None:
    """Give a version other thresholds, without retraining; publish them if it is the champion.

    Args:
        policy: a policy.json with a version of its own.

    Raises:
        TrainingError: there is no such version, the policy cannot be read, its version was used
            before, or it cannot be published; the policy of before stays.
        BundleError: it is no policy.
    """
    used = version_of(version).tags.get("policy_versions", "").split()
    with tempfile.TemporaryDirectory() as name:
        before, after = Path(name, "before"), Path(name, "after")
        export(version, before)
        shutil.copytree(before, after)
        try:
            shutil.copyfile(policy, after / bundle.POLICY_FILE)
        except OSError as error:
            raise TrainingError(f"{policy}: cannot be read ({files.reason(error)})") from None
        was, now = (bundle.load(directory).policy.version for directory in (before, after))
        if now in (was, *used):
            raise TrainingError(f"{policy}: its version is {now}, that of a policy before; "
                                "give it one of its own")
        _keep_policy(version, after)
        try:
            if version == number_of(champion()):
                publication.publish(after, NAME, publication.target())
        except BaseException:
            _keep_policy(version, before)
            raise
    for tag, value in {"version": now, "reason": reason, "versions": " ".join((*used, was)),
                       **_signed()}.items():
        tracking.connect().set_model_version_tag(NAME, version, f"policy_{tag}", value)


def _keep_policy(version: str, directory: Path) -> None:
    run = version_of(version).run_id
    client, policy = tracking.connect(), directory / bundle.POLICY_FILE
    client.log_artifact(run, policy, BUNDLE)
    client.set_model_version_tag(NAME, version, POLICY, bundle.sha256(policy.read_bytes()))


def _signed() -> dict[str, str]:
    return {"by": _user(), "at": datetime.now(UTC).isoformat(timespec="seconds")}


def copy_reference(version: str, directory: Path) -> None:
    """Copy what a version saw in validation into a directory, as `reference.FILE`.

    Raises:
        TrainingError: there is no such version, or it kept none.
    """
    _copy(version, REFERENCE, directory)


def _copy(version: str, artifact: str, directory: Path) -> None:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    found = version_of(version)
    try:
        with tempfile.TemporaryDirectory() as copy:
            path = Path(download_artifacts(
                run_id=found.run_id, artifact_path=artifact, dst_path=copy))
            directory.mkdir(parents=True, exist_ok=True)
            for file in path.iterdir():
                (directory / file.name).write_bytes(file.read_bytes())
    except (MlflowException, OSError) as error:
        raise TrainingError(f"version {version}: its {artifact} cannot be copied to {directory} "
                            f"({files.reason(error)})") from None


def count_gate(window: str) -> int:
    """Count that a window was used to judge a candidate; returns how often it has been, by now.

    Who looks often enough at one window finds a candidate that it happens to like.

    Args:
        window: digest of its payments.
    """
    client = tracking.connect()
    _make_name(client)
    tag = GATE_USES + window[:16]
    uses = int(client.get_registered_model(NAME).tags.get(tag, 0)) + 1
    client.set_registered_model_tag(NAME, tag, str(uses))
    return uses


def versions() -> list:
    """MLflow's versions of the model, newest first."""
    found = tracking.connect().search_model_versions(f"name = '{NAME}'")
    return sorted(found, key=lambda version: -int(version.version))


def _crown(version, reason: str, tags: dict[str, str]) -> None:
    """Publish, then name champion: whichever fails, registry and pointer agree on the old one."""
    number, before = str(version.version), champion()
    client = tracking.connect()
    with tempfile.TemporaryDirectory() as directory:
        export(number, Path(directory))
        client.set_registered_model_alias(NAME, CHAMPION, number)
        try:
            publication.publish(Path(directory), NAME, publication.target())
        except BaseException:
            _restore(client, before)
            raise
    signed = {f"promoted_{name}": value for name, value in _signed().items()}
    for name, value in {**tags, **signed, "promotion_reason": reason}.items():
        client.set_model_version_tag(NAME, number, name, value)
    if number_of(with_alias(CHALLENGER)) == number:
        client.delete_registered_model_alias(NAME, CHALLENGER)


def _restore(client, before) -> None:
    if before is None:
        client.delete_registered_model_alias(NAME, CHAMPION)
    else:
        client.set_registered_model_alias(NAME, CHAMPION, before.version)


def with_alias(alias: str):
    """MLflow's version of an alias; None where no version has it.

    Raises:
        TrainingError: MLflow does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        return tracking.connect().get_model_version_by_alias(NAME, alias)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise TrainingError(f"the MLflow registry does not answer ({files.reason(error)}); "
                            "check MLFLOW_TRACKING_URI") from None


def version_of(number: str):
    """MLflow's version of a number.

    Raises:
        TrainingError: there is none.
    """
    found = next((version for version in versions() if str(version.version) == str(number)), None)
    if found is None:
        has = ", ".join(str(version.version) for version in versions()) or "none"
        raise TrainingError(f"version {number} is not registered; there are: {has}")
    return found


def number_of(version) -> str:
    """The number of a version; "" of none."""
    return str(version.version) if version else ""


def _make_name(client) -> None:
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)


def _user() -> str:
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):      # a container's user without a name
        return f"uid {os.getuid()}"
