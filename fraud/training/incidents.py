"""What a decision means for money: frauds as the incidents that they are part of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Outcome(NamedTuple):
    """What became of all incidents of a period; money in currency units."""

    incidents: int
    stopped: int                      # incidents of which at least one payment was flagged
    money_stopped: float
    money_missed: float
    median_minutes_to_detection: float     # from an incident's first payment; nan if none stopped


def outcome(incident: np.ndarray, event_time: np.ndarray, amount: np.ndarray,
            flagged: np.ndarray) -> Outcome:
    """Follow each incident to the first of its payments that is flagged.

    Payments before it are missed, it is stopped, and later ones count nothing: they would not have
    happened.

    Args:
        incident: names; event_time: ms; amount: currency units; flagged: bool. Of frauds only, in
            event order, shape (n,).
    """
    stopped_at: dict[str, float] = {}
    began: dict[str, float] = {}
    stopped = missed = 0.0
    for name, time, money, caught in zip(incident, event_time, amount, flagged):
        began.setdefault(name, time)
        if name in stopped_at:
            continue
        if caught:
            stopped_at[name] = (time - began[name]) / 60_000
            stopped += money
        else:
            missed += money
    minutes = float(np.median(list(stopped_at.values()))) if stopped_at else float("nan")
    return Outcome(len(began), len(stopped_at), float(stopped), float(missed), minutes)
