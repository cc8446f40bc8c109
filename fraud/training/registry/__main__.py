"""Inspect, promote and roll back the registered versions of the model.

    python -m fraud.training.registry list
    python -m fraud.training.registry show 3
    python -m fraud.training.registry compare 2 3
    python -m fraud.training.registry history
    python -m fraud.training.registry export --out bundle --version 3
    python -m fraud.training.registry reference --out monitored --version 3
    python -m fraud.training.registry policy --alerts-per-day 100 --dry-run --decisions log.jsonl
    python -m fraud.training.registry policy --review 500 --decline 0.4 --reason "fewer reviews"
    python -m fraud.training.registry policy --policy changed/policy.json --reason "fewer reviews"
    python -m fraud.training.registry rules --rules rules.toml --dry-run --decisions decisions.jsonl
    python -m fraud.training.registry rules --rules rules.toml --reason "gift card wave"
    python -m fraud.training.registry challenge 4 --reason "more transfers in its training data"
    python -m fraud.training.registry challenge --end
    python -m fraud.training.registry promote 3 --reason "fewer false alarms in the pilot"
    python -m fraud.training.registry promote 4 --share 10 --reason "passed in shadow" \\
        --evidence shadow/report.json
    python -m fraud.training.registry rollback --reason "alarms tripled since noon"

A version that the gate refused is promoted only with --evidence, a report of monitoring.shadow on
which it passes, or with --force. With --share it decides for a share of the accounts; rollback ends
that. Without a file, `rules` shows those
in force; --rules and --lists each replace their part. Formats: docs/rules.md.

MLFLOW_TRACKING_URI names the MLflow server or file (default sqlite:///mlflow.db), FRAUD_MODEL the
folder or s3:// prefix from which serving takes its model (default models).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from fraud import change_history, clock
from fraud.bundle import ReviewBy
from fraud.command_line import Arguments, command, parser
from fraud.rules.rule_set import summary
from fraud.training.errors import TrainingError
from fraud.training.registry import (
    Registry, backtest, canary, data_version, publication, reference, rule_files,
    version_comparison)
from fraud.training.registry.policy_backtest import PolicyChange
from fraud.training.registry.versions import CHALLENGER, CHAMPION, POLICY_DIGEST, number_of, user


def _list(registry: Registry) -> str:
    aliases = {number_of(registry.with_alias(alias)): alias for alias in (CHALLENGER, CHAMPION)}
    lines = [f"{'version':>7}  {'alias':<10}  {'framework':<10}  {'test F1':>7}  {'AUPRC':>6}  "
             f"{'registered':<20}  reason"]
    for version in registry.versions():
        tags = version.tags
        lines.append(
            f"{version.number:>7}  {aliases.get(version.number, ''):<10}  "
            f"{tags['framework']:<10}  {float(tags['test_f1']):>7.4f}  "
            f"{float(tags['test_auprc']):>6.4f}  {clock.utc_minute(version.registered_at):<20}  "
            f"{tags.get('promotion_reason', tags['gate_reason'])}")
    return "\n".join(lines) if len(lines) > 1 else "no version is registered yet: make train"


def _show(registry: Registry, number: str) -> str:
    version = registry.version(number)
    facts = {"version": number, "mlflow_run": version.run_id,
             "registered": clock.utc_minute(version.registered_at),
             **dict(sorted(version.tags.items()))}
    width = max(map(len, facts))
    lines = "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())
    return f"{lines}\n\nTo see it again:\n{data_version.again(version.tags)}"


def _serving(registry: Registry) -> str:
    pointer = publication.published(publication.target())
    champion = registry.champion()
    line = f"{publication.target()} serves {pointer.version if pointer else 'nothing'}"
    if pointer and pointer.version != number_of(champion):
        line += f", but the champion is {number_of(champion) or 'none'}: promote one of them again"
    elif pointer and champion and pointer.policy_sha256 != champion.tags.get(
            POLICY_DIGEST, pointer.policy_sha256):
        line += ", but with another policy than the registry has: promote it again"
    running = canary.running()
    return f"{line}, and {running.version} for {running.share:g} % of the accounts" if (
        running) else line


def _parser() -> argparse.ArgumentParser:
    root = parser("python -m fraud.training.registry", __doc__)
    commands = root.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list all versions, newest first, and the one that serves")
    show = commands.add_parser("show", help="show the lineage of a version: data, code, runs")
    compare = commands.add_parser("compare", help="show two versions side by side: test, "
                                                  "thresholds, features, settings, data")
    compare.add_argument("version", help="a number, as list shows it")
    compare.add_argument("other", help="the other one")
    commands.add_parser("history", help="list the changes of champion, challenger, policies and "
                                        "rules: by whom, when and why")
    export = commands.add_parser("export", help="copy a bundle into a directory, ready to serve")
    copy = commands.add_parser("reference", help="copy the reference of a version for monitoring")
    policy = commands.add_parser("policy", help="give a version other thresholds, and publish "
                                                "them if it is the champion")
    rules = commands.add_parser("rules", help="publish rules and lists of accounts, try them on "
                                              "logged decisions, or show those in force")
    promote = commands.add_parser("promote", help="make a version the champion, at once "
                                                  "or for a share of the accounts first")
    challenge = commands.add_parser("challenge", help="let a version score in shadow: on live "
                                                      "payments, without a say in the answers")
    rollback = commands.add_parser("rollback", help="end the canary, or restore the previous "
                                                    "champion")
    for command_ in (export, copy):
        command_.add_argument("--out", type=Path, required=True, metavar="DIRECTORY",
                              help="made if absent")
    policy.add_argument("--policy", type=Path, metavar="FILE",
                        help="a policy.json with a new version; or thresholds of the model:")
    policy.add_argument("--review", type=float, metavar="RANK",
                        help="score, or score times amount, from which payments are reviewed")
    policy.add_argument("--review-by", choices=get_args(ReviewBy), help="rank for review")
    policy.add_argument("--decline", type=float, metavar="SCORE",
                        help="score from which payments are declined")
    policy.add_argument("--decline-from", type=float, metavar="AMOUNT",
                        help="amount below which no payment is declined")
    policy.add_argument("--alerts-per-day", type=float, metavar="N", help="the alert budget; "
                        "finds the review threshold on --decisions, unless --review gives it")
    policy.add_argument("--reason", default="", help="recorded with the version; needed to publish")
    challenge.add_argument("version", nargs="?", help="its number, as list shows it")
    challenge.add_argument("--end", action="store_true", help="let none score in shadow")
    challenge.add_argument("--reason", default="", help="recorded with the version; needed unless "
                                                        "--end is given")
    rules.add_argument("--rules", type=Path, metavar="FILE", help="TOML; replaces all rules")
    rules.add_argument("--lists", type=Path, metavar="FILE", help="CSV; replaces all list entries")
    rules.add_argument("--reason", default="", help="recorded with the rules; needed to publish")
    for command_ in (policy, rules):
        command_.add_argument("--dry-run", action="store_true",
                              help="publish nothing; show the effect on --decisions")
        command_.add_argument("--decisions", nargs="+", metavar="LOG", default=[],
                              help="decision logs of the version, for --dry-run")
        command_.add_argument("--labels", type=Path, metavar="FILE",
                              help="CSV or Parquet with transaction_id, is_fraud and label_time")
    for command_ in (show, promote):
        command_.add_argument("version", help="its number, as list shows it")
    for command_ in (export, copy, policy):
        command_.add_argument("--version", help="(default: the champion)")
    promote.add_argument("--share", type=float, default=canary.WHOLE, metavar="PERCENT",
                         help="decide for so many of the accounts, the champion for the others "
                              "(default: 100, all)")
    door = promote.add_mutually_exclusive_group()
    door.add_argument("--force", action="store_true", help="even if the gate refused it")
    door.add_argument("--evidence", type=Path, metavar="FILE",
                      help="a report.json of monitoring.shadow, on which it passes the gate")
    for command_ in (promote, rollback):
        command_.add_argument("--reason", required=True, help="recorded with the version")
    return root


def _run(options: argparse.Namespace, registry: Registry) -> str:
    match options.command:
        case "list":
            return f"{_list(registry)}\n{_serving(registry)}"
        case "show":
            return _show(registry, options.version)
        case "compare":
            return version_comparison.compare(registry, options.version, options.other)
        case "history":
            return change_history.as_text(registry.history())
        case "export":
            version = _chosen(options, registry)
            registry.export(version, options.out)
            return f"version {version} is in {options.out}"
        case "reference":
            version = _chosen(options, registry)
            registry.copy_reference(version, options.out)
            return f"the reference of version {version} is {options.out / reference.FILE}"
        case "policy":
            return _policy(options, registry)
        case "challenge":
            return _challenge(options, registry)
        case "promote":
            registry.promote(options.version, options.reason, options.share, force=options.force,
                             evidence=options.evidence)
        case "rollback":
            registry.rollback(options.reason)
    return _serving(registry)


def _challenge(options: argparse.Namespace, registry: Registry) -> str:
    if options.end:
        registry.end_challenge(options.reason)
        return f"{publication.target()} has no challenger"
    if not (options.version and options.reason):
        raise TrainingError("challenge needs a version and --reason, or --end")
    registry.challenge(options.version, options.reason)
    return f"version {options.version} scores in shadow at {publication.target()}"


def _policy(options: argparse.Namespace, registry: Registry) -> str:
    """Publish or try other thresholds: those of a file, or those of the options."""
    number = _chosen(options, registry)
    change = PolicyChange(*(getattr(options, name) for name in PolicyChange._fields))
    if bool(options.policy) == (change != PolicyChange()):
        raise TrainingError("give --policy FILE, or thresholds such as --review and --decline")
    if options.dry_run:
        return registry.try_policy(number, options.policy or change, options.decisions,
                                   options.labels)
    if not options.reason:
        raise TrainingError("--reason is missing; say why the thresholds change, it is kept with "
                            "them")
    registry.change_policy(number, options.policy or change, options.reason, options.decisions)
    return _serving(registry)


def _rules(options: argparse.Namespace) -> str:
    """Publish, try or show rules and lists; MLflow has no part in it."""
    publisher = publication.rule_publisher()
    before = publisher.in_force()
    if not (options.rules or options.lists):
        return "\n".join([summary(before), *rule_files.as_lines(before.rules if before else ())])
    rule_set = publisher.next_version(
        before, user(), options.reason,
        rules=rule_files.read_rules(options.rules) if options.rules else None,
        entries=rule_files.read_lists(options.lists) if options.lists else None)
    if options.dry_run:
        return backtest.report(backtest.of_files(rule_set, options.decisions, options.labels))
    if not options.reason:
        raise TrainingError("--reason is missing; say why the rules change, it is kept with them")
    publisher.publish(rule_set)
    return summary(rule_set)


def _chosen(options: argparse.Namespace, registry: Registry) -> str:
    version = options.version or number_of(registry.champion())
    if not version:
        raise TrainingError("there is no champion yet; train one, or name a --version")
    return version


@command
def main(arguments: Arguments) -> None:
    options = _parser().parse_args(arguments)
    print(_rules(options) if options.command == "rules" else _run(options, Registry()))


if __name__ == "__main__":
    main()
