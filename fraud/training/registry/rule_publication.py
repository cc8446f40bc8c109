"""Publication of rule sets: a file and a pointer, in the folder from which programs take rules."""

from __future__ import annotations

import os

import msgspec

from fraud import bundle, clock
from fraud.features import FeatureTable
from fraud.published import PublishedFolder
from fraud.rules.active import read_rule_set
from fraud.rules.rule_set import (
    POINTER_FILE, ListEntry, Rule, RulesError, RuleSet, RulesPointer, check, key_check)
from fraud.training.registry import change_history, compare_and_set, publication
from fraud.training.registry.versions import user


def target() -> str:
    """Return the folder or s3:// prefix of FRAUD_RULES, else of FRAUD_MODEL."""
    return os.environ.get("FRAUD_RULES") or publication.target()


def changed(before: RuleSet | None, rules: tuple[Rule, ...] | None,
            entries: tuple[ListEntry, ...] | None, reason: str) -> RuleSet:
    """Return the next rule set: what is None stays as it was before.

    Args:
        entries: made with the key in FRAUD_ACCOUNT_KEY, if it is set.
    """
    kept = before or RuleSet(0, 0, "", "")
    return RuleSet(version=kept.version + 1, published_at=clock.now_ms(), published_by=user(),
                   reason=reason, rules=kept.rules if rules is None else rules,
                   entries=kept.entries if entries is None else entries,
                   key_check=kept.key_check if entries is None else key_check(
                       os.environ.get("FRAUD_ACCOUNT_KEY", "")))


def publish(rule_set: RuleSet, destination: str) -> RulesPointer:
    """Check a rule set against the champion and publish it: file first, then the pointer.

    The version of the rule set must follow the published one: `changed` saw that one.

    Raises:
        RulesError: there is no champion, the rules do not fit it, or others were published
            meanwhile; the old rules stay.
        TrainingError: the destination cannot be written to.
    """
    check(rule_set, champion_features(), clock.now_ms())
    content = msgspec.json.encode(rule_set)
    digest = bundle.sha256(content)
    pointer = RulesPointer(rule_set.version, f"rules-{rule_set.version}-{digest[:8]}.json", digest)
    publication.write_files(destination, {pointer.file: content})
    if not compare_and_set.replace_if(
            destination, POINTER_FILE, lambda present: _version(present) == rule_set.version - 1,
            msgspec.json.format(msgspec.json.encode(pointer), indent=2)):
        raise RulesError(f"{destination}: other rules were published meanwhile "
                         f"({summary(read_rule_set(destination))}); look at them with `registry "
                         "rules`, then publish again")
    change_history.record(destination, "rules", str(rule_set.version - 1 or ""),
                          str(rule_set.version), rule_set.reason, file=pointer.file)
    return pointer


def _version(pointer: bytes | None) -> int:
    """Return the version that a pointer names; 0 without one."""
    return int(msgspec.json.decode(pointer, type=RulesPointer).version) if pointer else 0


def champion_features() -> FeatureTable:
    """Return the features of the champion.

    Raises:
        RulesError: there is none.
    """
    pointer = publication.published(publication.target())
    if pointer is None:
        raise RulesError(f"{publication.target()}: holds no champion to check the rules against; "
                         "train a model first, or set FRAUD_MODEL")
    raw = PublishedFolder(publication.target()).read(f"{pointer.folder}/{bundle.MANIFEST_FILE}")
    manifest = msgspec.json.decode(raw or b"", type=bundle.Manifest)
    return FeatureTable(manifest.types, manifest.left_out)


def summary(rule_set: RuleSet | None) -> str:
    """Return the version of a rule set, its size and its origin, for people."""
    if rule_set is None:
        return "there are no rules or lists"
    return (f"version {rule_set.version}: {len(rule_set.rules):,} rules, "
            f"{len(rule_set.entries):,} list entries, published by {rule_set.published_by} on "
            f"{clock.utc_second(rule_set.published_at)}: {rule_set.reason}")
