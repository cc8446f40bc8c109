"""Registered versions of the model in MLflow: lookup, registration, artifacts, tags."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from fraud import bundle
from fraud.training import files
from fraud.training.errors import TrainingError
from fraud.training.registry import reference, tracking
from fraud.training.registry.bundle_writer import NAME

CHAMPION, CHALLENGER = "champion", "challenger"          # aliases
GATE, PASSED, REFUSED = "gate", "passed", "refused"      # a tag of each version
GATE_USES = "gate_uses_"    # a tag of the model for each window, with the start of its digest
BUNDLE_DIGEST, POLICY_DIGEST = "bundle_sha256", "policy_sha256"     # tags of each version
BUNDLE, REFERENCE = "bundle", "reference"      # artifacts of a version's run
DESCRIPTION_CHARACTERS = 5_000      # MLflow's limit
SHORTENED = "\n\nThe rest is in `model-card.md` of the training run."
ABOUT = ("Scores payments as they are authorised: the calibrated probability of fraud. The version "
         "with the alias `champion` serves; `registry history` says who promoted it and why.")
NO_SUCH_ALIAS = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")    # MLflow's error codes


class Version(NamedTuple):
    """A registered version."""

    number: str
    run_id: str
    registered_at: int          # ms since the epoch
    tags: Mapping[str, str]

    @property
    def is_refused(self) -> bool:
        """The gate refused it."""
        return self.tags.get(GATE) == REFUSED


class Versions:
    """The versions of the model in one MLflow registry, which MLFLOW_TRACKING_URI names."""

    def __init__(self):
        self.client = tracking.connect()

    def versions(self) -> list[Version]:
        """Return all versions, newest first."""
        versions = map(_version, self.client.search_model_versions(f"name = '{NAME}'"))
        return sorted(versions, key=lambda version: -int(version.number))

    def version(self, number: str) -> Version:
        """Return a version by its number.

        Raises:
            TrainingError: there is no such version.
        """
        versions = {version.number: version for version in self.versions()}
        if number not in versions:
            raise TrainingError(f"version {number} is not registered; registered versions: "
                                f"{', '.join(versions) or 'none'}")
        return versions[number]

    def champion(self) -> Version | None:
        """Return the version that serves; None without one."""
        return self.with_alias(CHAMPION)

    def with_alias(self, alias: str) -> Version | None:
        """Return the version with an alias; None without one.

        Raises:
            TrainingError: MLflow does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            return _version(self.client.get_model_version_by_alias(NAME, alias))
        except MlflowException as error:
            if error.error_code in NO_SUCH_ALIAS:
                return None
            raise TrainingError(f"the MLflow registry does not answer ({files.reason(error)}); "
                                "check MLFLOW_TRACKING_URI") from error

    @contextmanager
    def registered(self, logged: tracking.Logged, tags: dict[str, str],
                   assemble: Callable[[str, Path], str]) -> Iterator[str]:
        """Register a logged candidate, with its bundle as an artifact of its run.

        Args:
            tags: lineage, kept on the version.
            assemble: writes the bundle of a version number into a directory, returns its digest.

        Gives the version's number. If this or the block fails, nothing stays registered.
        """
        self.create_model()
        number = str(self.client.create_model_version(
            NAME, logged.model_uri, run_id=logged.run_id, model_id=logged.model_id,
            tags=tags).version)
        try:
            with tempfile.TemporaryDirectory() as directory:
                digest = assemble(number, Path(directory))
                self.client.log_artifacts(logged.run_id, directory, BUNDLE)
                policy = bundle.sha256(Path(directory, bundle.POLICY_FILE).read_bytes())
            self.tag(number, {BUNDLE_DIGEST: digest, POLICY_DIGEST: policy})
            yield number
        except BaseException:
            self.client.delete_model_version(NAME, number)
            raise

    def export(self, number: str, directory: Path) -> None:
        """Copy the bundle of a version into a directory, which is made if absent.

        Raises:
            TrainingError: there is no such version, or its artifacts are missing or changed.
        """
        self._copy(number, BUNDLE, directory)
        tags = self.version(number).tags
        for file, tag in ((bundle.MANIFEST_FILE, BUNDLE_DIGEST),
                          (bundle.POLICY_FILE, POLICY_DIGEST)):
            digest = bundle.sha256((directory / file).read_bytes())
            registered = tags.get(tag, digest)     # old versions lack the tag
            if digest != registered:
                raise TrainingError(f"version {number}: sha256 of its {file} is {digest}, but "
                                    f"{registered} was registered; its artifacts were changed")

    def describe(self, number: str, model_card: str) -> None:
        """Make a model card the description of a version, and its limits that of the model."""
        _, _, limits = model_card.partition("## Limits")
        self.client.update_registered_model(NAME, f"{ABOUT}\n\n## Limits\n\n{limits.strip()}"
                                            if limits else ABOUT)
        self.client.update_model_version(NAME, number, _shortened(model_card))

    def keep_reference(self, number: str, file: Path) -> None:
        """Log the reference of a version, from `reference.write`, as an artifact of its run."""
        with tempfile.TemporaryDirectory() as directory:
            reference.of_version(file, number, Path(directory) / reference.FILE)
            self.client.log_artifacts(self.version(number).run_id, directory, REFERENCE)

    def copy_reference(self, number: str, directory: Path) -> None:
        """Copy the reference of a version into a directory, as `reference.FILE`.

        Raises:
            TrainingError: there is no such version, or it has no reference.
        """
        self._copy(number, REFERENCE, directory)

    def _copy(self, number: str, artifact: str, directory: Path) -> None:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        version = self.version(number)
        try:
            with tempfile.TemporaryDirectory() as copy:
                path = Path(download_artifacts(
                    run_id=version.run_id, artifact_path=artifact, dst_path=copy))
                directory.mkdir(parents=True, exist_ok=True)
                for file in path.iterdir():
                    (directory / file.name).write_bytes(file.read_bytes())
        except (MlflowException, OSError) as error:
            raise TrainingError(f"version {number}: its {artifact} cannot be copied to {directory} "
                                f"({files.reason(error)})") from error

    def count_gate_use(self, window: str) -> int:
        """Count a use of a test period by the gate; returns the uses so far.

        Repeated testing on one window overfits it.

        Args:
            window: digest of its payments.
        """
        self.create_model()
        tag = GATE_USES + window[:16]
        uses = int(self.client.get_registered_model(NAME).tags.get(tag, 0)) + 1
        self.client.set_registered_model_tag(NAME, tag, str(uses))
        return uses

    def create_model(self) -> None:
        """Create MLflow's model of this name unless it exists."""
        if not self.client.search_registered_models(f"name = '{NAME}'"):
            self.client.create_registered_model(NAME)

    def tag(self, number: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for name, value in tags.items():
            self.client.set_model_version_tag(NAME, number, name, value)


def _shortened(text: str) -> str:
    """Return a text without the lines that do not fit into a description."""
    if len(text) <= DESCRIPTION_CHARACTERS:
        return text
    kept = text[:DESCRIPTION_CHARACTERS - len(SHORTENED)]
    return kept[:kept.rindex("\n")] + SHORTENED


def number_of(version: Version | None) -> str:
    """Return the number of a version; "" for None."""
    return version.number if version else ""


def signature(prefix: str) -> dict[str, str]:
    """Return tags that record the present user and time: `<prefix>_by`, `<prefix>_at`."""
    return {f"{prefix}_by": user(),
            f"{prefix}_at": datetime.now(UTC).isoformat(timespec="seconds")}


def user() -> str:
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):      # a container's user without a name
        return f"uid {os.getuid()}"


def _version(entry) -> Version:
    return Version(str(entry.version), entry.run_id, entry.creation_timestamp, dict(entry.tags))
