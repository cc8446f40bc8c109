"""Ordinary payments: types, times, accounts and amounts, modelled on PaySim."""

from __future__ import annotations

import numpy as np

from fraud.training.simulate.drafts import HOUR, DraftPayments, payments
from fraud.training.simulate.ledger import AMOUNT_CUT
from fraud.training.simulate.population import DAYS, Population
from fraud.transaction import TYPE_CODES, TYPES

FIRST_DAY = np.datetime64("2024-01-01")     # a Monday
MONTH = DAYS * 24 * HOUR

# Shares of PaySim's 6,362,620 rows; mean and deviation of the log of its legitimate amounts.
TYPE_SHARES = {"CASH_IN": 0.2199, "CASH_OUT": 0.3517, "DEBIT": 0.0065, "PAYMENT": 0.3381,
               "TRANSFER": 0.0838}
AMOUNTS = {"CASH_IN": (11.68, 1.07), "CASH_OUT": (11.76, 1.06), "DEBIT": (7.91, 1.25),
           "PAYMENT": (8.92, 1.13), "TRANSFER": (12.85, 1.20)}
WEALTH_DEVIATION = 0.5                 # of the log: the part of an amount that is the customer's

# Weight of each hour of the day, and of each day of the week from Monday.
HOURS = np.array([22, 16, 12, 12, 14, 20, 38, 62, 85, 92, 95, 93, 92, 95, 98, 100, 100, 102, 100,
                  88, 70, 52, 40, 30], float)
WEEK = np.array([1.0, 0.98, 0.98, 1.0, 1.12, 1.08, 0.85])
SALARY_DAYS = {0: 1.3, 14: 1.25, 24: 1.3, 30: 1.3}     # of a month, 30 its last: more of everything

# PaySim's customers appear once and may pay out twice of what comes in. Ours come back, so that
# some cash-ins are salaries: several times a usual one, they keep balances level in the month.
SALARY_SHARE, SALARY_SHARE_ON_ITS_DAYS = 0.12, 0.5     # of the cash-ins
SALARY = 6.0


def days_of_month(days: int) -> np.ndarray:
    """Return the day of the month, from 0, of each day from the start; 30 for any month's last."""
    dates = FIRST_DAY + np.arange(days + 1)
    months = dates.astype("datetime64[M]")
    of_month = (dates - months).astype(int)
    return np.where(months[1:] != months[:-1], 30, of_month[:-1])


def legitimate_times(count: int, days: int, rng: np.random.Generator) -> np.ndarray:
    """Draw times by the rhythm of day, week and salary days: ms from the start, by the hour."""
    weights = np.concatenate([HOURS * WEEK[day % 7] * SALARY_DAYS.get(of_month, 1.0)
                              for day, of_month in enumerate(days_of_month(days).tolist())])
    per_hour = rng.multinomial(count, weights / weights.sum())
    return (np.repeat(np.arange(per_hour.size), per_hour) + rng.random(count)) * HOUR


def ordinary(rows: int, episodes: DraftPayments, population: Population,
             rng: np.random.Generator) -> DraftPayments:
    """Draw the payments that fill the period up to `rows`, each type with its share of them."""
    count = rows - episodes.time.size
    shares = np.array([TYPE_SHARES[name] for name in TYPES])
    missing = rows * shares / shares.sum() - np.bincount(episodes.type_code, minlength=len(TYPES))
    type_code = rng.choice(len(TYPES), count, p=missing / count)
    time = rng.permutation(legitimate_times(count, population.days, rng))
    origin = population.draw_customers(time, rng)
    destination = population.agent_of(origin, rng)
    transfers = np.flatnonzero(type_code == TYPE_CODES["TRANSFER"])
    destination[transfers] = population.payee_of(origin[transfers], time[transfers], rng)
    purchases = np.flatnonzero(type_code == TYPE_CODES["PAYMENT"])
    destination[purchases] = population.draw_merchants(time[purchases], rng)
    return payments(time, type_code, origin, destination, 0.0)


def amounts(part: DraftPayments, population: Population, rng: np.random.Generator) -> np.ndarray:
    """Draw lognormal amounts in cents, larger for the wealthy: int64, shape (payments,)."""
    mean, deviation = np.array([AMOUNTS[name] for name in TYPES]).T
    own = np.sqrt(deviation ** 2 - WEALTH_DEVIATION ** 2)
    wealth = np.ones(population.size)
    wealth[:population.customers] = population.wealth
    units = np.exp(mean[part.type_code] + own[part.type_code]
                   * rng.standard_normal(part.time.size)) * wealth[part.origin]
    units[_salaries(part, population.days, rng)] *= SALARY
    return np.clip(np.rint(units * 100), 1, AMOUNT_CUT).astype(np.int64)


def _salaries(part: DraftPayments, days: int, rng: np.random.Generator) -> np.ndarray:
    day = (part.time // (24 * HOUR)).astype(np.int64)
    on_salary_day = np.isin(days_of_month(days), list(SALARY_DAYS))[day]
    share = np.where(on_salary_day, SALARY_SHARE_ON_ITS_DAYS, SALARY_SHARE)
    return (part.type_code == TYPE_CODES["CASH_IN"]) & (rng.random(day.size) < share)
