"""How good decisions were, on payments that have a verdict: declined is to have called it fraud."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

from fraud.training import evaluation, incidents
from monitoring.settings import ReportSettings


class Measured(msgspec.Struct, frozen=True):
    """One period."""

    labelled: int
    frauds: int
    f1: float
    f1_low: float               # the 95 % interval, see `evaluation.f1_interval`
    f1_high: float
    precision: float
    recall: float
    money_stopped: float        # currency units, by incident, see `incidents.outcome`
    money_missed: float
    minutes_to_detection: float | None      # median; None where no incident was stopped


class Performance(msgspec.Struct, frozen=True):
    """The present against the reference; `why` where there is too little to say anything."""

    current: Measured | None
    reference: Measured | None      # None where the reference has no verdicts
    labelled_share: float           # of the payments
    unjudged_share: float           # of the declined payments, those without a verdict
    why: str = ""

    @property
    def f1_fall(self) -> float:
        """How much lower than in the reference F1 is at least: the upper end of its interval.

        0 where either is not known.
        """
        if self.current is None or self.reference is None:
            return 0.0
        return self.reference.f1 - self.current.f1_high


def measure(judged: pd.DataFrame, seed: int) -> Measured:
    """Measure payments with verdicts, among them at least one fraud and one other.

    Args:
        judged: event_time, amount, decision, is_fraud, incident_id (null: one of its own).
    """
    judged = judged.sort_values("event_time", kind="stable")
    label = judged["is_fraud"].to_numpy(np.int8)
    flagged = (judged["decision"] == "decline").to_numpy()
    names = judged["incident_id"].astype(object).to_numpy()
    incident = np.where(pd.isna(names), [f"row {row}" for row in range(len(judged))], names)
    fraud, found = label == 1, int((flagged & (label == 1)).sum())
    low, high = evaluation.f1_interval(flagged, label, incident, seed)
    outcome = incidents.outcome(
        incident[fraud], judged["event_time"].to_numpy()[fraud],
        judged["amount"].to_numpy()[fraud], flagged[fraud])
    minutes = outcome.median_minutes_to_detection
    return Measured(
        labelled=len(judged), frauds=int(fraud.sum()),
        f1=2 * found / (int(flagged.sum()) + int(fraud.sum())), f1_low=low, f1_high=high,
        precision=found / max(1, int(flagged.sum())), recall=found / int(fraud.sum()),
        money_stopped=outcome.money_stopped, money_missed=outcome.money_missed,
        minutes_to_detection=None if np.isnan(minutes) else minutes)


def enough(judged: pd.DataFrame, settings: ReportSettings) -> str:
    """Why so many verdicts are too few to measure; empty where they are enough."""
    least, frauds = settings.performance, int((judged["is_fraud"] == 1).sum())
    if len(judged) < least.min_labelled:
        return f"{len(judged):,} payments have a verdict; {least.min_labelled:,} are needed"
    if frauds < least.min_frauds:
        return f"{frauds:,} payments are known as fraud; {least.min_frauds:,} are needed"
    return ""
