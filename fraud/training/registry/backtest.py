"""Backtest of lists and rules: what they would have made of logged decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from fraud.clock import DAY_MS, now_ms
from fraud.decision import Decision
from fraud.features import FeatureTable
from fraud.rules.publication import champion_features
from fraud.rules.rule_set import RuleSet, check
from fraud.rules.ruling import LIST_DECISIONS, STRICTNESS, Rules, Ruling, ScoredPayment
from fraud.training.decision_log import read_decisions
from fraud.training.errors import TrainingError
from fraud.training.label_table import read_label_table
from fraud.training.registry import publication

BATCH = 10_000      # payments whose rulings are computed together
HOUR_DAYS = 1 / 24


@dataclass
class Hits:
    """Payments to which one rule or list applied; money in currency units."""

    payments: int = 0
    alerts_of_model: int = 0        # that the model reviews or declines anyway
    frauds_caught: int = 0          # known frauds that the model lets pass
    fraud_money: float = 0.0        # of these
    legitimate: int = 0             # known legitimate payments that the model lets pass
    legitimate_money: float = 0.0   # of these


@dataclass
class Backtest:
    """The result of a backtest: hits by `list:NAME` and `rule:NAME`, decisions without and with."""

    hits: dict[str, Hits]
    payments: int = 0
    labelled: int = 0
    first: int = 0              # event_time of the first and the last payment, ms
    last: int = 0
    model: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STRICTNESS, 0))
    together: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STRICTNESS, 0))

    @property
    def days(self) -> float:
        """The time between the first and the last payment, at least an hour."""
        return max((self.last - self.first) / DAY_MS, HOUR_DAYS)


def of_files(rule_set: RuleSet, logs: Sequence[str], labels: Path | None) -> Backtest:
    """Check a rule set against the champion, and apply it to decision logs.

    Args:
        logs: of decisions of the champion.
        labels: see `label_table.read_label_table`; the last label of a payment counts.

    Raises:
        RulesError: it must not be published.
        TrainingError: a file cannot be read, or there is no decision.
    """
    table, now = champion_features(publication.target()), now_ms()
    check(rule_set, table, now)
    known: dict[str, int] = {}
    if labels:
        latest = read_label_table(labels).sort_values("label_time", kind="stable")
        known = dict(zip(latest["transaction_id"], latest["is_fraud"].astype(int), strict=True))
    return backtest(rule_set, table, read_decisions(logs), known, now)


def backtest(rule_set: RuleSet, table: FeatureTable, decisions: Iterable[Decision],
             labels: Mapping[str, int], now: int) -> Backtest:
    """Apply a rule set to logged decisions, as if its dry runs were in force.

    Args:
        table: the features of the model that made the decisions.
        labels: 0 or 1 by transaction_id.
        now: ms since the epoch; what has expired by then does nothing.

    Raises:
        TrainingError: there are no decisions.
    """
    tried = replace(rule_set, rules=tuple(replace(rule, dry_run=False)
                                          for rule in rule_set.rules))
    result = Backtest({name: Hits() for name in (
        *(f"list:{name}" for name in LIST_DECISIONS if _is_used(name, rule_set)),
        *(f"rule:{rule.name}" for rule in rule_set.rules))})
    rules = Rules(tried)
    remaining = _once_each(decisions)
    while lines := list(islice(remaining, BATCH)):
        scored = [_scored(line) for line in lines]
        rulings = rules.rulings(scored, table.names, now)
        for line, each, ruling in zip(lines, scored, rulings, strict=True):
            _count(result, line, each.decision, ruling, labels.get(line.transaction_id))
    if not result.payments:
        raise TrainingError("the decision logs hold no decision; name the logs of some days")
    return result


def _is_used(name: str, rule_set: RuleSet) -> bool:
    return any(entry.list == name for entry in rule_set.entries)


def _once_each(decisions: Iterable[Decision]) -> Iterator[Decision]:
    seen: set[str] = set()
    for decision in decisions:
        if decision.transaction_id not in seen:
            seen.add(decision.transaction_id)
            yield decision


def _scored(line: Decision) -> ScoredPayment:
    return ScoredPayment(line, line.origin, line.destination, line.features,
                         line.model_decision or line.decision, line.reasons)


def _count(result: Backtest, line: Decision, of_model: str, ruling: Ruling,
           label: int | None) -> None:
    result.first = min(result.first or line.event_time, line.event_time)
    result.last = max(result.last, line.event_time)
    result.payments += 1
    result.labelled += label is not None
    result.model[of_model] += 1
    result.together[ruling.decision] += 1
    for name in ruling.applied:
        hits = result.hits[name]
        hits.payments += 1
        hits.alerts_of_model += of_model != "approve"
        if of_model == "approve" and name != "list:allow":
            amount = line.amount_cents / 100
            hits.frauds_caught += label == 1
            hits.fraud_money += amount * (label == 1)
            hits.legitimate += label == 0
            hits.legitimate_money += amount * (label == 0)


def report(result: Backtest) -> str:
    """Return the result as text: a line for each rule and list, and the decisions a day."""
    lines = [f"{result.payments:,} payments in {result.days:,.1f} days, {result.labelled:,} of "
             "them labelled", "",
             f"{'':<36}{'hits':>10}{'model':>10}{'frauds':>8}{'money':>16}{'legitimate':>12}"
             f"{'money':>16}",
             f"{'':<36}{'a day':>10}{'agrees':>10}{'gained':>8}{'gained':>16}{'hit':>12}"
             f"{'hit':>16}"]
    for name, hits in result.hits.items():
        share = f"{hits.alerts_of_model / hits.payments:.0%}" if hits.payments else ""
        lines.append(f"{name:<36}{hits.payments / result.days:>10,.1f}{share:>10}"
                     f"{hits.frauds_caught:>8,}{hits.fraud_money:>16,.2f}{hits.legitimate:>12,}"
                     f"{hits.legitimate_money:>16,.2f}")
    lines += ["", f"{'a day':<36}{'reviews':>10}{'declines':>10}"]
    for title, counts in (("model alone", result.model), ("with lists and rules", result.together)):
        lines.append(f"{title:<36}{counts['review'] / result.days:>10,.1f}"
                     f"{counts['decline'] / result.days:>10,.1f}")
    return "\n".join(lines)
