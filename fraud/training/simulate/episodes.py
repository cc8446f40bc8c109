"""Episodes in addition to ordinary payments: frauds of several kinds, and legitimate look-alikes.

Each function draws many independent episodes at once and returns the payments of their legs. Every
fraud has a legitimate twin that differs in behaviour, never in label: customers who empty their
account, families who pass money on, bills paid in a row, savings groups that collect, allowances.
Only the agent whose customers lose money has none: its labels alone tell.
"""

from __future__ import annotations

import numpy as np

from fraud.training.simulate import drafts
from fraud.training.simulate.background import legitimate_times
from fraud.training.simulate.drafts import HOUR, DraftPayments, payments
from fraud.training.simulate.population import Population
from fraud.transaction import TYPE_CODES

CASH_IN, TRANSFER, CASH_OUT, PAYMENT = (
    TYPE_CODES[name] for name in ("CASH_IN", "TRANSFER", "CASH_OUT", "PAYMENT"))
FRAUD_TYPES = ("account_takeover", "partial_drain", "mule_fan_in", "low_and_slow",
               "compromised_agent")
FRAUD_BEGAN = -3 * 24 * HOUR   # ms from the start: some of the month's frauds are older
WATCHED = 100_000_000          # cents: larger transfers are looked at, so drains stay below


def episodes(rows: int, population: Population, rng: np.random.Generator) -> DraftPayments:
    """Draw the payments of all episodes among `rows` payments, in no order."""
    parts: list[DraftPayments] = [drafts.legs_together(first_days(population, rng))]
    for rates, draw_starts in ((FRAUDS, fraud_starts), (LEGITIMATE_EPISODES, legitimate_times)):
        for draw, rate in rates.items():
            starts = draw_starts(max(1, round(rows * rate)), population.days, rng)
            parts.append(drafts.legs_together(draw(starts, population, rng)))
    drawn = drafts.join(parts)
    return drafts.only(drawn, (drawn.time >= 0) & (drawn.time < population.period))


def fraud_starts(count: int, days: int, rng: np.random.Generator) -> np.ndarray:
    """Draw start times: half at any hour, half among legitimate ones; some began before."""
    night_and_day = rng.uniform(FRAUD_BEGAN, days * 24 * HOUR, count)
    return np.where(rng.random(count) < 0.5, night_and_day,
                    rng.permutation(legitimate_times(count, days, rng)))


def mules(starts: np.ndarray, population: Population, rng: np.random.Generator) -> np.ndarray:
    """Draw a mule for each incident: a new account, a recruited customer, or an earlier one's."""
    behaviour = population.behaviour
    drawn = population.with_new(
        population.draw_customers(starts, rng), 1 - behaviour.recruited_mules, rng)
    order = np.argsort(starts)
    is_own = rng.random(starts.size) >= behaviour.reused_mules
    is_own[:1] = True
    user = np.maximum.accumulate(np.where(is_own, np.arange(starts.size), 0))
    mule = np.empty_like(drawn)
    mule[order] = drawn[order[user]]
    return mule


def account_takeover(starts, population, rng) -> list[DraftPayments]:
    """The victim's account is emptied to a mule, who cashes out: PaySim's own fraud."""
    n, behaviour = starts.size, population.behaviour
    mule = mules(starts, population, rng)
    victim = population.draw_others(mule, 1, starts, rng)[:, 0]
    known = np.flatnonzero(rng.random(n) < behaviour.contact_mules)
    mule[known] = population.contact_of(victim[known], starts[known], rng)
    failed = rng.random(n) < behaviour.failed_attempts
    all_of_it = np.where(rng.random(n) < 0.9, 1.0, rng.uniform(0.6, 0.98, n))
    cashed = np.where(rng.random(n) < 0.9, 1.0, rng.uniform(0.6, 0.98, n))
    incident = np.arange(n)
    attempts = payments(starts - rng.exponential(0.05 * HOUR, n), TRANSFER, victim, mule,
                        rng.uniform(1.02, 2.0, n), incident, 0)
    return [
        drafts.only(attempts, failed),
        payments(starts, TRANSFER, victim, mule, all_of_it, incident, 0),
        payments(starts + rng.lognormal(-0.9, 1.0, n) * HOUR, CASH_OUT, mule,
                 population.agent_of(mule, rng), cashed, incident, 0),
    ]


