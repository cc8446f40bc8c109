"""Decisions and labels by day: alerts, incidents and money, precision and recall."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd

from fraud import clock
from fraud.training.evaluation.incidents import IncidentOutcomes, incident_outcomes

COLUMNS = ["event_time", "amount", "decision", "is_fraud", "incident_id"]


class DayOutcomes(msgspec.Struct, frozen=True):
    """One UTC day. An incident and all of its money belong to the day on which it began."""

    start: int                  # ms since the epoch
    payments: int
    declines: int
    reviews: int
    labelled: int               # payments with a label; the rest counts only these
    labelled_declines: int
    labelled_reviews: int
    frauds: int
    declined_frauds: int
    reviewed_frauds: int
    incidents_stopped: int
    incidents_missed: int
    money_stopped: float        # currency units, see `incidents.incident_outcomes`
    money_missed: float

    @property
    def decline_precision(self) -> float | None:
        """The share of fraud among the declines; None without any."""
        return _share(self.declined_frauds, self.labelled_declines)

    @property
    def decline_recall(self) -> float | None:
        """The share of the frauds that was declined; None without frauds."""
        return _share(self.declined_frauds, self.frauds)

    @property
    def review_precision(self) -> float | None:
        """The share of fraud among the reviews; None without any."""
        return _share(self.reviewed_frauds, self.labelled_reviews)

    @property
    def review_recall(self) -> float | None:
        """The share of the frauds that was reviewed, not declined; None without frauds."""
        return _share(self.reviewed_frauds, self.frauds)


def by_day(payments: pd.DataFrame) -> list[DayOutcomes]:
    """Return the days that have payments, in order.

    Args:
        payments: event_time, amount, decision, is_fraud (null: unlabelled), incident_id (null: a
            separate one).
    """
    payments = payments[COLUMNS].sort_values("event_time", kind="stable")
    labelled = payments["is_fraud"].notna().to_numpy()
    fraud = payments["is_fraud"].eq(1).fillna(False).to_numpy(bool)
    declined, reviewed = ((payments["decision"] == name).to_numpy()
                          for name in ("decline", "review"))
    start = payments["event_time"].to_numpy() // clock.DAY_MS * clock.DAY_MS
    counts = pd.DataFrame({
        "payments": True, "declines": declined, "reviews": reviewed, "labelled": labelled,
        "labelled_declines": labelled & declined, "labelled_reviews": labelled & reviewed,
        "frauds": fraud, "declined_frauds": fraud & declined, "reviewed_frauds": fraud & reviewed,
    }).groupby(start).sum()
    outcomes, none = _incidents(payments[fraud]), IncidentOutcomes(0, 0, 0.0, 0.0, math.nan)
    results = []
    for day, row in counts.to_dict("index").items():
        incidents = outcomes.get(day, none)
        results.append(DayOutcomes(
            start=day, **row, incidents_stopped=incidents.stopped,
            incidents_missed=incidents.incidents - incidents.stopped,
            money_stopped=incidents.money_stopped, money_missed=incidents.money_missed))
    return results


def total(days: Sequence[DayOutcomes]) -> DayOutcomes:
    """Return the sum of one or more days, as one that starts with the first."""
    sums = map(sum, zip(*map(msgspec.structs.astuple, days), strict=True))
    return msgspec.structs.replace(DayOutcomes(*sums), start=days[0].start)


def incident_names(payments: pd.DataFrame) -> np.ndarray:
    """Return the incident of each payment; without an incident_id it is a separate one."""
    names = payments["incident_id"].astype(object).to_numpy()
    return np.where(pd.isna(names), [f"row {row}" for row in range(len(payments))], names)


def _incidents(frauds: pd.DataFrame) -> dict[int, IncidentOutcomes]:
    """Return the outcomes of incidents by the start of the day on which they began.

    Args:
        frauds: in order of time.
    """
    names = incident_names(frauds)
    began = frauds["event_time"].groupby(names).transform("first") // clock.DAY_MS * clock.DAY_MS
    return {day: incident_outcomes(
        part["incident"].to_numpy(), part["event_time"].to_numpy(), part["amount"].to_numpy(),
        (part["decision"] == "decline").to_numpy())
        for day, part in frauds.assign(incident=names).groupby(began)}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
