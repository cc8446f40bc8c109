"""Performance of decisions on labelled payments; a decline counts as a prediction of fraud."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

from fraud.training.evaluation import incidents, metrics
from monitoring.days import incident_names
from monitoring.settings import ReportSettings


class Measured(msgspec.Struct, frozen=True):
    """The measurements of one period."""

    labelled: int
    frauds: int
    f1: float
    f1_low: float               # the 95 % interval, see `metrics.f1_interval`
    f1_high: float
    precision: float
    recall: float
    money_stopped: float        # currency units, by incident, see `incidents.incident_outcomes`
    money_missed: float
    incidents_stopped: int      # with a declined payment
    incidents_missed: int
    review_precision: float | None      # None without reviews
    review_recall: float        # share of the frauds that was reviewed, not declined
    minutes_to_detection: float | None      # median; None where no incident was stopped


class Performance(msgspec.Struct, frozen=True):
    """The current period and the reference; `why` says that there is too little data."""

    current: Measured | None
    reference: Measured | None      # None if the reference has no labels
    labelled_share: float           # of the payments
    unlabelled_share: float         # of the declined payments
    why: str = ""

    @property
    def f1_fall(self) -> float:
        """The least fall of F1 from the reference: by the upper end of its interval.

        0 if either is unknown.
        """
        if self.current is None or self.reference is None:
            return 0.0
        return self.reference.f1 - self.current.f1_high


def measure(labelled: pd.DataFrame, seed: int) -> Measured:
    """Measure labelled payments, among them at least one fraud and one other.

    Args:
        labelled: event_time, amount, decision, is_fraud, incident_id (null: a separate one).
    """
    labelled = labelled.sort_values("event_time", kind="stable")
    label = labelled["is_fraud"].to_numpy(np.int8)
    flagged = (labelled["decision"] == "decline").to_numpy()
    reviewed = (labelled["decision"] == "review").to_numpy()
    incident = incident_names(labelled)
    fraud, true_positives = label == 1, int((flagged & (label == 1)).sum())
    low, high = metrics.f1_interval(flagged, label, incident, seed)
    outcomes = incidents.incident_outcomes(
        incident[fraud], labelled["event_time"].to_numpy()[fraud],
        labelled["amount"].to_numpy()[fraud], flagged[fraud])
    minutes = outcomes.median_minutes_to_detection
    return Measured(
        labelled=len(labelled), frauds=int(fraud.sum()),
        f1=2 * true_positives / (int(flagged.sum()) + int(fraud.sum())), f1_low=low, f1_high=high,
        precision=true_positives / max(1, int(flagged.sum())),
        recall=true_positives / int(fraud.sum()),
        money_stopped=outcomes.money_stopped, money_missed=outcomes.money_missed,
        incidents_stopped=outcomes.stopped, incidents_missed=outcomes.incidents - outcomes.stopped,
        review_precision=float(fraud[reviewed].mean()) if reviewed.any() else None,
        review_recall=float(reviewed[fraud].mean()),
        minutes_to_detection=None if np.isnan(minutes) else minutes)


def shortage(labelled: pd.DataFrame, settings: ReportSettings) -> str:
    """Return why there are too few labels to measure; empty if there are enough."""
    least, frauds = settings.performance, int((labelled["is_fraud"] == 1).sum())
    if len(labelled) < least.min_labelled:
        return f"{len(labelled):,} payments are labelled; {least.min_labelled:,} are needed"
    if frauds < least.min_frauds:
        return f"{frauds:,} payments are labelled as fraud; {least.min_frauds:,} are needed"
    return ""