def partial_drain(starts, population, rng) -> list[DraftPayments]:
    """The victim loses a part at a time, each below the limit that is watched, within hours."""
    n, legs = starts.size, 6
    mule = mules(starts, population, rng)[:, None]
    victim = population.draw_others(mule[:, 0], 1, starts, rng)
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
    mule = mules(starts, population, rng)[:, None]
    incident = np.arange(n)[:, None]
    at = starts[:, None] + np.sort(rng.uniform(0, 6 * HOUR, (n, victims)), axis=1)
    present = np.arange(victims) < rng.integers(4, victims + 1, n)[:, None]
    victim = population.draw_others(mule[:, 0], victims, starts, rng)
    paid = payments(at, TRANSFER, victim, mule, rng.uniform(0.4, 0.98, (n, victims)), incident, 2)
    out = payments(at[:, 1:3] + rng.exponential(1.0 * HOUR, (n, 2)), CASH_OUT, mule,
                   population.agent_of(mule[:, 0], rng)[:, None], rng.uniform(0.7, 1.0, (n, 2)),
                   incident, 2)
    return [drafts.only(paid, present.ravel()), out]


def low_and_slow(starts, population, rng) -> list[DraftPayments]:
    """A little every second day, outside of any window that is counted."""
    n, legs = starts.size, 3
    mule = population.with_new(population.draw_customers(starts, rng), 0.3, rng)[:, None]
    victim = population.draw_others(mule[:, 0], 1, starts, rng)
    at = starts[:, None] + np.arange(legs) * rng.uniform(30, 60, (n, 1)) * HOUR
    return [payments(at, TRANSFER, victim, mule, rng.uniform(0.03, 0.15, (n, legs)),
                     np.arange(n)[:, None], 3)]


def compromised_agent(starts, population, rng) -> list[DraftPayments]:
    """Somebody at an agent copies what customers type, and cashes out from their accounts."""
    n, victims = starts.size, 12
    agent = population.agent_of(population.draw_customers(starts, rng), rng)
    at = starts[:, None] + rng.uniform(0, 4 * 24 * HOUR, (n, victims))
    return [payments(at, CASH_OUT, population.customers_of(agent, victims, rng), agent[:, None],
                     rng.uniform(0.05, 0.6, (n, victims)), np.arange(n)[:, None], 4)]


def first_days(population, rng) -> list[DraftPayments]:
    """New customers are paid, or pay in, and use their account within a day: twin of new mules."""
    customer = np.flatnonzero(population.arrival[:population.customers] > 0)
    at, n = population.arrival[customer], customer.size
    is_paid, spends = rng.random(n) < 0.7, rng.random(n) < 0.5
    payer = population.draw_others(customer, 1, at, rng)[:, 0]
    agent = population.agent_of(customer, rng)
    spent_at = at + (0.2 + rng.lognormal(0.3, 1.0, n)) * HOUR
    spending = payments(spent_at, np.where(rng.random(n) < 0.5, CASH_OUT, TRANSFER), customer,
                        agent, rng.uniform(0.1, 1.0, n))
    by_transfer = spending.type_code == TRANSFER
    spending.destination[by_transfer] = population.contact_of(
        customer[by_transfer], spent_at[by_transfer], rng)
    first = payments(at + 0.01 * HOUR, TRANSFER, payer, customer, rng.uniform(0.05, 0.6, n))
    deposit = payments(at + 0.01 * HOUR, CASH_IN, customer, agent, 0.0)
    return [drafts.only(first, is_paid), drafts.only(deposit, ~is_paid),
            drafts.only(spending, spends)]


def account_emptied(starts, population, rng) -> list[DraftPayments]:
    """Customers who move or take out all they have: twin of the takeover."""
    n = starts.size
    customer = population.draw_customers(starts, rng)
    cash = rng.random(n) < 0.8
    to = np.where(cash, population.agent_of(customer, rng),
                  population.contact_of(customer, starts, rng))
    return [payments(starts, np.where(cash, CASH_OUT, TRANSFER), customer, to, 1.0)]


