"""Files of rules and lists, as people keep them.

Rules are TOML, with a table `[[rules]]` for each. Lists are CSV, with the columns account (or
pseudonym), list (deny, review or allow), reason and author, and optionally side (origin,
destination or both) and expires (a date or time, UTC).
"""

from __future__ import annotations

import csv
import os
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from fraud.pseudonym import pseudonym
from fraud.rules.rule_set import ListEntry, Rule, RulesError
from fraud.training.files import reason

LARGEST_BYTES = {"rules": 1_000_000, "lists": 50_000_000}
COLUMNS = ("account", "pseudonym", "list", "side", "reason", "author", "expires")
SHOWN = 10      # problems of a file


def read_rules(path: Path) -> tuple[Rule, ...]:
    """Read the rules of a TOML file.

    Raises:
        RulesError: it cannot be read; the message has a line for each rule that is none.
    """
    try:
        tables = tomllib.loads(_text(path, "rules"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RulesError(f"{path}: is not TOML ({error}); fix that line") from error
    if not _has_rules(tables):
        raise RulesError(f"{path}: holds {', '.join(tables) or 'nothing'}; give tables [[rules]]")
    rules, problems = [], []
    for number, table in enumerate(tables["rules"], 1):
        try:
            rules.append(msgspec.convert({**table, **_expiry(table.get("expires"))}, Rule))
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"{path}: rule {number} ({table.get('name', 'without a name')}): "
                            f"{error}")
    _raise_for(problems)
    return tuple(rules)


def read_lists(path: Path) -> tuple[ListEntry, ...]:
    """Read the entries of a CSV file.

    Names of accounts become pseudonyms by the key in FRAUD_ACCOUNT_KEY.

    Raises:
        RulesError: it cannot be read, it names accounts and there is no key; the message has a
            line for each entry that is none.
    """
    lines = csv.DictReader(_text(path, "lists").splitlines())
    entries, problems = [], []
    try:
        key = _key(path, lines.fieldnames or ())
        for line in lines:
            try:
                entries.append(_entry(line, key))
            except (msgspec.ValidationError, ValueError) as error:
                problems.append(f"{path}: line {lines.line_num}: {error}")
    except csv.Error as error:
        problems.append(f"{path}: line {lines.line_num + 1}: {error}; fix that line")
    _raise_for(problems)
    return tuple(entries)


def _key(path: Path, columns: Sequence[str]) -> bytes:
    """Return the key of the accounts' pseudonyms, empty if no column has names of accounts.

    Raises:
        RulesError: a column is none of lists, or there is no key.
    """
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown or not columns:
        raise RulesError(f"{path}: has a column {', '.join(unknown) or 'less than one'}; the "
                         f"columns are {', '.join(COLUMNS)}")
    key = os.environ.get("FRAUD_ACCOUNT_KEY", "").encode()
    if "account" in columns and not key:
        raise RulesError(f"{path}: names accounts, but FRAUD_ACCOUNT_KEY is not set; set the key "
                         "of the servers, or give pseudonyms")
    return key


def _has_rules(tables: dict) -> bool:
    rules = tables.get("rules")
    return len(tables) == 1 and isinstance(rules, list) and all(
        isinstance(rule, dict) for rule in rules)


def _entry(line: dict, key: bytes) -> ListEntry:
    if None in line or None in line.values():
        raise ValueError("has more or fewer fields than the header; quote fields with commas")
    fields = {name: value for name, value in line.items() if value}
    if account := fields.pop("account", None):
        fields["account"] = pseudonym(key, account)
    if given := fields.pop("pseudonym", None):
        fields.setdefault("account", given)
    return msgspec.convert({**fields, **_expiry(fields.get("expires"))}, ListEntry)


def _expiry(value: object) -> dict[str, int]:
    """Return the field `expires` in ms since the epoch; nothing without one."""
    if value is None:
        return {}
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise ValueError(f"expires is {value!r}; give a date or a time, such as 2027-06-30")
    return {"expires": round(value.replace(tzinfo=value.tzinfo or UTC).timestamp() * 1000)}


def _text(path: Path, kind: str) -> str:
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES[kind]:
            raise RulesError(f"{path}: has {size:,} bytes; {kind} have at most "
                             f"{LARGEST_BYTES[kind]:,}")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RulesError(f"{path}: cannot be read ({reason(error)}); name a file of {kind}"
                         ) from error


def _raise_for(problems: list[str]) -> None:
    if problems:
        rest = [f"and {len(problems) - SHOWN:,} more"] if len(problems) > SHOWN else []
        raise RulesError("\n".join([*problems[:SHOWN], *rest]))


def as_lines(rules: tuple[Rule, ...]) -> Iterator[str]:
    """Give a line for each rule, for people."""
    for rule in rules:
        conditions = [f"{each.field} {each.op} {each.value}" for each in rule.all]
        if rule.any:
            conditions.append(" or ".join(
                f"{each.field} {each.op} {each.value}" for each in rule.any))
        word = f"{rule.decision}, dry run" if rule.dry_run else rule.decision
        yield f"{rule.name:<32} {word:<16} {' and '.join(conditions)}"
