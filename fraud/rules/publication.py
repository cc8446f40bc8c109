"""Publication of rule sets: a file and a pointer, in the folder from which programs take rules.

The registry publishes whole files of rules and lists, the desk one list entry at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from fraud import bundle, change_history
from fraud.clock import now_ms
from fraud.features import FeatureTable
from fraud.published import PublishedFolder
from fraud.rules.active import read_rule_set
from fraud.rules.rule_set import (
    POINTER_FILE, ListEntry, Rule, RulesError, RuleSet, RulesPointer, check, check_key, key_check,
    summary)

ATTEMPTS = 50       # to change one entry while others publish
NOTHING = RuleSet(0, 0, "", "")
Entries = tuple[ListEntry, ...]
Item = TypeVar("Item", Rule, ListEntry)


class RulesConflict(RulesError):
    """Other rules were published since the ones that a rule set replaces were read."""


@dataclass(frozen=True)
class RulePublisher:
    """Publishes rule sets. Of two programs that publish at once, none overwrites the other.

    Args:
        location: the folder or s3:// prefix of `rules.json`.
        model_location: that of `champion.json`, whose features the rules are checked against.
        account_key: FRAUD_ACCOUNT_KEY, by which the accounts of entries are pseudonyms.
    """

    location: str
    model_location: str
    account_key: str

    def in_force(self) -> RuleSet | None:
        """Return the published rule set; None without one.

        Raises:
            RulesError, PublishedError: it cannot be used or read.
        """
        return read_rule_set(self.location)

    def next_version(self, before: RuleSet | None, by: str, reason: str, *,
                     rules: tuple[Rule, ...] | None = None, entries: Entries | None = None
                     ) -> RuleSet:
        """Return a rule set to replace another one.

        A part that is None stays as it was before, without those that have expired.
        """
        kept, now = before or NOTHING, now_ms()
        return RuleSet(
            version=kept.version + 1, published_at=now, published_by=by, reason=reason,
            rules=_unexpired(kept.rules, now) if rules is None else rules,
            entries=_unexpired(kept.entries, now) if entries is None else entries,
            key_check=kept.key_check if entries is None else key_check(self.account_key))

    def publish(self, rule_set: RuleSet) -> RulesPointer:
        """Check a rule set against the champion and publish it: file first, then the pointer.

        The change is kept in the history.

        Raises:
            RulesConflict: its version does not follow the published one.
            RulesError: there is no champion, or the rules do not fit it.
            PublishedError: the location cannot be read or written to.
        """
        check(rule_set, champion_features(self.model_location), now_ms())
        content = msgspec.json.encode(rule_set)
        digest, before = bundle.sha256(content), rule_set.version - 1
        pointer = RulesPointer(rule_set.version, f"rules-{rule_set.version}-{digest[:8]}.json",
                               digest)
        folder = PublishedFolder(self.location)
        folder.write(pointer.file, content)
        if not folder.replace_if(POINTER_FILE, lambda present: _version(present) == before,
                                 msgspec.json.format(msgspec.json.encode(pointer), indent=2)):
            raise RulesConflict(
                f"{self.location}: other rules were published meanwhile "
                f"({summary(self.in_force())}); look at them with `registry rules`, then publish "
                "again")
        change_history.record(self.location, rule_set.published_by, "rules", str(before or ""),
                              str(rule_set.version), rule_set.reason, file=pointer.file)
        return pointer

    def put(self, entry: ListEntry, reason: str) -> int:
        """Put an account on a list and return the version of the new rule set.

        An entry of the same account, list and side is replaced.

        Raises:
            RulesError: the entry has expired, there is no champion, or the key is another one.
            PublishedError: the location cannot be read or written to.
        """
        return self._change_entries(
            lambda entries: (*_without(entries, entry), entry), entry.author, reason)

    def remove(self, entry: ListEntry, by: str, reason: str) -> int:
        """Take an account off a list and return the version of the new rule set.

        Raises:
            RulesError, PublishedError: see `put`.
        """
        return self._change_entries(lambda entries: _without(entries, entry), by, reason)

    def _change_entries(self, change: Callable[[Entries], Entries], by: str, reason: str) -> int:
        """Publish changed entries; once more if other rules were published meanwhile."""
        if not self.account_key:
            raise RulesError("FRAUD_ACCOUNT_KEY is not set, so that no entry would match an "
                             "account; set the key of the servers")
        for _ in range(ATTEMPTS):
            before = self.in_force() or NOTHING
            check_key(before, self.account_key)
            rule_set = self.next_version(before, by, reason,
                                         entries=change(_unexpired(before.entries, now_ms())))
            with suppress(RulesConflict):
                return self.publish(rule_set).version
        raise RulesConflict(f"{self.location}: others published rules {ATTEMPTS} times meanwhile; "
                            "try again")


def champion_features(location: str) -> FeatureTable:
    """Return the features of the champion of a folder or s3:// prefix, or of a bundle.

    Raises:
        RulesError: there is none.
        PublishedError: the location cannot be read.
    """
    content = bundle.read_champion_file(location, bundle.MANIFEST_FILE)
    if content is None:
        raise RulesError(f"{location}: holds no champion to check the rules against; train a model "
                         "first, or set FRAUD_MODEL")
    manifest = msgspec.json.decode(content, type=bundle.Manifest)
    return FeatureTable(manifest.types, manifest.left_out)


def _version(pointer: bytes | None) -> int:
    """Return the version that a pointer names; 0 without one."""
    return int(msgspec.json.decode(pointer, type=RulesPointer).version) if pointer else 0


def _without(entries: Entries, entry: ListEntry) -> Entries:
    """Return the entries that are not of the same account, list and side."""
    return tuple(each for each in entries if _key(each) != _key(entry))


def _key(entry: ListEntry) -> tuple[str, str, str]:
    return entry.account, entry.list, entry.side


def _unexpired(items: tuple[Item, ...], now: int) -> tuple[Item, ...]:
    return tuple(item for item in items if item.expires is None or item.expires > now)
