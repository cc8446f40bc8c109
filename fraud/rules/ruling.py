"""Rulings: what lists and rules make of the model's decisions."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from fraud.reasons import Reason
from fraud.rules.rule_set import FIELDS, TYPE, Condition, Rule, RuleSet

SCALARS_UP_TO = 8           # payments: below, numpy's calls cost more than they save
STRICTNESS = {"approve": 0, "review": 1, "decline": 2}
LIST_DECISIONS = {"deny": "decline", "review": "review", "allow": "approve"}
NAN = float("nan")
COMPARED = {"<": operator.lt, "<=": operator.le, "==": operator.eq, ">=": operator.ge,
            ">": operator.gt}


class RuledPayment(Protocol):
    """The values that rules compare: of a `Transaction`, or of a line of the decision log."""

    @property
    def type(self) -> str: ...

    @property
    def amount_cents(self) -> int: ...

    @property
    def origin_balance_cents(self) -> int | None: ...

    @property
    def destination_balance_cents(self) -> int | None: ...


class ScoredPayment(NamedTuple):
    """A payment with the decision of the model alone."""

    payment: RuledPayment
    origin: str                     # pseudonyms
    destination: str | None
    features: Sequence[float | None]    # NaN where not known; without history, the first ones
    decision: str
    reasons: list[Reason]


class Ruling(NamedTuple):
    """The decision on a payment by model, lists and rules together."""

    decision: str
    decided_by: str                 # model, list or rule
    reasons: list[Reason]
    applied: list[str]              # `rule:NAME` and `list:NAME`, also where others are stricter
    dry_run: list[str]              # `rule:NAME` of rules that only try


class Rules:
    """A rule set in force. Any thread may use it.

    The strictest of model, lists and rules decides, the model where several are equally strict.
    An account on the allow list sets the model aside, not a rule; on two lists, the stricter one
    counts.

    Args:
        rule_set: None for no rules.
        digest: sha256 of its file.
    """

    def __init__(self, rule_set: RuleSet | None = None, digest: str = ""):
        self.version = str(rule_set.version) if rule_set else ""
        self.digest = digest
        self._rules = [_CompiledRule(rule) for rule in rule_set.rules] if rule_set else []
        self._fields = sorted({condition.field for each in self._rules
                               for condition in each.rule.conditions})
        self._listings: dict[bytes, tuple[_Listing, ...]] = {}
        shared: dict[tuple[_Listing, ...], tuple[_Listing, ...]] = {}   # most are alike: keep one
        for entry in rule_set.entries if rule_set else ():
            key = bytes.fromhex(entry.account)
            listings = (*self._listings.get(key, ()),
                        _Listing(entry.list, entry.side, entry.expires))
            self._listings[key] = shared.setdefault(listings, listings)

    def __bool__(self) -> bool:
        return bool(self._rules or self._listings)

    def rulings(self, scored: Sequence[ScoredPayment], names: Sequence[str], now: int
                ) -> list[Ruling]:
        """Return the ruling on each payment.

        Args:
            names: of the features, in their order.
            now: ms since the epoch; what has expired by then does nothing.
        """
        hits = self._hits(scored, names, now)
        return [_ruling(each, self._list(each, now), rules)
                for each, rules in zip(scored, hits, strict=True)]

    def _hits(self, scored: Sequence[ScoredPayment], names: Sequence[str], now: int
              ) -> list[list[Rule]]:
        """Return the rules that are true for each payment."""
        hits: list[list[Rule]] = [[] for _ in scored]
        active = [each for each in self._rules if _is_active(each.rule.expires, now)]
        if not active:
            return hits
        columns = {field: names.index(field) for field in self._fields if field in names}
        values = [_values(each, self._fields, columns) for each in scored]
        if len(scored) <= SCALARS_UP_TO:
            for index, of_payment in enumerate(values):
                hits[index] += [each.rule for each in active if each.matches(of_payment)]
            return hits
        arrays = {field: np.array([of_payment[field] for of_payment in values])
                  for field in self._fields}
        for each in active:
            for index in np.flatnonzero(each.matches(arrays)).tolist():
                hits[index].append(each.rule)
        return hits

    def _list(self, scored: ScoredPayment, now: int) -> str | None:
        """Return the strictest list that an account of a payment is on."""
        names = set()
        for side, account in (("origin", scored.origin), ("destination", scored.destination)):
            for listing in self._listings.get(bytes.fromhex(account), ()) if account else ():
                if listing.side in (side, "both") and _is_active(listing.expires, now):
                    names.add(listing.list)
        return next((name for name in LIST_DECISIONS if name in names), None)


class _Listing(NamedTuple):
    list: str
    side: str
    expires: int | None


NO_RULES = Rules()


class _CompiledRule:
    """A rule whose conditions are functions of a value, or of an array of values."""

    def __init__(self, rule: Rule):
        self.rule = rule
        self._all = [(condition.field, _compiled(condition)) for condition in rule.all]
        self._any = [(condition.field, _compiled(condition)) for condition in rule.any]

    def matches(self, values: Mapping[str, Any]) -> Any:
        """Return a bool, or an array of them.

        Args:
            values: by field, of one payment or arrays of many; NaN where unknown.
        """
        result: Any = True
        for field, holds in self._all:
            result = result & holds(values[field])
            if result is False:         # one payment: the rest does not matter
                return False
        if self._any:
            any_true: Any = False
            for field, holds in self._any:
                any_true = any_true | holds(values[field])
            result = result & any_true
        return result


def _compiled(condition: Condition) -> Callable[[Any], Any]:
    expected: Any = condition.value
    if condition.op == "!=":
        return lambda value: (value != expected) & (value == value)     # NaN is unknown
    if condition.op == "in":
        return lambda value: functools.reduce(operator.or_, (value == name for name in expected))
    compare = COMPARED[condition.op]
    return lambda value: compare(value, expected)


def _is_active(expires: int | None, now: int) -> bool:
    return expires is None or now < expires


def _values(scored: ScoredPayment, fields: Sequence[str], columns: Mapping[str, int]
            ) -> dict[str, Any]:
    """Return the values of fields, exact for those of the payment; NaN where unknown."""
    payment, features = scored.payment, scored.features
    values: dict[str, Any] = {}
    for field in fields:
        if field == TYPE:
            values[field] = payment.type
            continue
        value: float | None = None
        if field in FIELDS:
            cents = getattr(payment, f"{field}_cents")
            value = None if cents is None else cents / 100
        elif columns.get(field, len(features)) < len(features):
            value = features[columns[field]]
        values[field] = NAN if value is None else value
    return values


def _ruling(scored: ScoredPayment, list_name: str | None, hits: Sequence[Rule]) -> Ruling:
    in_force = [rule for rule in hits if not rule.dry_run]
    applied = [f"rule:{rule.name}" for rule in in_force]
    decision, decided_by, reasons = scored.decision, "model", scored.reasons
    if list_name:
        applied = [f"list:{list_name}", *applied]
        of_list = LIST_DECISIONS[list_name]
        if list_name == "allow":
            decision, decided_by, reasons = of_list, "list", []
        elif STRICTNESS[of_list] > STRICTNESS[decision]:
            decision, decided_by = of_list, "list"
        reasons = [_reason(f"list:{list_name}", f"An account is on the {list_name} list"), *reasons]
    for rule in in_force:
        if STRICTNESS[rule.decision] > STRICTNESS[decision]:
            decision, decided_by = rule.decision, "rule"
        reasons = [*reasons, _reason(f"rule:{rule.name}", f"The rule {rule.name} applies")]
    return Ruling(decision, decided_by, reasons, applied,
                  [f"rule:{rule.name}" for rule in hits if rule.dry_run])


def _reason(code: str, text: str) -> Reason:
    return Reason(code=code, text=text, logit_drop=0.0, value={}, reference={})
