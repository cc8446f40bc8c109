"""History of changes: a file for each promotion, challenge, policy and rule set.

    history/<ns>-<random>.json      next to the pointers; written once, never changed

Tags of a version say what is true now; the history says what was done, by whom, when and why.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from typing import Literal

import msgspec

from fraud.clock import utc_second
from fraud.errors import JSON_ERRORS
from fraud.published import PublishedError, PublishedFolder

FOLDER = "history"
Action = Literal[
    "promote", "canary", "end-canary", "rollback", "challenge", "end-challenge", "policy", "rules"]


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of what decides."""

    at: int                     # ms since the epoch
    by: str
    action: Action
    before: str                 # version of model, policy or rules before; "" without one
    after: str                  # the same, after
    reason: str
    model_version: str = ""     # that a policy belongs to
    forced: bool = False        # against the gate
    file: str = ""              # published folder or rule set, whose name holds its digest


def record(location: str, by: str, action: Action, before: str, after: str, reason: str,
           model_version: str = "", forced: bool = False, file: str = "") -> None:
    """Add a change of now.

    Args:
        location: the folder or s3:// prefix of the pointers.

    Raises:
        PublishedError: the location cannot be written to; the change itself stays.
    """
    now = time.time_ns()
    change = Change(now // 1_000_000, by, action, before, after, reason, model_version, forced,
                    file)
    PublishedFolder(location).write(f"{FOLDER}/{now}-{secrets.token_hex(4)}.json",
                                    msgspec.json.encode(change))


def read(locations: Iterable[str]) -> list[Change]:
    """Return all changes, oldest first.

    Raises:
        PublishedError: a file cannot be read.
    """
    changes: dict[str, Change] = {}
    for location in locations:
        folder = PublishedFolder(location)
        for name in folder.names(FOLDER):
            try:
                changes[name] = msgspec.json.decode(folder.read(f"{FOLDER}/{name}") or b"",
                                                    type=Change)
            except JSON_ERRORS as error:
                raise PublishedError(f"{location}/{FOLDER}/{name}: is not a change ({error}); "
                                     "restore it from a backup") from error
    return [changes[name] for name in sorted(changes)]


def as_text(changes: list[Change]) -> str:
    """Return a line for each change, oldest first, for people."""
    if not changes:
        return "nothing was changed yet"
    lines = [f"{'time':<23}  {'by':<12}  {'action':<13}  {'from':>8}  {'to':>8}  reason"]
    for change in changes:
        notes = [f"version {change.model_version}"] if change.model_version else []
        notes += ["against the gate"] if change.forced else []
        suffix = f" ({', '.join(notes)})" if notes else ""
        lines.append(f"{utc_second(change.at):<23}  {change.by:<12}  {change.action:<13}  "
                     f"{change.before or '-':>8}  {change.after or '-':>8}  "
                     f"{change.reason}{suffix}")
    return "\n".join(lines)
