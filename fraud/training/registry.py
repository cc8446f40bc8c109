"""The models that were registered: which one is champion, where each came from, and who said so.

    python -m fraud.training.registry list
    python -m fraud.training.registry show 3
    python -m fraud.training.registry export bundle --version 3
    python -m fraud.training.registry reference monitored --version 3
    python -m fraud.training.registry promote 3 --reason "fewer false alarms in the pilot"
    python -m fraud.training.registry rollback --reason "alarms tripled since noon"

A version that the gate refused is promoted with --force only.

MLFLOW_TRACKING_URI names the MLflow server or file (default sqlite:///mlflow.db), FRAUD_MODEL the
folder or s3:// prefix from which serving takes its model (default models).
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fraud import bundle
from fraud.training import data_version, files, publication, reference, tracking
from fraud.training.assembly import NAME
from fraud.training.errors import TrainingError

CHAMPION, CHALLENGER = "champion", "challenger"
GATE, PASSED, REFUSED = "gate", "passed", "refused"      # a tag of each version
GATE_USES = "gate_uses_"    # a tag of the model for each window, with the start of its digest
BUNDLE, REFERENCE = "bundle", "reference"      # the artifacts of a version's run
NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")    # MLflow's words for no alias


def champion():
    """MLflow's version that stands as champion; None where none does."""
    return _with_alias(CHAMPION)


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
        client.set_model_version_tag(NAME, number, "bundle_sha256", digest)
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
        tracking.connect().log_artifacts(_version(version).run_id, directory, REFERENCE)


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
    before, found = _number(champion()), _version(version)
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
    _crown(_version(previous), reason, {})
    return previous


def export(version: str, directory: Path) -> None:
    """Copy the bundle of a version into a directory, which is made if absent.

    Raises:
        TrainingError: there is no such version, or its artifacts are gone.
    """
    _copy(version, BUNDLE, directory)


def copy_reference(version: str, directory: Path) -> None:
    """Copy what a version saw in validation into a directory, as `reference.FILE`.

    Raises:
        TrainingError: there is no such version, or it kept none.
    """
    _copy(version, REFERENCE, directory)


def _copy(version: str, artifact: str, directory: Path) -> None:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    found = _version(version)
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
    for name, value in {**tags, "promoted_by": _user(), "promotion_reason": reason,
                        "promoted_at": datetime.now(UTC).isoformat(timespec="seconds")}.items():
        client.set_model_version_tag(NAME, number, name, value)
    if _number(_with_alias(CHALLENGER)) == number:
        client.delete_registered_model_alias(NAME, CHALLENGER)


def _restore(client, before) -> None:
    if before is None:
        client.delete_registered_model_alias(NAME, CHAMPION)
    else:
        client.set_registered_model_alias(NAME, CHAMPION, before.version)


def _with_alias(alias: str):
    from mlflow.exceptions import MlflowException

    try:
        return tracking.connect().get_model_version_by_alias(NAME, alias)
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise TrainingError(f"the MLflow registry does not answer ({files.reason(error)}); "
                            "check MLFLOW_TRACKING_URI") from None


def _version(number: str):
    found = next((version for version in versions() if str(version.version) == str(number)), None)
    if found is None:
        has = ", ".join(str(version.version) for version in versions()) or "none"
        raise TrainingError(f"version {number} is not registered; there are: {has}")
    return found


def _number(version) -> str:
    return str(version.version) if version else ""


def _make_name(client) -> None:
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)


def _user() -> str:
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (KeyError, OSError):      # a container's user without a name
        return f"uid {os.getuid()}"


def _list() -> str:
    aliases = {_number(_with_alias(alias)): alias for alias in (CHALLENGER, CHAMPION)}
    lines = [f"{'version':>7}  {'alias':<10}  {'framework':<10}  {'test F1':>7}  {'AUPRC':>6}  "
             f"{'registered':<16}  why"]
    for version in versions():
        tags = version.tags
        lines.append(
            f"{version.version:>7}  {aliases.get(_number(version), ''):<10}  "
            f"{tags['framework']:<10}  {float(tags['test_f1']):>7.4f}  "
            f"{float(tags['test_auprc']):>6.4f}  {_moment(version.creation_timestamp):<16}  "
            f"{tags.get('promotion_reason', tags['verdict'])}")
    return "\n".join(lines) if len(lines) > 1 else "no version is registered yet"


def _show(number: str) -> str:
    version = _version(number)
    facts = {"version": number, "mlflow_run": version.run_id,
             "registered": _moment(version.creation_timestamp),
             **dict(sorted(version.tags.items()))}
    width = max(map(len, facts))
    told = "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())
    return f"{told}\n\nTo see it again:\n{data_version.again(version.tags)}"


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).strftime("%Y-%m-%d %H:%M")


def _serving() -> str:
    pointer = publication.published(publication.target())
    names, stands = pointer.version if pointer else "nothing", _number(champion()) or "none"
    line = f"{publication.target()} serves {names}"
    if pointer and names != stands:
        line += f", but the champion is {stands}: promote one of them again"
    return line


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fraud.training.registry", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every version, newest first, and what is being served")
    show = commands.add_parser("show", help="where a version comes from: data, code, runs, metrics")
    show.add_argument("version", help="its number, as list shows it")
    copy = commands.add_parser("export", help="copy a bundle into a directory, ready to serve")
    seen = commands.add_parser("reference", help="copy what a version saw in validation, for "
                                                 "monitoring, into a directory")
    for command in (copy, seen):
        command.add_argument("directory", type=Path, help="made if absent")
        command.add_argument("--version", help="(default: the champion)")
    crown = commands.add_parser("promote", help="make a version the champion and publish it")
    crown.add_argument("version", help="its number, as list shows it")
    crown.add_argument("--force", action="store_true", help="though the gate has refused it")
    back = commands.add_parser("rollback", help="restore the champion before the present one")
    for command in (crown, back):
        command.add_argument("--reason", required=True, help="kept with the version")
    try:
        print(_run(parser.parse_args(arguments)))
    except (TrainingError, bundle.BundleError) as error:
        sys.exit(f"error: {error}")


def _run(options: argparse.Namespace) -> str:
    match options.command:
        case "list":
            return f"{_list()}\n{_serving()}"
        case "show":
            return _show(options.version)
        case "export" | "reference":
            version = options.version or _number(champion())
            if not version:
                raise TrainingError("there is no champion yet; train one, or name a --version")
            if options.command == "export":
                export(version, options.directory)
                return f"version {version} is in {options.directory}"
            copy_reference(version, options.directory)
            return f"the reference of version {version} is {options.directory / reference.FILE}"
        case "promote":
            promote(options.version, options.reason, options.force)
        case "rollback":
            rollback(options.reason)
    return _serving()


if __name__ == "__main__":
    main()
