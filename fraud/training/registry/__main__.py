"""The models that were registered: which one is champion, where each came from, and who said so.

    python -m fraud.training.registry list
    python -m fraud.training.registry show 3
    python -m fraud.training.registry export bundle --version 3
    python -m fraud.training.registry reference monitored --version 3
    python -m fraud.training.registry policy changed/policy.json --reason "fewer reviews on Sundays"
    python -m fraud.training.registry promote 3 --reason "fewer false alarms in the pilot"
    python -m fraud.training.registry rollback --reason "alarms tripled since noon"

A version that the gate refused is promoted with --force only.

MLFLOW_TRACKING_URI names the MLflow server or file (default sqlite:///mlflow.db), FRAUD_MODEL the
folder or s3:// prefix from which serving takes its model (default models).
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from fraud import bundle
from fraud.training import data_version, publication, reference, registry
from fraud.training.errors import TrainingError
from fraud.training.registry import CHALLENGER, CHAMPION, number_of, version_of, with_alias


def _list() -> str:
    aliases = {number_of(with_alias(alias)): alias for alias in (CHALLENGER, CHAMPION)}
    lines = [f"{'version':>7}  {'alias':<10}  {'framework':<10}  {'test F1':>7}  {'AUPRC':>6}  "
             f"{'registered':<16}  why"]
    for version in registry.versions():
        tags = version.tags
        lines.append(
            f"{version.version:>7}  {aliases.get(number_of(version), ''):<10}  "
            f"{tags['framework']:<10}  {float(tags['test_f1']):>7.4f}  "
            f"{float(tags['test_auprc']):>6.4f}  {_moment(version.creation_timestamp):<16}  "
            f"{tags.get('promotion_reason', tags['verdict'])}")
    return "\n".join(lines) if len(lines) > 1 else "no version is registered yet"


def _show(number: str) -> str:
    version = version_of(number)
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
    names = pointer.version if pointer else "nothing"
    stands = number_of(registry.champion()) or "none"
    line = f"{publication.target()} serves {names}"
    if pointer and names != stands:
        line += f", but the champion is {stands}: promote one of them again"
    elif pointer and pointer.policy_sha256 != version_of(stands).tags.get(
            registry.POLICY, pointer.policy_sha256):
        line += ", but with another policy than the registry has: promote it again"
    return line


def main(arguments: list[str] | None = None) -> None:
    try:
        print(_run(_parser().parse_args(arguments)))
    except (TrainingError, bundle.BundleError) as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fraud.training.registry", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every version, newest first, and what is being served")
    show = commands.add_parser("show", help="where a version comes from: data, code, runs, metrics")
    copy = commands.add_parser("export", help="copy a bundle into a directory, ready to serve")
    seen = commands.add_parser("reference", help="copy what a version saw in validation, for "
                                                 "monitoring, into a directory")
    other = commands.add_parser("policy", help="give a version other thresholds, and publish "
                                               "them if it is the champion")
    crown = commands.add_parser("promote", help="make a version the champion and publish it")
    back = commands.add_parser("rollback", help="restore the champion before the present one")
    for command in (copy, seen):
        command.add_argument("directory", type=Path, help="made if absent")
    other.add_argument("policy", type=Path, help="a policy.json whose version is new")
    for command in (show, crown):
        command.add_argument("version", help="its number, as list shows it")
    for command in (copy, seen, other):
        command.add_argument("--version", help="(default: the champion)")
    crown.add_argument("--force", action="store_true", help="though the gate has refused it")
    for command in (other, crown, back):
        command.add_argument("--reason", required=True, help="kept with the version")
    return parser


def _run(options: argparse.Namespace) -> str:
    match options.command:
        case "list":
            return f"{_list()}\n{_serving()}"
        case "show":
            return _show(options.version)
        case "export":
            registry.export(version := _chosen(options), options.directory)
            return f"version {version} is in {options.directory}"
        case "reference":
            registry.copy_reference(version := _chosen(options), options.directory)
            return f"the reference of version {version} is {options.directory / reference.FILE}"
        case "policy":
            registry.change_policy(_chosen(options), options.policy, options.reason)
        case "promote":
            registry.promote(options.version, options.reason, options.force)
        case "rollback":
            registry.rollback(options.reason)
    return _serving()


def _chosen(options: argparse.Namespace) -> str:
    version = options.version or number_of(registry.champion())
    if not version:
        raise TrainingError("there is no champion yet; train one, or name a --version")
    return version


if __name__ == "__main__":
    main()
