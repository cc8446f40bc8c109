"""Episodes in addition to ordinary payments: frauds of several kinds, and legitimate look-alikes.

Each function draws many independent episodes at once and returns the payments of their legs. Every
fraud has a legitimate twin that differs in behaviour, never in label: customers who empty their
account, families who pass money on, bills paid in a row, savings groups that collect, allowances.
"""

from __future__ import annotations

import numpy as np

from fraud.training.simulate import drafts
from fraud.training.simulate.background import MONTH, legitimate_times
from fraud.training.simulate.drafts import HOUR, DraftPayments, payments
from fraud.training.simulate.population import Population
from fraud.transaction import TYPE_CODES

TRANSFER, CASH_OUT, PAYMENT = (TYPE_CODES[name] for name in ("TRANSFER", "CASH_OUT", "PAYMENT"))
FRAUD_TYPES = ("account_takeover", "partial_drain", "mule_fan_in", "low_and_slow")
FRAUD_BEGAN = -3 * 24 * HOUR   # ms from the start: some of the month's frauds are older
WATCHED = 100_000_000          # cents: larger transfers are looked at, so drains stay below


def episodes(rows: int, population: Population, rng: np.random.Generator) -> DraftPayments:
    """Draw the payments of all episodes in a month of `rows` payments, in no order."""
    parts: list[DraftPayments] = []
    for rates, draw_starts in ((FRAUDS, fraud_starts), (LEGITIMATE_EPISODES, legitimate_times)):
        for draw, rate in rates.items():
            legs = draw(draw_starts(max(1, round(rows * rate)), rng), population, rng)
            parts.append(drafts.legs_together(legs))
    drawn = drafts.join(parts)
    return drafts.only(drawn, (drawn.time >= 0) & (drawn.time < MONTH))


