"""Figures for the lead: the queue by day, people, and money stopped and missed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from desk.tables import CLOSED, OPEN, REVIEW, Case, DecidedPayment, Person
from fraud.clock import DAY_MS, HOUR_MS, utc_day

DAYS = 30
Z = 1.96                # of a 95 % interval
RESAMPLES = 1_000
LARGEST = 20            # disagreements that are listed


@dataclass(frozen=True)
class QueueDay:
    """A day, UTC, of the reviews."""

    day: str
    opened: int
    fraud: int
    legitimate: int
    unsure: int
    hours: float | None         # median from the payment's decision to that of a person
    backlog: int                # open at the end of the day

    @property
    def precision(self) -> float | None:
        """The share of frauds among the reviews with a label."""
        labelled = self.fraud + self.legitimate
        return self.fraud / labelled if labelled else None


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; `sample` is the number of labels that it rests on."""

    value: float
    low: float
    high: float
    sample: int


def queue_days(session: Session, now: int) -> list[QueueDay]:
    """Return the last `DAYS` days of the reviews, the oldest first."""
    today = now // DAY_MS
    days = range(today - DAYS + 1, today + 1)
    start = days[0] * DAY_MS
    opened_day = Case.opened_at // DAY_MS
    opened = {int(day): count for day, count in session.execute(
        select(opened_day, func.count()).where(Case.kind == REVIEW, Case.opened_at >= start)
        .group_by(opened_day))}
    outcomes: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    hours: dict[int, list[float]] = defaultdict(list)
    for opened_at, decided_at, outcome in session.execute(
            select(Case.opened_at, Case.decided_at, Case.outcome).where(
                Case.kind == REVIEW, Case.status == CLOSED, Case.decided_at >= start)):
        if decided_at and outcome:
            outcomes[decided_at // DAY_MS][outcome] += 1
            hours[decided_at // DAY_MS].append((decided_at - opened_at) / HOUR_MS)
    backlog = session.scalar(select(func.count()).select_from(Case).where(
        Case.kind == REVIEW, Case.status != CLOSED)) or 0
    result = []
    for day in reversed(days):          # the backlog is known today, and followed back
        counts = outcomes[day]
        result.append(QueueDay(
            utc_day(day * DAY_MS), opened.get(day, 0), counts["fraud"], counts["legitimate"],
            counts["unsure"], median(hours[day]) if hours[day] else None, max(backlog, 0)))
        backlog += sum(counts.values()) - opened.get(day, 0)
    return result[::-1]


def wilson(hits: int, total: int) -> Estimate:
    """Return a share with Wilson's interval (1927)."""
    if not total:
        return Estimate(0.0, 0.0, 1.0, 0)
    share = hits / total
    centre = (share + Z**2 / (2 * total)) / (1 + Z**2 / total)
    half = Z / (1 + Z**2 / total) * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    return Estimate(share, max(centre - half, 0.0), min(centre + half, 1.0), total)


def labels_by_person(session: Session, since: int) -> list[tuple[str, str, str, int]]:
    """Return name, kind of case, outcome and number of decisions."""
    rows = session.execute(
        select(Person.name, Case.kind, Case.outcome, func.count())
        .join(Person, Person.id == Case.decided_by)
        .where(Case.status == CLOSED, Case.decided_at >= since)
        .group_by(Person.name, Case.kind, Case.outcome).order_by(Person.name))
    return [(name, kind, outcome or "", count) for name, kind, outcome, count in rows]


def money(session: Session, since: int) -> dict[str, Estimate]:
    """Return the money of frauds, in currency units, since a moment.

    Reviews are all looked at: their sum is of labelled cases. Of approvals and declines a sample
    is: the sum is estimated from it, with a bootstrap interval.
    """
    counts = {decision: count for decision, count in session.execute(
        select(DecidedPayment.decision, func.count())
        .where(DecidedPayment.decided_at >= since).group_by(DecidedPayment.decision))}
    amounts: dict[str, list[float]] = defaultdict(list)
    for kind, outcome, cents in session.execute(
            select(Case.kind, Case.outcome, Case.amount_cents).where(
                Case.status == CLOSED, Case.outcome.in_(("fraud", "legitimate")),
                Case.opened_at >= since)):
        amounts[kind].append(cents / 100 if outcome == "fraud" else 0.0)
    stopped = sum(amounts[REVIEW])
    return {
        "stopped by reviews": Estimate(stopped, stopped, stopped, len(amounts[REVIEW])),
        "stopped by declines": total(amounts["decline"], counts.get("decline", 0)),
        "missed in approvals": total(amounts["approve"], counts.get("approve", 0))}


def total(sample: list[float], population: int) -> Estimate:
    """Estimate the sum of a population from a sample, with a bootstrap interval."""
    if not sample:
        return Estimate(0.0, 0.0, math.inf if population else 0.0, 0)
    values = np.asarray(sample)
    chance = np.random.default_rng(0)
    means = [float(chance.choice(values, len(values)).mean()) for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(values.mean()) * population, float(low) * population,
                    float(high) * population, len(sample))


def disagreements(session: Session, since: int) -> tuple[
        list[tuple[str, str, int]], Sequence[Row[DecidedPayment, int]]]:
    """Return champion's decision, challenger's and the number of payments.

    Also returns the payments with the largest amounts, each with the id of its case or None.
    """
    differ = (DecidedPayment.shadow_decision.is_not(None), DecidedPayment.decided_at >= since,
              DecidedPayment.shadow_decision != DecidedPayment.decision)
    rows = session.execute(
        select(DecidedPayment.decision, DecidedPayment.shadow_decision, func.count())
        .where(*differ).group_by(DecidedPayment.decision, DecidedPayment.shadow_decision))
    pairs = [(decision, shadow or "", count) for decision, shadow, count in rows]
    largest = session.execute(
        select(DecidedPayment, Case.id).outerjoin(
            Case, Case.transaction_id == DecidedPayment.transaction_id)
        .where(*differ).order_by(DecidedPayment.amount_cents.desc()).limit(LARGEST)).all()
    return pairs, largest


def backlog_by_age(session: Session, now: int) -> list[tuple[str, int]]:
    """Return the open reviews by the day on which they were opened."""
    day = Case.opened_at // DAY_MS
    rows = session.execute(select(day, func.count()).where(
        Case.status == OPEN, Case.kind == REVIEW).group_by(day).order_by(day))
    return [(utc_day(int(number) * DAY_MS), count) for number, count in rows]
