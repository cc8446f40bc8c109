"""Whether payments and scores are distributed as they were: like hours of the week, column by
column.

Two things must hold before a column is said to drift. Chance must not explain the difference: a
test for each column, corrected for their number by the false discovery rate (Y. Benjamini,
Y. Hochberg, "Controlling the false discovery rate", 1995). And it must have weight: the share of
payments that would have to move to make both alike, which for numbers is the Kolmogorov-Smirnov
distance and for categories the total variation distance. Of a million payments every difference is
significant, and of two thousand every one looks large.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd
from scipy import stats

from fraud import features
from monitoring.settings import LeastShare, ReportSettings

HOUR = 3_600_000            # ms
MONDAY = 72                 # hours from a Monday to the epoch, a Thursday
WEEK = 168                  # hours
FLAGS = ("empties_account", "exceeds_balance")
# Hours are compared with like hours, and the type as one column rather than five.
NOT_COMPARED = {name for name in features.NAMES if features.GROUPS[name] in ("type", "time of day")}
CATEGORIES = ("type", *FLAGS)
NUMBERS = (*(name for name in features.NAMES if name not in NOT_COMPARED.union(FLAGS)), "score")
OF_A_PAYMENT = ("amount", "type")


class Column(msgspec.Struct, frozen=True):
    """What one column says."""

    name: str
    share_moved: float      # of payments: 0 both are alike, 1 they have nothing in common
    least_share: float      # from which it has weight
    p_value: float          # of the difference, if chance alone were at work
    q_value: float          # the same, corrected for the number of columns
    drifted: bool


class Drift(msgspec.Struct, frozen=True):
    """What all columns say; `why` where there is too little to say anything."""

    payments: int           # of each side, in like hours
    hours_of_week: int      # that both sides have
    columns: list[Column]   # drifted ones first, then most moved; empty where there is too little
    why: str = ""

    @property
    def share(self) -> float:
        """Of the columns, without the score, that drifted."""
        of_data = [column.drifted for column in self.columns if column.name != "score"]
        return sum(of_data) / len(of_data) if of_data else 0.0


def like_hours(reference: np.ndarray, current: np.ndarray, seed: int
               ) -> tuple[np.ndarray, np.ndarray]:
    """Positions in both, as many of each hour of the week from one as from the other.

    Args:
        reference, current: event_time in ms since the epoch, of any lengths.
    """
    rng = np.random.default_rng(seed)
    hours = [(times // HOUR + MONDAY) % WEEK for times in (reference, current)]
    counts = np.minimum(*(np.bincount(its, minlength=WEEK) for its in hours))
    return tuple(_drawn(its, counts, rng) for its in hours)


def _drawn(hours: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions of `counts[h]` of each hour h, at random, in their order."""
    shuffled = rng.permutation(hours.size)
    ordered = shuffled[np.argsort(hours[shuffled], kind="stable")]
    starts = np.searchsorted(hours[ordered], np.arange(WEEK))
    rank = np.arange(hours.size) - starts[hours[ordered]]
    return np.sort(ordered[rank < counts[hours[ordered]]])


def compare(reference: pd.DataFrame, current: pd.DataFrame, settings: ReportSettings) -> Drift:
    """Compare payments of like hours, see `like_hours`: tables of equal length."""
    rows, least = len(current), settings.drift.min_payments
    hours = np.unique(current["event_time"].to_numpy() // HOUR % WEEK).size
    if rows < least:
        return Drift(rows, hours, [], f"{rows:,} payments fall into hours of the week that the "
                                      f"reference has too; {least:,} are needed")
    moved = {name: _numbers(reference[name], current[name]) for name in NUMBERS} | {
        name: _categories(reference[name], current[name]) for name in CATEGORIES}
    q_values = stats.false_discovery_control([p for _, p in moved.values()])
    columns = [_column(name, share, p, float(q), settings)
               for (name, (share, p)), q in zip(moved.items(), q_values)]
    columns.sort(key=lambda column: (not column.drifted, -column.share_moved))
    return Drift(rows, hours, columns)


def _column(name: str, share: float, p_value: float, q_value: float,
            settings: ReportSettings) -> Column:
    least = _least(name, settings.least_share)
    drifted = q_value <= settings.drift.false_discovery_rate and share >= least
    return Column(name, share, least, p_value, q_value, drifted)


def _least(name: str, shares: LeastShare) -> float:
    if name == "score":
        return shares.score
    return shares.payment if name in OF_A_PAYMENT else shares.account


def _numbers(reference: pd.Series, current: pd.Series) -> tuple[float, float]:
    found = stats.ks_2samp(reference, current, method="asymp")
    return float(found.statistic), float(found.pvalue)


def _categories(reference: pd.Series, current: pd.Series) -> tuple[float, float]:
    counts = pd.concat([side.value_counts() for side in (reference, current)], axis=1).fillna(0)
    counts = counts[counts.sum(axis=1) > 0].to_numpy()
    shares = counts / counts.sum(axis=0)
    share = float(np.abs(shares[:, 0] - shares[:, 1]).sum() / 2)
    return share, float(stats.chi2_contingency(counts).pvalue) if len(counts) > 1 else 1.0
