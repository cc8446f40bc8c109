"""Rulings: what lists and rules make of the model's decisions."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from fraud.reasons import Reason
from fraud.rules.rule_set import FIELDS, TYPE, Condition, ListEntry, Rule, RuleSet

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
        self.rule_set = rule_set
        self.version = str(rule_set.version) if rule_set else ""
        self.digest = digest
        self._rules = rule_set.rules if rule_set else ()
        self._fields = sorted({condition.field for rule in self._rules
                               for condition in rule.conditions})
        self._entries: dict[bytes, tuple[ListEntry, ...]] = {}
        for entry in rule_set.entries if rule_set else ():
            key = bytes.fromhex(entry.account)
            self._entries[key] = (*self._entries.get(key, ()), entry)

    def __bool__(self) -> bool:
        return bool(self._rules or self._entries)

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
        active = [rule for rule in self._rules if rule.expires is None or now < rule.expires]
        if not active:
            return hits
        values = [_values(each, self._fields, names) for each in scored]
        if len(scored) <= SCALARS_UP_TO:
            for index, of_payment in enumerate(values):
                hits[index] += [rule for rule in active if matches(rule, of_payment)]
            return hits
        columns = {field: np.array([of_payment[field] for of_payment in values])
                   for field in self._fields}
        for rule in active:
            for index in np.flatnonzero(matches(rule, columns)).tolist():
                hits[index].append(rule)
        return hits

    def _list(self, scored: ScoredPayment, now: int) -> str | None:
        """Return the strictest list that an account of a payment is on."""
        names = set()
        for side, account in (("origin", scored.origin), ("destination", scored.destination)):
            for entry in self._entries.get(bytes.fromhex(account), ()) if account else ():
                if entry.side in (side, "both") and (entry.expires is None or now < entry.expires):
                    names.add(entry.list)
        return next((name for name in LIST_DECISIONS if name in names), None)


NO_RULES = Rules()


def matches(rule: Rule, values: Mapping[str, Any]) -> Any:
    """Return whether a rule is true: a bool, or an array of them.

    Args:
        values: by field, of one payment or arrays of many; NaN where unknown.
    """
    result: Any = True
    for condition in rule.all:
        result = result & _compared(condition, values[condition.field])
    if rule.any:
        any_true: Any = False
        for condition in rule.any:
            any_true = any_true | _compared(condition, values[condition.field])
        result = result & any_true
    return result


def _compared(condition: Condition, value: Any) -> Any:
    if condition.op == "!=":
        return (value != condition.value) & (value == value)       # NaN is unknown, not different
    if condition.op == "in":
        is_listed: Any = False
        for name in condition.value:        # type: ignore[union-attr]  # checked when published
            is_listed = is_listed | (value == name)
        return is_listed
    return COMPARED[condition.op](value, condition.value)


def _values(scored: ScoredPayment, fields: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return the values of fields, exact for those of the payment; NaN where unknown."""
    by_name = dict(zip(names, scored.features, strict=False))
    payment = scored.payment
    values: dict[str, Any] = {TYPE: payment.type}
    for field in fields:
        feature = by_name.get(field)
        values.setdefault(field, NAN if feature is None else feature)
    for field, cents in zip(FIELDS, (payment.amount_cents, payment.origin_balance_cents,
                                     payment.destination_balance_cents), strict=True):
        values[field] = NAN if cents is None else cents / 100
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
