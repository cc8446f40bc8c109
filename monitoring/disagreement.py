"""Agreement of a challenger with the champion: decisions, money, days, largest differences."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import pandas as pd

from fraud.clock import DAY_MS
from monitoring.windows import OUTCOMES

LARGEST = 20        # disagreements that are shown
AMOUNTS = (100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0)     # borders, currency units


class Agreement(msgspec.Struct, frozen=True):
    """A group of payments, by the decision of the challenger next to the champion's."""

    group: str
    payments: int
    stricter: int           # the challenger's decision is stricter
    laxer: int

    @property
    def same_share(self) -> float:
        """The share of the payments with the same decision."""
        return 1 - (self.stricter + self.laxer) / self.payments


class OneSided(msgspec.Struct, frozen=True):
    """Payments that one version alone stops, by label; money in currency units."""

    stops: str              # decline, or alert: decline or review
    version: str            # champion or challenger
    frauds: int
    fraud_money: float
    legitimate: int
    legitimate_money: float
    unlabelled: int
    unlabelled_money: float


class Disagreement(msgspec.Struct, frozen=True):
    """A payment on which the versions decide differently."""

    transaction_id: str
    event_time: int
    type: str
    amount: float
    score: float
    challenger_score: float
    decision: str
    challenger_decision: str
    is_fraud: int | None        # None: not labelled


def decision_counts(payments: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the number of payments by the champion's decision, then by the challenger's.

    Args:
        payments: here and below, see `ShadowedPayments`; with is_fraud (null: unlabelled).
    """
    counts = pd.crosstab(payments["decision"], payments["challenger_decision"], dropna=False)
    return {ours: {theirs: int(counts.loc[ours, theirs]) for theirs in OUTCOMES}
            for ours in OUTCOMES}


def by_type(payments: pd.DataFrame) -> list[Agreement]:
    """Return the agreement by type of payment."""
    return list(_agreements(payments, payments["type"].to_numpy()))


def by_amount(payments: pd.DataFrame) -> list[Agreement]:
    """Return the agreement by amount, from the lowest."""
    names = [f"below {AMOUNTS[0]:,.0f}",
             *(f"{low:,.0f} to {high:,.0f}" for low, high in zip(AMOUNTS, AMOUNTS[1:],
                                                                 strict=False)),
             f"from {AMOUNTS[-1]:,.0f}"]
    bands = np.searchsorted(AMOUNTS, payments["amount"].to_numpy(), side="right")
    return [msgspec.structs.replace(agreement, group=names[int(agreement.group)])
            for agreement in _agreements(payments, bands)]


def by_day(payments: pd.DataFrame) -> list[Agreement]:
    """Return the agreement by UTC day; the group is its start, ms since the epoch."""
    return list(_agreements(payments, payments["event_time"].to_numpy() // DAY_MS * DAY_MS))


def _agreements(payments: pd.DataFrame, groups: np.ndarray) -> Iterator[Agreement]:
    """Give the agreement of each group, in the groups' order."""
    ours, theirs = (payments[name].cat.codes.to_numpy(np.int64)       # in order of strictness
                    for name in ("decision", "challenger_decision"))
    table = pd.DataFrame({"payments": True, "stricter": theirs > ours, "laxer": theirs < ours})
    for group, row in table.groupby(groups).sum().iterrows():
        yield Agreement(str(group), *map(int, row))


def one_sided(payments: pd.DataFrame) -> list[OneSided]:
    """Return the payments that one of the versions declines, or alerts on, and the other not."""
    label, amount = payments["is_fraud"].to_numpy(float, na_value=np.nan), payments["amount"]
    results = []
    for stops, decisions in (("decline", ["decline"]), ("alert", ["review", "decline"])):
        ours, theirs = (payments[name].isin(decisions).to_numpy()
                        for name in ("decision", "challenger_decision"))
        for version, alone in (("challenger", theirs & ~ours), ("champion", ours & ~theirs)):
            figures: list[float] = []
            for members in (alone & (label == 1), alone & (label == 0), alone & np.isnan(label)):
                figures += [int(members.sum()), float(amount[members].sum())]
            results.append(OneSided(stops, version, *figures))     # type: ignore[arg-type]
    return results


def largest(payments: pd.DataFrame) -> list[Disagreement]:
    """Return the payments of different decisions whose scores differ most, larger amounts first."""
    different = payments[payments["decision"].astype(str)
                         != payments["challenger_decision"].astype(str)]
    apart = (different["challenger_score"] - different["score"]).abs()
    order = different.assign(apart=apart).sort_values(
        ["apart", "amount", "transaction_id"], ascending=[False, False, True], kind="stable")
    return [Disagreement(
        row.transaction_id, int(row.event_time), row.type, float(row.amount), float(row.score),
        float(row.challenger_score), row.decision, row.challenger_decision,
        None if pd.isna(row.is_fraud) else int(row.is_fraud))
        for row in order.head(LARGEST).itertuples()]
