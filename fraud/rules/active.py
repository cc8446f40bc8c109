"""The rule set in force: read from a folder or S3 prefix, and again when its pointer changes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

from fraud.bundle import sha256
from fraud.errors import FraudError
from fraud.published import PublishedFolder
from fraud.rules.rule_set import POINTER_FILE, RulesError, RuleSet, RulesPointer
from fraud.rules.ruling import NO_RULES, Rules

log = logging.getLogger(__name__)
Kind = TypeVar("Kind", RulesPointer, RuleSet)


class ActiveRules:
    """The rules that the pointer names. Any thread may read them while another refreshes.

    Without a pointer there are none.

    Args:
        location: a folder, or an s3:// prefix.

    Raises:
        RulesError: the pointer, or the file that it names, cannot be used.
    """

    def __init__(self, location: str):
        self._folder = PublishedFolder(location)
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
        raw = self._folder.read(POINTER_FILE)
        if raw is None:             # not published yet; a pointer is never deleted
            return False
        pointer = _decode(POINTER_FILE, raw, RulesPointer)
        if pointer == self._pointer:
            return False
        if Path(pointer.file).name != pointer.file:
            raise RulesError(f"{POINTER_FILE}: file is {pointer.file!r}, which is not in the same "
                             "folder; publish the rules again")
        content = self._folder.read(pointer.file)
        if content is None or sha256(content) != pointer.sha256:
            raise RulesError(f"{pointer.file}: is missing or does not have the promised sha256 "
                             f"{pointer.sha256}; publish the rules again")
        self.rules = Rules(_decode(pointer.file, content, RuleSet), pointer.sha256)
        self._pointer = pointer
        log.info("rules are now version %s", pointer.version)
        return True


def _decode(name: str, raw: bytes, kind: type[Kind]) -> Kind:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RulesError(f"{name}: {error}; publish the rules again") from error