def fraud_starts(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw start times: half at any hour, half among legitimate ones; some began last month."""
    night_and_day = rng.uniform(FRAUD_BEGAN, MONTH, count)
    return np.where(rng.random(count) < 0.5, night_and_day,
                    rng.permutation(legitimate_times(count, rng)))


def account_takeover(starts, population, rng) -> list[DraftPayments]:
    """The victim's account is emptied to a mule, who cashes out: PaySim's own fraud."""
    n = starts.size
    mule = population.with_new(population.draw_customers(n, rng), 0.85, rng)
    victim = population.draw_others(mule, 1, rng)[:, 0]
    all_of_it = np.where(rng.random(n) < 0.9, 1.0, rng.uniform(0.6, 0.98, n))
    cashed = np.where(rng.random(n) < 0.9, 1.0, rng.uniform(0.6, 0.98, n))
    incident = np.arange(n)
    return [
        payments(starts, TRANSFER, victim, mule, all_of_it, incident, 0),
        payments(starts + rng.lognormal(-0.9, 1.0, n) * HOUR, CASH_OUT, mule,
                 population.agent_of(mule, rng), cashed, incident, 0),
    ]


def partial_drain(starts, population, rng) -> list[DraftPayments]:
    """The victim loses a part at a time, each below the limit that is watched, within hours."""
    n, legs = starts.size, 6
    mule = population.with_new(population.draw_customers(n, rng), 0.8, rng)[:, None]
    victim = population.draw_others(mule[:, 0], 1, rng)
    incident = np.arange(n)[:, None]
    at = starts[:, None] + np.cumsum(rng.exponential(0.5 * HOUR, (n, legs)), axis=1)
    present = np.arange(legs) < rng.integers(4, legs + 1, n)[:, None]
    drains = payments(at, TRANSFER, victim, mule, rng.uniform(0.12, 0.45, (n, legs)), incident, 1,
                      WATCHED)
    out = payments(at[:, 1:3] + rng.exponential(0.5 * HOUR, (n, 2)), CASH_OUT, mule,
                   population.agent_of(mule[:, 0], rng)[:, None], rng.uniform(0.7, 1.0, (n, 2)),
                   incident, 1)
    return [drafts.only(drains, present.ravel()), out]


def mule_fan_in(starts, population, rng) -> list[DraftPayments]:
    """Many deceived victims pay one mule within a day; the mule cashes out in between."""
    n, victims = starts.size, 8
    mule = population.with_new(population.draw_customers(n, rng), 0.8, rng)[:, None]
    incident = np.arange(n)[:, None]
    at = starts[:, None] + np.sort(rng.uniform(0, 6 * HOUR, (n, victims)), axis=1)
    present = np.arange(victims) < rng.integers(4, victims + 1, n)[:, None]
    victim = population.draw_others(mule[:, 0], victims, rng)
    paid = payments(at, TRANSFER, victim, mule, rng.uniform(0.4, 0.98, (n, victims)), incident, 2)
    out = payments(at[:, 1:3] + rng.exponential(1.0 * HOUR, (n, 2)), CASH_OUT, mule,
                   population.agent_of(mule[:, 0], rng)[:, None], rng.uniform(0.7, 1.0, (n, 2)),
                   incident, 2)
    return [drafts.only(paid, present.ravel()), out]


def low_and_slow(starts, population, rng) -> list[DraftPayments]:
    """A little every second day, outside of any window that is counted."""
    n, legs = starts.size, 3
    mule = population.with_new(population.draw_customers(n, rng), 0.3, rng)[:, None]
    victim = population.draw_others(mule[:, 0], 1, rng)
    at = starts[:, None] + np.arange(legs) * rng.uniform(30, 60, (n, 1)) * HOUR
    return [payments(at, TRANSFER, victim, mule, rng.uniform(0.03, 0.15, (n, legs)),
                     np.arange(n)[:, None], 3)]


def account_emptied(starts, population, rng) -> list[DraftPayments]:
    """Customers who move or take out all they have: twin of the takeover."""
    n = starts.size
    customer = population.draw_customers(n, rng)
    cash = rng.random(n) < 0.8
    to = np.where(cash, population.agent_of(customer, rng), population.contact_of(customer, rng))
    return [payments(starts, np.where(cash, CASH_OUT, TRANSFER), customer, to, 1.0)]


def money_passed_on(starts, population, rng) -> list[DraftPayments]:
    """Family sends money and it is cashed soon, at times into a new account: twin of mules."""
    n = starts.size
    sender = population.draw_customers(n, rng)
    receiver = population.with_new(population.contact_of(sender, rng), 0.1, rng)
    return [
        payments(starts, TRANSFER, sender, receiver, rng.uniform(0.05, 0.5, n)),
        payments(starts + rng.lognormal(0.3, 1.0, n) * HOUR, CASH_OUT, receiver,
                 population.agent_of(receiver, rng), rng.uniform(0.1, 0.9, n)),
    ]


def bills_in_a_row(starts, population, rng) -> list[DraftPayments]:
    """Several transfers within hours, to one or more contacts: twin of the partial drain."""
    n, legs = starts.size, 3
    customer = np.repeat(population.draw_customers(n, rng), legs)
    at = starts[:, None] + np.cumsum(rng.exponential(0.8 * HOUR, (n, legs)), axis=1)
    return [payments(at.ravel(), TRANSFER, customer, population.contact_of(customer, rng),
                     rng.uniform(0.02, 0.2, n * legs))]


def savings_group(starts, population, rng) -> list[DraftPayments]:
    """Members pay a treasurer within a day, who then takes the money out: twin of the fan-in."""
    n, members = starts.size, 6
    treasurer = population.draw_customers(n, rng)[:, None]
    at = starts[:, None] + rng.uniform(0, 16 * HOUR, (n, members))
    member = population.draw_others(treasurer[:, 0], members, rng)
    paid = payments(at, TRANSFER, member, treasurer, rng.uniform(0.01, 0.15, (n, members)))
    out = payments(at.max(axis=1) + rng.exponential(4 * HOUR, n), CASH_OUT, treasurer[:, 0],
                   population.agent_of(treasurer[:, 0], rng), rng.uniform(0.2, 0.9, n))
    return [paid, out]


def allowance(starts, population, rng) -> list[DraftPayments]:
    """A little to the same relative every second day: twin of low and slow."""
    n, legs = starts.size, 3
    customer = population.draw_customers(n, rng)
    at = starts[:, None] + np.arange(legs) * rng.uniform(30, 60, (n, 1)) * HOUR
    return [payments(at, TRANSFER, customer[:, None], population.contact_of(customer, rng)[:, None],
                     rng.uniform(0.02, 0.15, (n, legs)))]


def big_purchase(starts, population, rng) -> list[DraftPayments]:
    """A large part of the balance goes to a merchant, or to a seller by transfer."""
    n = starts.size
    customer = population.draw_customers(n, rng)
    by_transfer = rng.random(n) < 0.3
    to = np.where(by_transfer, population.contact_of(customer, rng),
                  population.draw_merchants(n, rng))
    return [payments(starts, np.where(by_transfer, TRANSFER, PAYMENT), customer, to,
                     rng.uniform(0.3, 0.9, n))]


# Episodes for each payment of the month. Frauds are 0.27 % of the rows; PaySim has 0.13 %.
FRAUDS = {account_takeover: 0.00060, partial_drain: 0.00011, mule_fan_in: 0.00010,
          low_and_slow: 0.00002}
LEGITIMATE_EPISODES = {account_emptied: 0.0008, money_passed_on: 0.0012, bills_in_a_row: 0.0012,
                       savings_group: 0.0004, allowance: 0.0004, big_purchase: 0.0020}
