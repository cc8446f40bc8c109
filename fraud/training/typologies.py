"""What happens beside ordinary payments: frauds of several kinds, and honest look-alikes.

Each function draws many independent episodes at once and returns their payments as `Payments`.
Every fraud has an honest twin that differs in behaviour, never in label: customers who empty their
account, families who pass money on, bills paid in a row, savings groups that collect.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.training.population import Population
from fraud.transaction import TYPE_CODES

HOUR = 3_600_000.0
TRANSFER, CASH_OUT, PAYMENT = (TYPE_CODES[name] for name in ("TRANSFER", "CASH_OUT", "PAYMENT"))
FRAUD_TYPES = ("account_takeover", "partial_drain", "mule_fan_in", "low_and_slow")
HONEST = -1


class Payments(NamedTuple):
    """Payments to be settled: arrays of one length. Accounts are indices, times ms from the start.

    A payment with `share` > 0 takes that share of its origin's balance, others their own amount.
    `incident` and `fraud_type` are -1 for honest payments; incidents count from 0 per episode kind.
    """

    time: np.ndarray
    type_code: np.ndarray
    origin: np.ndarray
    destination: np.ndarray
    share: np.ndarray
    incident: np.ndarray
    fraud_type: np.ndarray


def payments(time, type_code, origin, destination, share, incident=HONEST,
             fraud_type=HONEST) -> Payments:
    """`Payments` of one flat length from arrays and scalars that broadcast together."""
    columns = np.broadcast_arrays(time, type_code, origin, destination, share, incident,
                                  fraud_type)
    kinds = (np.float64, np.int8, np.int64, np.int64, np.float64, np.int64, np.int8)
    return Payments(*(column.ravel().astype(kind) for column, kind in zip(columns, kinds)))


def legs_together(legs: list[Payments]) -> Payments:
    """The legs of the same episodes in one, incidents as they are."""
    return Payments(*(np.concatenate(columns) for columns in zip(*legs)))


def join(parts: list[Payments]) -> Payments:
    """Different episodes in one; incidents are numbered on from part to part."""
    numbered, offset = [], 0
    for part in parts:
        numbered.append(part._replace(
            incident=np.where(part.incident >= 0, part.incident + offset, HONEST)))
        offset += int(part.incident.max(initial=-1)) + 1
    return legs_together(numbered)


class Mules:
    """Accounts that take stolen money: opened for it, or recruited among ordinary customers."""

    def __init__(self, population: Population, rng: np.random.Generator):
        self._population, self._rng = population, rng
        self._next = population.first_fresh

    def draw(self, count: int, fresh_share: float) -> np.ndarray:
        """Mules, each used for one incident: int64, shape (count,)."""
        accounts = self._population.draw_customers(count, self._rng)
        fresh = self._rng.random(count) < fresh_share
        accounts[fresh] = self._next + np.arange(fresh.sum())
        self._next += int(fresh.sum())
        return accounts


def account_takeover(starts, population, mules, rng) -> list[Payments]:
    """The victim's account is emptied to a mule, who cashes out: PaySim's own fraud."""
    n = starts.size
    victim, mule = population.draw_customers(n, rng), mules.draw(n, 0.7)
    all_of_it = np.where(rng.random(n) < 0.75, 1.0, rng.uniform(0.6, 0.98, n))
    cashed = np.where(rng.random(n) < 0.8, 1.0, rng.uniform(0.6, 0.98, n))
    incident = np.arange(n)
    return [
        payments(starts, TRANSFER, victim, mule, all_of_it, incident, 0),
        payments(starts + rng.lognormal(-0.9, 1.0, n) * HOUR, CASH_OUT, mule,
                 population.agent_of(mule, rng), cashed, incident, 0),
    ]


def partial_drain(starts, population, mules, rng) -> list[Payments]:
    """The victim loses a part at a time, each below the limit that is watched, within hours."""
    n, legs = starts.size, 5
    victim, mule = population.draw_customers(n, rng)[:, None], mules.draw(n, 0.65)[:, None]
    incident = np.arange(n)[:, None]
    at = starts[:, None] + np.cumsum(rng.exponential(0.6 * HOUR, (n, legs)), axis=1)
    present = np.arange(legs) < rng.integers(3, legs + 1, n)[:, None]
    drains = payments(at, TRANSFER, victim, mule, rng.uniform(0.12, 0.45, (n, legs)), incident, 1)
    out = payments(at[:, 1:3] + rng.exponential(0.5 * HOUR, (n, 2)), CASH_OUT, mule,
                   population.agent_of(mule[:, 0], rng)[:, None], rng.uniform(0.7, 1.0, (n, 2)),
                   incident, 1)
    return [only(drains, present.ravel()), out]


def mule_fan_in(starts, population, mules, rng) -> list[Payments]:
    """Many deceived victims pay one mule within a day; the mule cashes out in between."""
    n, victims = starts.size, 8
    mule = mules.draw(n, 0.65)[:, None]
    incident = np.arange(n)[:, None]
    at = starts[:, None] + np.sort(rng.uniform(0, 8 * HOUR, (n, victims)), axis=1)
    present = np.arange(victims) < rng.integers(4, victims + 1, n)[:, None]
    victim = population.draw_customers(n * victims, rng).reshape(n, victims)
    paid = payments(at, TRANSFER, victim, mule, rng.uniform(0.3, 0.95, (n, victims)), incident, 2)
    out = payments(at[:, 1:3] + rng.exponential(1.0 * HOUR, (n, 2)), CASH_OUT, mule,
                   population.agent_of(mule[:, 0], rng)[:, None], rng.uniform(0.7, 1.0, (n, 2)),
                   incident, 2)
    return [only(paid, (present & (victim != mule)).ravel()), out]


def low_and_slow(starts, population, mules, rng) -> list[Payments]:
    """A little every second day, outside of any window that is counted."""
    n, legs = starts.size, 3
    victim, mule = population.draw_customers(n, rng)[:, None], mules.draw(n, 0.3)[:, None]
    at = starts[:, None] + np.arange(legs) * rng.uniform(30, 60, (n, 1)) * HOUR
    return [payments(at, TRANSFER, victim, mule, rng.uniform(0.03, 0.15, (n, legs)),
                     np.arange(n)[:, None], 3)]


def account_emptied(starts, population, rng) -> list[Payments]:
    """Customers who move or take out all they have: twin of the takeover."""
    n = starts.size
    customer = population.draw_customers(n, rng)
    cash = rng.random(n) < 0.75
    to = np.where(cash, population.agent_of(customer, rng), population.contact_of(customer, rng))
    return [payments(starts, np.where(cash, CASH_OUT, TRANSFER), customer, to, 1.0)]


def money_passed_on(starts, population, fresh, rng) -> list[Payments]:
    """Family sends money and it is cashed at once, at times into a new account: twin of mules."""
    n = starts.size
    sender = population.draw_customers(n, rng)
    receiver = population.contact_of(sender, rng)
    receiver[:fresh.size] = fresh
    return [
        payments(starts, TRANSFER, sender, receiver, rng.uniform(0.05, 0.5, n)),
        payments(starts + rng.lognormal(0.3, 1.0, n) * HOUR, CASH_OUT, receiver,
                 population.agent_of(receiver, rng), rng.uniform(0.1, 0.9, n)),
    ]


def bills_in_a_row(starts, population, rng) -> list[Payments]:
    """Several transfers within hours, to different contacts: twin of the partial drain."""
    n, legs = starts.size, 3
    customer = np.repeat(population.draw_customers(n, rng), legs)
    at = starts[:, None] + np.cumsum(rng.exponential(0.8 * HOUR, (n, legs)), axis=1)
    return [payments(at.ravel(), TRANSFER, customer, population.contact_of(customer, rng),
                     rng.uniform(0.02, 0.2, n * legs))]


def savings_group(starts, population, rng) -> list[Payments]:
    """Members pay a treasurer within a day, who then takes the money out: twin of the fan-in."""
    n, members = starts.size, 6
    treasurer = population.draw_customers(n, rng)[:, None]
    at = starts[:, None] + rng.uniform(0, 16 * HOUR, (n, members))
    member = population.draw_customers(n * members, rng).reshape(n, members)
    paid = payments(at, TRANSFER, member, treasurer, rng.uniform(0.01, 0.15, (n, members)))
    out = payments(at.max(axis=1) + rng.exponential(4 * HOUR, n), CASH_OUT, treasurer[:, 0],
                   population.agent_of(treasurer[:, 0], rng), rng.uniform(0.2, 0.9, n))
    return [only(paid, (member != treasurer).ravel()), out]


def big_purchase(starts, population, rng) -> list[Payments]:
    """A large part of the balance goes to a merchant, or to a seller by transfer."""
    n = starts.size
    customer = population.draw_customers(n, rng)
    by_transfer = rng.random(n) < 0.3
    to = np.where(by_transfer, population.contact_of(customer, rng),
                  population.draw_merchants(n, rng))
    return [payments(starts, np.where(by_transfer, TRANSFER, PAYMENT), customer, to,
                     rng.uniform(0.3, 0.9, n))]


def only(part: Payments, keep: np.ndarray) -> Payments:
    """The payments where `keep`, a bool mask of their shape, is true."""
    return Payments(*(column[keep] for column in part))
