"""The rule set in force: read from a folder or S3 prefix, and again when its pointer changes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from fraud.bundle import sha256
from fraud.errors import JSON_ERRORS, FraudError
from fraud.published import PublishedFolder
from fraud.rules.rule_set import POINTER_FILE, RulesError, RuleSet, RulesPointer, check_key
from fraud.rules.ruling import NO_RULES, Rules

log = logging.getLogger(__name__)
Kind = TypeVar("Kind", RulesPointer, RuleSet)


class ActiveRules:
    """The rules that the pointer names. Any thread may read them while another refreshes.

    Without a pointer there are none.

    Args:
        location: a folder, or an s3:// prefix.
        account_key: that of the pseudonyms which lists are compared with; empty: a random one.

    Raises:
        RulesError: the pointer, or the file that it names, cannot be used.
    """

    def __init__(self, location: str, account_key: str = ""):
        self._folder, self._account_key = PublishedFolder(location), account_key
        self._pointer: RulesPointer | None = None
        self.rules = NO_RULES
        self._load()

    def refresh(self) -> bool:
        """Load the rules that the pointer names now; return True if they have changed.

        Rules that cannot be used are logged, and those before stay in force.
        """
        try:
            return self._load()
        except FraudError as error:
            log.error("rules stay at version %s: %s", self.rules.version or "none", error)
            return False

    def _load(self) -> bool:
        pointer = _read_pointer(self._folder)
        if pointer is None or pointer == self._pointer:     # a pointer is never deleted
            return False
        rule_set = _read_rule_set(self._folder, pointer)
        check_key(rule_set, self._account_key)
        self.rules = Rules(rule_set, pointer.sha256)
        self._pointer = pointer
        log.info("rules are now version %s", pointer.version)
        return True


def read_rule_set(location: str) -> RuleSet | None:
    """Return the rule set that the pointer of a folder or S3 prefix names; None without one.

    Raises:
        RulesError, PublishedError: it cannot be used or read.
    """
    folder = PublishedFolder(location)
    pointer = _read_pointer(folder)
    return _read_rule_set(folder, pointer) if pointer else None


def _read_pointer(folder: PublishedFolder) -> RulesPointer | None:
    raw = folder.read(POINTER_FILE)
    if raw is None:
        return None
    pointer = _decode(POINTER_FILE, raw, RulesPointer)
    if Path(pointer.file).name != pointer.file:
        raise RulesError(f"{POINTER_FILE}: file is {pointer.file!r}, which is not in the same "
                         "folder; publish the rules again")
    return pointer


def _read_rule_set(folder: PublishedFolder, pointer: RulesPointer) -> RuleSet:
    content = folder.read(pointer.file)
    if content is None or sha256(content) != pointer.sha256:
        raise RulesError(f"{pointer.file}: is missing or does not have the promised sha256 "
                         f"{pointer.sha256}; publish the rules again")
    return _decode(pointer.file, content, RuleSet)


def _decode(name: str, raw: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(raw, type=kind)
    except JSON_ERRORS as error:
        raise RulesError(f"{name}: {error}; publish the rules again") from error
