"""Changes of the lists in force from a running program: one entry at a time, within a second.

`fraud.training.registry.rule_publication` publishes whole files. Both write a new rule set first
and then move the pointer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

import msgspec

from fraud import bundle
from fraud.clock import now_ms
from fraud.features import FeatureTable
from fraud.published import PublishedFolder
from fraud.rules.active import read_rule_set
from fraud.rules.rule_set import (
    POINTER_FILE, ListEntry, RulesError, RuleSet, RulesPointer, check, check_key, key_check)


@dataclass(frozen=True)
class ListPublisher:
    """Puts accounts on lists and takes them off.

    Args:
        location: the folder or s3:// prefix of `rules.json`.
        model_location: that of `champion.json`, whose features the rules are checked against.
        account_key: FRAUD_ACCOUNT_KEY, by which the accounts are pseudonyms.
    """

    location: str
    model_location: str
    account_key: str
    _lock: Lock = field(default_factory=Lock, repr=False)

    def put(self, entry: ListEntry, reason: str) -> int:
        """Put an account on a list and return the version of the new rule set.

        An entry of the same account, list and side is replaced.

        Raises:
            RulesError: the entry has expired, there is no champion, or the key is another one.
            PublishedError: the location cannot be read or written to.
        """
        return self._publish(entry, (entry,), reason)

    def remove(self, entry: ListEntry, by: str, reason: str) -> int:
        """Take an account off a list and return the version of the new rule set.

        Raises:
            RulesError, PublishedError: see `put`.
        """
        return self._publish(msgspec.structs.replace(entry, author=by), (), reason)

    def entries(self) -> tuple[ListEntry, ...]:
        """Return the entries in force.

        Raises:
            RulesError, PublishedError: see `put`.
        """
        rule_set = read_rule_set(self.location)
        return rule_set.entries if rule_set else ()

    def _publish(self, changed: ListEntry, added: tuple[ListEntry, ...], reason: str) -> int:
        if not self.account_key:
            raise RulesError("FRAUD_ACCOUNT_KEY is not set, so that no entry would match an "
                             "account; set the key of the servers")
        folder = PublishedFolder(self.location)
        with self._lock, folder.lock(f".{POINTER_FILE}.lock"):
            before = read_rule_set(self.location) or RuleSet(0, 0, "", "")
            check_key(before, self.account_key)
            now, key = now_ms(), _key(changed)
            kept = tuple(entry for entry in before.entries if _key(entry) != key
                         and (entry.expires is None or entry.expires > now))
            rule_set = RuleSet(
                version=before.version + 1, published_at=now, published_by=changed.author,
                reason=reason, rules=tuple(rule for rule in before.rules
                                           if rule.expires is None or rule.expires > now),
                entries=kept + added, key_check=key_check(self.account_key))
            check(rule_set, champion_features(self.model_location), now)
            content = msgspec.json.encode(rule_set)
            digest = bundle.sha256(content)
            pointer = RulesPointer(rule_set.version,
                                   f"rules-{rule_set.version}-{digest[:8]}.json", digest)
            folder.write(pointer.file, content)
            folder.write(POINTER_FILE, msgspec.json.format(msgspec.json.encode(pointer), indent=2))
        return rule_set.version


def champion_features(location: str) -> FeatureTable:
    """Return the features of the champion of a folder or s3:// prefix, or of a bundle.

    Raises:
        RulesError: there is none.
    """
    folder = PublishedFolder(location)
    name = bundle.MANIFEST_FILE
    if raw := folder.read(bundle.POINTER_FILE):
        name = f"{msgspec.json.decode(raw, type=bundle.Pointer).folder}/{name}"
    content = folder.read(name)
    if content is None:
        raise RulesError(f"{location}: holds no champion to check the rules against; train a model "
                         "first, or set FRAUD_MODEL")
    manifest = msgspec.json.decode(content, type=bundle.Manifest)
    return FeatureTable(manifest.types, manifest.left_out)


def _key(entry: ListEntry) -> tuple[str, str, str]:
    return entry.account, entry.list, entry.side
