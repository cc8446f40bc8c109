"""Backtest of thresholds: what another policy would have made of logged decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec.structs import replace

from fraud.bundle import Policy, Thresholds
from fraud.clock import DAY_MS
from fraud.decision import SCORED_BY_MODEL
from fraud.training.decision_log import read_decisions
from fraud.training.errors import TrainingError
from fraud.training.evaluation.incidents import incident_outcomes
from fraud.training.evaluation.thresholds import with_review
from fraud.training.features.splits import Traffic
from fraud.training.label_table import read_label_table

DECISIONS = ("approve", "review", "decline")
UNLABELLED = -1


class ScoredLine(msgspec.Struct):
    """The fields of a decision line that a policy needs."""

    transaction_id: str
    event_time: int
    amount_cents: int
    history: str
    score: float
    model_digest: str


class LoggedScores(NamedTuple):
    """Payments that one model scored, not its fallback, in event order: arrays of one length n."""

    score: np.ndarray           # float64
    amount: np.ndarray          # currency units, float64
    event_time: np.ndarray      # ms, int64
    label: np.ndarray           # 0, 1 or UNLABELLED
    incident: np.ndarray        # its name, or the payment's id
    left_out: Counter[str]      # decisions that other thresholds apply to

    @property
    def days(self) -> int:
        """The length in days, rounded, at least 1."""
        return max(1, round(int(self.event_time[-1] - self.event_time[0]) / DAY_MS))

    @property
    def day(self) -> np.ndarray:
        """The day of each payment, 0 to days - 1: equal parts of the time."""
        since = self.event_time - self.event_time[0]
        return since * self.days // (since[-1] + 1)


class PolicyOutcome(NamedTuple):
    """The effect of thresholds on logged payments; money in currency units, by incident."""

    reviews_per_day: float
    declines_per_day: float
    busiest_day: int            # its reviews and declines
    precision: float            # of reviews and declines; nan without a labelled one
    recall: float               # the share of frauds; nan without frauds
    money_stopped: float
    money_missed: float
    legitimate_declined: int


class PolicyChange(NamedTuple):
    """Other thresholds; None stays as it is."""

    review: float | None = None
    decline: float | None = None
    review_by: str | None = None
    decline_from: float | None = None
    alerts_per_day: float | None = None     # sets `review` unless it is given


def read_scores(logs: Sequence[str], labels: Path | None, model_digest: str) -> LoggedScores:
    """Read the decisions of a model from decision logs.

    Args:
        labels: see `label_table.read_label_table`; the last label of a payment counts.
        model_digest: sha256 of its bundle.json; scores of other models are not comparable.

    Raises:
        TrainingError: a file cannot be read, or there is no such decision.
    """
    lines: dict[str, ScoredLine] = {}
    left_out: Counter[str] = Counter()
    for line in read_decisions(logs, ScoredLine):
        if line.model_digest != model_digest:
            left_out["by another version"] += 1
        elif line.history not in SCORED_BY_MODEL:
            left_out["by the fallback"] += 1
        else:
            lines.setdefault(line.transaction_id, line)
    if not lines:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise TrainingError(f"{', '.join(logs) or '--decisions'}: no decision of this version with "
                            f"history ({reasons or 'no decisions'}); name its decision logs")
    known = _labels(labels) if labels else {}
    ordered = sorted(lines.values(), key=lambda line: line.event_time)
    labelled = [known.get(line.transaction_id, (UNLABELLED, line.transaction_id))
                for line in ordered]
    return LoggedScores(
        np.array([line.score for line in ordered]),
        np.array([line.amount_cents for line in ordered]) / 100,
        np.array([line.event_time for line in ordered]),
        np.array([label for label, _ in labelled]),
        np.array([incident for _, incident in labelled]), left_out)


def _labels(path: Path) -> Mapping[str, tuple[int, str]]:
    """Return label and incident by payment."""
    latest = read_label_table(path).sort_values("label_time", kind="stable")
    incident = latest["incident_id"].fillna(latest["transaction_id"])
    pairs = zip(latest["is_fraud"].astype(int), incident, strict=True)
    return dict(zip(latest["transaction_id"], pairs, strict=True))


def changed_policy(policy: Policy, change: PolicyChange, version: str,
                   scores: LoggedScores | None) -> Policy:
    """Return a policy with a change applied to the model's thresholds.

    Args:
        scores: on which `alerts_per_day` finds the review threshold, as training does.

    Raises:
        TrainingError: the thresholds are out of range, or there is nothing to search in.
    """
    given = {name: value for name, value in change._asdict().items() if value is not None}
    budget = given.pop("alerts_per_day", None)
    try:
        if budget is None or change.review is not None:
            model = replace(policy.model, **given)
        elif scores is None:
            raise TrainingError("--alerts-per-day needs --decisions to find the review threshold; "
                                "name decision logs")
        else:
            traffic = Traffic(scores.amount, scores.day, scores.days)
            model = with_review(replace(policy.model, **{"review": 0.0, **given}), scores.score,
                                traffic, budget)
    except ValueError as error:
        raise TrainingError(f"these thresholds cannot be used: {error}") from error
    return replace(policy, version=version, model=model,
                   alerts_per_day=policy.alerts_per_day if budget is None else budget)


def outcome(thresholds: Thresholds, scores: LoggedScores) -> PolicyOutcome:
    """Return the effect of thresholds."""
    reviewed, declined = thresholds.alerts(scores.score, scores.amount)
    alert, fraud = reviewed | declined, scores.label == 1
    labelled_alerts = int((alert & (scores.label != UNLABELLED)).sum())
    caught, frauds = int((alert & fraud).sum()), int(fraud.sum())
    money = incident_outcomes(scores.incident[fraud], scores.event_time[fraud],
                              scores.amount[fraud], alert[fraud])
    return PolicyOutcome(
        int(reviewed.sum()) / scores.days, int(declined.sum()) / scores.days,
        int(np.bincount(scores.day[alert], minlength=1).max()),
        caught / labelled_alerts if labelled_alerts else float("nan"),
        caught / frauds if frauds else float("nan"),
        money.money_stopped, money.money_missed, int((declined & (scores.label == 0)).sum()))


def report(now: Policy, then: Policy, scores: LoggedScores) -> str:
    """Return the effects of two policies side by side, and the decisions that differ."""
    labelled, frauds = int((scores.label != UNLABELLED).sum()), int((scores.label == 1).sum())
    lines = [f"{scores.score.size:,} payments with history in {scores.days:,} days, "
             f"{labelled:,} of them labelled, {frauds:,} fraud"]
    if scores.left_out:
        lines.append("left out: " + ", ".join(f"{count:,} decided {reason}"
                                              for reason, count in scores.left_out.items()))
    pair = [policy.model for policy in (now, then)]
    effects = [outcome(thresholds, scores) for thresholds in pair]
    lines += ["", _row("policy", [policy.version for policy in (now, then)]),
              _row("review by", [each.review_by for each in pair]),
              _row("review from", [f"{each.review:,.4f}" for each in pair]),
              _row("decline from a score of", [f"{each.decline:.4f}" for each in pair]),
              _row("decline from an amount of", [f"{each.decline_from:,.2f}" for each in pair]), "",
              _row("reviews a day", [f"{each.reviews_per_day:,.1f}" for each in effects]),
              _row("declines a day", [f"{each.declines_per_day:,.1f}" for each in effects]),
              _row("alerts on the busiest day", [f"{each.busiest_day:,}" for each in effects])]
    if labelled:
        lines += [
            _row("precision of alerts", [f"{each.precision:.3f}" for each in effects]),
            _row("frauds caught", [f"{each.recall:.3f}" for each in effects]),
            _row("money stopped", [f"{each.money_stopped:,.2f}" for each in effects]),
            _row("money missed", [f"{each.money_missed:,.2f}" for each in effects]),
            _row("legitimate declined", [f"{each.legitimate_declined:,}" for each in effects])]
    return "\n".join([*lines, "", *_changes(now.model, then.model, scores)])


def _row(title: str, cells: Iterable[str]) -> str:
    return f"{title:<28}" + "".join(f"{cell:>18}" for cell in cells)


def _changes(now: Thresholds, then: Thresholds, scores: LoggedScores) -> list[str]:
    """Return a line for each kind of decision that changes."""
    decided = []
    for thresholds in (now, then):
        reviewed, declined = thresholds.alerts(scores.score, scores.amount)
        decided.append(reviewed + 2 * declined.astype(int))
    lines = [_row("decisions that change", ("fraud", "legitimate", "unlabelled"))]
    for before, name in enumerate(DECISIONS):
        for after, new_name in enumerate(DECISIONS):
            moved = scores.label[(decided[0] == before) & (decided[1] == after)]
            if before != after and moved.size:
                lines.append(_row(f"{name} to {new_name}", [
                    f"{int((moved == label).sum()):,}" for label in (1, 0, UNLABELLED)]))
    return lines if len(lines) > 1 else ["no decision changes"]
