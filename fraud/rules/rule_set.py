"""A rule set: lists of accounts and rules, as they are published, and the pointer to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fraud.clock import utc_second
from fraud.errors import FraudError
from fraud.features import FeatureTable
from fraud.pseudonym import pseudonym

POINTER_FILE = "rules.json"     # next to the rule sets and to champion.json
FIELDS = ("amount", "origin_balance", "destination_balance")    # of the payment: currency units
TYPE = "type"
MAX_RULES = 1_000
MAX_ENTRIES = 200_000
MAX_CONDITIONS = 50            # of one rule

Text = Annotated[str, Meta(min_length=1, max_length=200)]
Side = Literal["origin", "destination", "both"]
ListName = Literal["deny", "review", "allow"]


class RulesError(FraudError):
    """A rule set that must not be in force. The message has a line for each problem."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    pass


class Condition(_Strict, frozen=True):
    """A condition of a value of the payment: true or false, and false where it is unknown."""

    field: Annotated[str, Meta(description=(
        "`type`, `amount`, `origin_balance`, `destination_balance` or a feature"))]
    op: Annotated[Literal["<", "<=", "==", "!=", ">=", ">", "in"], Meta(description=(
        "`type` takes `==`, `!=` and `in`, numbers all but `in`"))]
    value: Annotated[float | str | list[str], Meta(description=(
        "a number, or one or several types of payments"))]


