"""Outcomes by incident: how much money a set of decisions stops and misses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud import clock

MINUTE_MS = clock.HOUR_MS / 60


class IncidentOutcomes(NamedTuple):
    """Outcomes of all incidents of a period; money in currency units."""

    incidents: int
    stopped: int                      # incidents with at least one flagged payment
    money_stopped: float
    money_missed: float
    median_minutes_to_detection: float     # from an incident's first payment; nan if none stopped


def incident_outcomes(incident: np.ndarray, event_time: np.ndarray, amount: np.ndarray,
                      flagged: np.ndarray) -> IncidentOutcomes:
    """Follow each incident to the first of its payments that is flagged.

    Payments before it are missed, it is stopped, and later ones count nothing: they would not have
    happened.

    Args:
        incident: names; event_time: ms; amount: currency units; flagged: bool. Frauds only, in
            event order, shape (n,).
    """
    stopped_at: dict[str, float] = {}
    began: dict[str, float] = {}
    stopped = missed = 0.0
    for name, time, money, is_flagged in zip(incident, event_time, amount, flagged, strict=True):
        began.setdefault(name, time)
        if name in stopped_at:
            continue
        if is_flagged:
            stopped_at[name] = (time - began[name]) / MINUTE_MS
            stopped += money
        else:
            missed += money
    minutes = float(np.median(list(stopped_at.values()))) if stopped_at else float("nan")
    return IncidentOutcomes(len(began), len(stopped_at), float(stopped), float(missed), minutes)
