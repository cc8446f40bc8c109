"""Drift of payments and scores, column by column, between like hours of the week.

Drift is reported when a change is both statistically significant and large enough to matter.
Significance is a test for each column, corrected for their number by the false discovery rate
(Y. Benjamini, Y. Hochberg, "Controlling the false discovery rate", 1995). Size is the share of
payments that would have to move to make both distributions equal: the Kolmogorov-Smirnov distance
of numbers, the total variation distance of categories. What is not known is one more category, or
a number below all others. With a million payments every difference is significant, and with two
thousand every difference looks large.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pandas as pd
from scipy import stats

from fraud import clock
from monitoring.settings import LeastShare, ReportSettings

MONDAY = 72                 # hours from a Monday to the epoch, a Thursday
WEEK = 168                  # hours
CATEGORIES = ("type", "empties_account", "exceeds_balance")      # all others are numbers
PAYMENT_COLUMNS = ("amount", "type")


class Column(msgspec.Struct, frozen=True):
    """The result for one column."""

    name: str
    share_moved: float      # of payments: 0 equal distributions, 1 disjoint ones
    least_share: float      # from which a change matters
    p_value: float          # of the difference under chance
    q_value: float          # the same, corrected for the number of columns
    drifted: bool


class DriftWindow(msgspec.Struct, frozen=True):
    """The course of drift: payments of consecutive days, compared with the whole reference."""

    first_time: int         # of a payment, ms since the epoch
    last_time: int
    payments: int
    share_moved: dict[str, float]       # by column


class Drift(msgspec.Struct, frozen=True):
    """The result for all columns; `why` says that there is too little data."""

    payments: int           # on each side, in like hours
    hours_of_week: int      # present on both sides
    columns: list[Column]   # most moved first; empty with too little data
    windows: list[DriftWindow]      # in order of time; empty with too little data
    why: str = ""

    @property
    def share(self) -> float:
        """The share of the columns, without the score, that drifted."""
        of_data = [column.drifted for column in self.columns if column.name != "score"]
        return sum(of_data) / len(of_data) if of_data else 0.0


def compared_columns(features: Sequence[str]) -> list[str]:
    """Return the columns that are compared.

    Like hours are compared, and the type is one column rather than one for each type.

    Args:
        features: names of the model's features.
    """
    return [*(name for name in features if name != "hour_of_day" and not name.startswith("is_")),
            "type", "score"]


def like_hours(reference: np.ndarray, current: np.ndarray, seed: int
               ) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in both sides, equally many for each hour of the week.

    Args:
        reference, current: event_time in ms since the epoch, of any lengths.
    """
    rng = np.random.default_rng(seed)
    reference_hours, current_hours = map(_hour_of_week, (reference, current))
    counts = np.minimum(np.bincount(reference_hours, minlength=WEEK),
                        np.bincount(current_hours, minlength=WEEK))
    return _draw(reference_hours, counts, rng), _draw(current_hours, counts, rng)


def _hour_of_week(times: np.ndarray) -> np.ndarray:
    return (times // clock.HOUR_MS + MONDAY) % WEEK


def _draw(hours: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return positions of `counts[h]` random rows of each hour h, in their order."""
    shuffled = rng.permutation(hours.size)
    ordered = shuffled[np.argsort(hours[shuffled], kind="stable")]
    starts = np.searchsorted(hours[ordered], np.arange(WEEK))
    rank = np.arange(hours.size) - starts[hours[ordered]]
    return np.sort(ordered[rank < counts[hours[ordered]]])


def compare(reference: pd.DataFrame, current: pd.DataFrame, features: Sequence[str],
            settings: ReportSettings) -> Drift:
    """Compare payments of like hours, from `like_hours`: tables of equal length.

    Args:
        features: names of the model's features.
    """
    rows, least = len(current), settings.drift.min_payments
    hours = np.unique(_hour_of_week(current["event_time"].to_numpy())).size
    if rows < least:
        return Drift(rows, hours, [], [], f"{rows:,} payments are in hours of the week that the "
                                          f"reference has too; {least:,} are needed")
    moved = _moved(reference, current, features)
    q_values = stats.false_discovery_control([p for _, p in moved.values()])
    columns = [_column(name, share, p, float(q), settings)
               for (name, (share, p)), q in zip(moved.items(), q_values, strict=True)]
    columns.sort(key=lambda column: -column.share_moved)
    return Drift(rows, hours, columns, _windows(reference, current, features, least))


def _windows(reference: pd.DataFrame, current: pd.DataFrame, features: Sequence[str], least: int
             ) -> list[DriftWindow]:
    """Compare the current payments window by window, each in its own hours of the week.

    A window is a day, or as many days as have `least` payments: among fewer, chance alone moves a
    share that would matter.
    """
    windows = _window_of_day(current["event_time"].to_numpy() // clock.DAY_MS, least)
    hour = _hour_of_week(reference["event_time"].to_numpy())
    compared = []
    for _, part in current.groupby(windows):
        times = part["event_time"].to_numpy()
        like = reference[np.isin(hour, _hour_of_week(times))]
        moved = {name: share for name, (share, _) in _moved(like, part, features).items()}
        compared.append(DriftWindow(int(times.min()), int(times.max()), len(part), moved))
    return compared


def _window_of_day(day: np.ndarray, least: int) -> np.ndarray:
    """Return the index of each payment's window; a rest of fewer than `least` joins the last."""
    days, position, counts = np.unique(day, return_inverse=True, return_counts=True)
    window, index, filled = np.zeros(days.size, np.int64), 0, 0
    for at, count in enumerate(counts):
        window[at] = index
        filled += count
        if filled >= least and counts[at + 1:].sum() >= least:
            index, filled = index + 1, 0
    return window[position]


def _moved(reference: pd.DataFrame, current: pd.DataFrame, features: Sequence[str]
           ) -> dict[str, tuple[float, float]]:
    """Return the share moved and the p value of each column."""
    return {name: (_categories if name in CATEGORIES else _numbers)(reference[name], current[name])
            for name in compared_columns(features)}


def _column(name: str, share: float, p_value: float, q_value: float,
            settings: ReportSettings) -> Column:
    least = _least(name, settings.least_share)
    drifted = q_value <= settings.drift.false_discovery_rate and share >= least
    return Column(name, share, least, p_value, q_value, drifted)


def _least(name: str, shares: LeastShare) -> float:
    if name == "score":
        return shares.score
    return shares.payment if name in PAYMENT_COLUMNS else shares.account


def _numbers(reference: pd.Series, current: pd.Series) -> tuple[float, float]:
    levels = (side.fillna(-np.inf) for side in (reference, current))    # NaN: not known
    test = stats.ks_2samp(*levels, method="asymp")
    return float(test.statistic), float(test.pvalue)


def _categories(reference: pd.Series, current: pd.Series) -> tuple[float, float]:
    counts = pd.concat([side.value_counts(dropna=False) for side in (reference, current)],
                       axis=1).fillna(0)
    counts = counts[counts.sum(axis=1) > 0].to_numpy()
    shares = counts / counts.sum(axis=0)
    share = float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2)
    return share, float(stats.chi2_contingency(counts).pvalue) if len(counts) > 1 else 1.0