class Rule(_Strict, frozen=True):
    """A rule: payments for which all of `all` and one of `any` is true get its decision."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,63}$", description=(
        "small letters, digits and dashes; callers see it"))]
    decision: Annotated[Literal["review", "decline"], Meta(description=(
        "what it asks for: `review` or `decline`"))]
    reason: Annotated[Text, Meta(description="why it exists; callers do not see it")]
    author: Annotated[Text, Meta(description="who answers for it")]
    all: Annotated[tuple[Condition, ...], Meta(
        max_length=MAX_CONDITIONS, description="conditions that must all be true")] = ()
    any: Annotated[tuple[Condition, ...], Meta(
        max_length=MAX_CONDITIONS, description="conditions of which one must be true")] = ()
    expires: Annotated[int | None, Meta(description=(
        "time from which it does nothing, ms since the epoch; a date in TOML"))] = None
    dry_run: Annotated[bool, Meta(description=(
        "true: only the decision log names it"))] = False

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return self.all + self.any


class ListEntry(_Strict, frozen=True):
    """An account on a list."""

    account: Annotated[str, Meta(pattern="^[0-9a-f]{32}$", description="its pseudonym")]
    list: Annotated[ListName, Meta(description="`deny`, `review` or `allow`")]
    reason: Annotated[Text, Meta(description="why it is listed; callers do not see it")]
    author: Annotated[Text, Meta(description="who answers for it")]
    side: Annotated[Side, Meta(description=(
        "of the payments it applies to: where the account is `origin`, `destination` or `both`"
        ))] = "both"
    expires: Annotated[int | None, Meta(description=(
        "time from which it does nothing, ms since the epoch"))] = None


class RuleSet(_Strict, frozen=True):
    """The content of a published file: all rules and lists that are in force together."""

    version: int
    published_at: int                   # ms since the epoch
    published_by: str
    reason: str
    rules: tuple[Rule, ...] = ()
    entries: tuple[ListEntry, ...] = ()
    key_check: str = ""                 # `key_check` of the key of the entries; "" where unknown


class RulesPointer(msgspec.Struct, frozen=True):
    """rules.json: the rule set in force."""

    version: int
    file: str                           # next to the pointer
    sha256: str


def summary(rule_set: RuleSet | None) -> str:
    """Return the version of a rule set, its size and its origin, for people."""
    if rule_set is None:
        return "there are no rules or lists"
    return (f"version {rule_set.version}: {len(rule_set.rules):,} rules, "
            f"{len(rule_set.entries):,} list entries, published by {rule_set.published_by} on "
            f"{utc_second(rule_set.published_at)}: {rule_set.reason}")


def key_check(account_key: str) -> str:
    """Return a text that tells one FRAUD_ACCOUNT_KEY from another; "" without a key."""
    return pseudonym(account_key.encode(), "key check") if account_key else ""


def check_key(rule_set: RuleSet, account_key: str) -> None:
    """Check that list entries can match accounts: both are pseudonyms by FRAUD_ACCOUNT_KEY.

    Raises:
        RulesError: there is no key, or the entries were made with another one.
    """
    if not rule_set.entries:
        return
    if not account_key:
        raise RulesError("there are list entries, but FRAUD_ACCOUNT_KEY is not set, so that none "
                         "would match; set the key with which they were made")
    if rule_set.key_check not in ("", key_check(account_key)):
        raise RulesError("the list entries were made with another FRAUD_ACCOUNT_KEY, so that none "
                         "would match; set that key, or publish the lists again with this one")


def check(rule_set: RuleSet, table: FeatureTable, now: int) -> None:
    """Check a rule set before it is published.

    Args:
        table: the features and types of the champion.
        now: ms since the epoch.

    Raises:
        RulesError: with a line for each problem, at most ten.
    """
    problems = [*_sizes(rule_set), *_repeated(rule_set)]
    for rule in rule_set.rules:
        problems += [f"rule {rule.name}: {problem}" for problem in _problems(rule, table, now)]
    for entry in rule_set.entries:
        if entry.expires is not None and entry.expires <= now:
            problems.append(f"{entry.list} list, account {entry.account}: "
                            f"{_expired(entry.expires)}")
    if problems:
        rest = [f"and {len(problems) - 10:,} more problems"] if len(problems) > 10 else []
        raise RulesError("\n".join([*problems[:10], *rest]))


def _sizes(rule_set: RuleSet) -> Iterator[str]:
    for name, items, limit in (("rules", rule_set.rules, MAX_RULES),
                               ("list entries", rule_set.entries, MAX_ENTRIES)):
        if len(items) > limit:
            yield f"there are {len(items):,} {name}, at most {limit:,} are allowed; remove some"


def _repeated(rule_set: RuleSet) -> Iterator[str]:
    names = Counter(rule.name for rule in rule_set.rules)
    for name, count in names.items():
        if count > 1:
            yield f"rule {name}: {count} rules have this name; give each its own"
    keys = Counter((entry.account, entry.list, entry.side) for entry in rule_set.entries)
    for (account, list_name, side), count in keys.items():
        if count > 1:
            yield (f"{list_name} list, account {account}: {count} entries for side {side}; "
                   "keep one")


def _problems(rule: Rule, table: FeatureTable, now: int) -> Iterator[str]:
    if not rule.conditions:
        yield "it compares nothing; give conditions under all or any"
    if rule.expires is not None and rule.expires <= now:
        yield _expired(rule.expires)
    for condition in rule.conditions:
        problem = _problem(condition, table)
        if problem:
            yield problem


def _problem(condition: Condition, table: FeatureTable) -> str | None:
    field, op, value = condition.field, condition.op, condition.value
    if field == TYPE:
        if op not in ("==", "!=", "in"):
            return f"type cannot be compared by {op}; use ==, != or in"
        if isinstance(value, list) != (op == "in") or isinstance(value, float):
            return f"type {op} {value!r}: give {'a list of types' if op == 'in' else 'a type'}"
        unknown = sorted({*_listed(value)} - {*table.types})
        if unknown:
            return f"type {unknown[0]!r} is unknown; the types are {', '.join(table.types)}"
        return None
    if field not in (*FIELDS, *table.names):
        return (f"field {field!r} is unknown; use type, {', '.join(FIELDS)} or a feature of the "
                "champion (docs/rules.md)")
    if op == "in" or not isinstance(value, float):
        return f"{field} {op} {value!r}: compare it with a number, by <, <=, ==, !=, >= or >"
    return None


def _listed(value: float | str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else list(value)       # type: ignore[arg-type]


def _expired(expires: int) -> str:
    return f"it expired on {utc_second(expires)}; remove it, or give a later time"
