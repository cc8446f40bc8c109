"""A simulated month with concept drift, and with labels that arrive days later.

`ramp` begins small and grows, payment by payment and day by day; `splitting` keeps each part below
a limit; `scam` makes the victim pay a normal amount to a new account.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd

from fraud import features
from fraud.feature_definitions import DAY as DAY_WINDOWS
from fraud.history import Claim
from fraud.inference import History, counts_before, rows_with_history
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.training.models.samples import LabelledSample
from fraud.training.simulate import drafts, episodes
from fraud.training.simulate.background import MONTH
from fraud.training.simulate.behaviour import Behaviour
from fraud.training.simulate.drafts import HOUR, DraftPayments, payments
from fraud.training.simulate.episodes import CASH_OUT, TRANSFER, WATCHED
from fraud.training.simulate.simulator import START, Simulation, simulate
from fraud.transaction import TYPES, Transaction

DAY = 24 * HOUR                 # ms
CHANGE, DAYS = 8, 31
REPLACED = 0.7                  # share of the known frauds after the change
RATE = 0.0012                   # incidents of the new kind for each payment of the month
LABEL_DELAY = 3 * DAY           # median
LABEL_DEVIATION = 0.5           # of its log
NEW_KIND = len(episodes.FRAUD_TYPES)
TRUE_LABELS = Behaviour(unreported=0, false_reports=0)


def ramp(starts, population, rng) -> list[DraftPayments]:
    """A part of the balance every half day, each larger than the one before."""
    n, legs = starts.size, 5
    mule = population.with_new(population.draw_customers(starts, rng), 0.5, rng)[:, None]
    victim = population.draw_others(mule[:, 0], 1, starts, rng)
    at = starts[:, None] + np.arange(legs) * rng.uniform(8, 14, (n, 1)) * HOUR
    share = np.linspace(0.05, 0.5, legs) * rng.uniform(0.7, 1.3, (n, 1))
    return [payments(at, TRANSFER, victim, mule, share, np.arange(n)[:, None], NEW_KIND)]


def splitting(starts, population, rng) -> list[DraftPayments]:
    """Six parts within an hour or two, each below a fifth of the limit that is watched."""
    n, legs = starts.size, 6
    mule = population.with_new(population.draw_customers(starts, rng), 0.5, rng)[:, None]
    victim = population.draw_others(mule[:, 0], 1, starts, rng)
    at = starts[:, None] + np.cumsum(rng.exponential(0.25 * HOUR, (n, legs)), axis=1)
    return [payments(at, TRANSFER, victim, mule, rng.uniform(0.1, 0.4, (n, legs)),
                     np.arange(n)[:, None], NEW_KIND, WATCHED // 5)]


def scam(starts, population, rng) -> list[DraftPayments]:
    """The victim pays a normal amount to an account that is new, which cashes out a day later."""
    n = starts.size
    mule = population.with_new(population.draw_customers(starts, rng), 0.5, rng)
    victim = population.draw_others(mule, 1, starts, rng)[:, 0]
    incident = np.arange(n)
    return [payments(starts, TRANSFER, victim, mule, rng.uniform(0.02, 0.2, n), incident,
                     NEW_KIND),
            payments(starts + rng.uniform(12, 36, n) * HOUR, CASH_OUT, mule,
                     population.agent_of(mule, rng), rng.uniform(0.7, 1.0, n), incident, NEW_KIND)]


KINDS = {"ramp": ramp, "splitting": splitting, "scam": scam}


def drifting_episodes(rows: int, population, rng, kind: str) -> DraftPayments:
    """Draw the episodes of a month in which a kind replaces most of the known frauds."""
    known = episodes.episodes(rows, population, rng)
    began = np.full(int(known.incident.max()) + 1, np.inf)
    fraud = known.incident >= 0
    np.minimum.at(began, known.incident[fraud], known.time[fraud])
    is_replaced = (began >= CHANGE * DAY) & (rng.random(began.size) < REPLACED)
    known = drafts.only(known, ~(fraud & is_replaced[known.incident]))
    chance = rng.random(max(1, round(rows * RATE * (DAYS - CHANGE) / DAYS)))
    if kind == "ramp":
        chance = np.sqrt(chance)        # more from day to day
    starts = CHANGE * DAY + chance * (MONTH - CHANGE * DAY)
    new = drafts.legs_together(KINDS[kind](starts, population, rng))
    return drafts.join([known, drafts.only(new, new.time < MONTH)])


class Month(NamedTuple):
    """A simulated month: arrays of one length, in event order."""

    features: np.ndarray        # float32, shape (payments, features)
    table: pd.DataFrame         # event_time, amount, is_fraud, label_time, incident_id, is_new

    def known_by(self, moment: float) -> np.ndarray:
        """Return a mask of the payments that had a label at a moment."""
        return (self.table["label_time"] <= moment).to_numpy()

    def labelled(self, where: np.ndarray) -> LabelledSample:
        """Return some payments with their labels."""
        return LabelledSample(self.features[where], self.table["is_fraud"].to_numpy()[where])

    def days(self, first: float, last: float) -> np.ndarray:
        """Return a mask of the payments from day `first` to before day `last`."""
        day = (self.table["event_time"].to_numpy() - START) / DAY
        return (first <= day) & (day < last)


def simulate_month(kind: str | None, rows: int, seed: int) -> Month:
    """Simulate a month in which fraud changes to a kind, or does not change."""
    draw = partial(drifting_episodes, kind=kind) if kind else episodes.episodes
    simulated = simulate(rows, seed, episodes=draw, behaviour=TRUE_LABELS)
    drawn, rng = simulated.payments, np.random.default_rng(seed)
    time = START + drawn.time.astype(np.int64)
    delay = LABEL_DELAY * rng.lognormal(0, LABEL_DEVIATION, time.size)
    fraud = drawn.incident >= 0
    incident = pd.Series(drawn.incident).where(fraud)
    return Month(_features(simulated, time), pd.DataFrame({
        "event_time": time, "amount": simulated.settled.amount / 100,
        "is_fraud": fraud.astype(np.int8), "label_time": _label_time(time, delay, incident),
        "incident_id": incident.astype("Int64").astype("string"),
        "is_new": drawn.fraud_type == NEW_KIND}))


def _label_time(time: np.ndarray, delay: np.ndarray, incident: pd.Series) -> np.ndarray:
    """Return label times; all payments of an incident are reported together, after its last."""
    groups = pd.DataFrame({"time": time, "delay": delay}).groupby(incident)
    last = groups["time"].transform("max").fillna(pd.Series(time, dtype=float))
    return (last + groups["delay"].transform("first").fillna(pd.Series(delay))).to_numpy()


def _features(simulated: Simulation, time: np.ndarray, batch: int = 1_000) -> np.ndarray:
    """Return the features of each payment, computed as online, with a store in memory.

    A month begins without history, so that weeks and months would change by themselves: they are
    left unknown.
    """
    drawn, settled, names = simulated.payments, simulated.settled, simulated.names
    transactions = [Transaction(str(row), *values) for row, values in enumerate(zip(
        time.tolist(), np.array(TYPES)[drawn.type_code].tolist(), settled.amount.tolist(),
        names[drawn.origin].tolist(), names[drawn.destination].tolist(),
        settled.origin_balance.tolist(), settled.destination_balance.tolist(),
        strict=True))]
    store = open_store(Settings(clock="event"))
    store.fill([], 0, START)
    parts = []
    for first in range(0, len(transactions), batch):
        part = transactions[first:first + batch]
        claims = [claim for claim in store.claim(part, part[0].event_time)
                  if isinstance(claim, Claim)]
        histories = [History(counts, DAY_WINDOWS) for counts in counts_before(claims)]
        parts.append(rows_with_history(features.DEFAULT, part, histories))
    return np.concatenate(parts)