def money_passed_on(starts, population, rng) -> list[DraftPayments]:
    """Family sends money and it is cashed soon, at times into a new account: twin of mules."""
    n = starts.size
    sender = population.draw_customers(starts, rng)
    receiver = population.with_new(population.contact_of(sender, starts, rng), 0.1, rng)
    return [
        payments(starts, TRANSFER, sender, receiver, rng.uniform(0.05, 0.5, n)),
        payments(starts + rng.lognormal(0.3, 1.0, n) * HOUR, CASH_OUT, receiver,
                 population.agent_of(receiver, rng), rng.uniform(0.1, 0.9, n)),
    ]


def bills_in_a_row(starts, population, rng) -> list[DraftPayments]:
    """Several transfers within hours, to one or more contacts: twin of the partial drain."""
    n, legs = starts.size, 3
    customer = np.repeat(population.draw_customers(starts, rng), legs)
    at = starts[:, None] + np.cumsum(rng.exponential(0.8 * HOUR, (n, legs)), axis=1)
    return [payments(at.ravel(), TRANSFER, customer,
                     population.contact_of(customer, at.ravel(), rng),
                     rng.uniform(0.02, 0.2, n * legs))]


def savings_group(starts, population, rng) -> list[DraftPayments]:
    """Members pay a treasurer within a day, who then takes the money out: twin of the fan-in."""
    n, members = starts.size, 6
    treasurer = population.draw_customers(starts, rng)[:, None]
    at = starts[:, None] + rng.uniform(0, 16 * HOUR, (n, members))
    member = population.draw_others(treasurer[:, 0], members, starts, rng)
    paid = payments(at, TRANSFER, member, treasurer, rng.uniform(0.01, 0.15, (n, members)))
    out = payments(at.max(axis=1) + rng.exponential(4 * HOUR, n), CASH_OUT, treasurer[:, 0],
                   population.agent_of(treasurer[:, 0], rng), rng.uniform(0.2, 0.9, n))
    return [paid, out]


def allowance(starts, population, rng) -> list[DraftPayments]:
    """A little to the same relative every second day: twin of low and slow."""
    n, legs = starts.size, 3
    customer = population.draw_customers(starts, rng)
    at = starts[:, None] + np.arange(legs) * rng.uniform(30, 60, (n, 1)) * HOUR
    relative = population.contact_of(customer, starts, rng)
    return [payments(at, TRANSFER, customer[:, None], relative[:, None],
                     rng.uniform(0.02, 0.15, (n, legs)))]


def big_purchase(starts, population, rng) -> list[DraftPayments]:
    """A large part of the balance goes to a merchant, or to a seller by transfer."""
    n = starts.size
    customer = population.draw_customers(starts, rng)
    by_transfer = rng.random(n) < 0.3
    to = np.where(by_transfer, population.payee_of(customer, starts, rng),
                  population.draw_merchants(starts, rng))
    return [payments(starts, np.where(by_transfer, TRANSFER, PAYMENT), customer, to,
                     rng.uniform(0.3, 0.9, n))]


def failed_attempt(starts, population, rng) -> list[DraftPayments]:
    """Customers ask for more than they have, and for less a little later."""
    n = starts.size
    customer = population.draw_customers(starts, rng)
    to = population.payee_of(customer, starts, rng)
    return [payments(starts, TRANSFER, customer, to, rng.uniform(1.02, 2.0, n)),
            payments(starts + rng.exponential(0.1 * HOUR, n), TRANSFER, customer, to,
                     rng.uniform(0.3, 1.0, n))]


# Episodes for each payment. Frauds are 0.27 % of the rows; PaySim has 0.13 %.
FRAUDS = {account_takeover: 0.00060, partial_drain: 0.00011, mule_fan_in: 0.00010,
          low_and_slow: 0.00002, compromised_agent: 0.000006}
LEGITIMATE_EPISODES = {account_emptied: 0.0008, money_passed_on: 0.0012, bills_in_a_row: 0.0012,
                       savings_group: 0.0004, allowance: 0.0004, big_purchase: 0.0020,
                       failed_attempt: 0.0008}
