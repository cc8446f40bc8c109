"""Who takes part in a simulation: customers with habits, agents, merchants, and accounts just opened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CUSTOMER, AGENT, MERCHANT, FRESH = range(4)     # fresh: a customer's account that opens empty
ROWS_PER_CUSTOMER = 60                   # payments of a customer in the simulated month, on average
CONTACTS, AGENTS_NEARBY = 5, 3           # to whom a customer transfers, where it cashes in and out


@dataclass(frozen=True)
class Population:
    """Accounts 0..size-1: customers first, then agents, merchants and fresh accounts.

    `wealth` scales a customer's amounts, `activity` is the cumulative share of ordinary payments
    that customers 0..i make; both float64 of shape (customers,).
    """

    customers: int
    agents: int
    merchants: int
    fresh: int
    wealth: np.ndarray
    activity: np.ndarray

    @property
    def size(self) -> int:
        return self.first_fresh + self.fresh

    @property
    def first_fresh(self) -> int:
        return self.customers + self.agents + self.merchants

    def kinds(self) -> np.ndarray:
        """What every account is: int8, shape (size,)."""
        return np.repeat(np.array([CUSTOMER, AGENT, MERCHANT, FRESH], np.int8),
                         [self.customers, self.agents, self.merchants, self.fresh])

    def draw_customers(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Customers as often as they are active: int64, shape (count,)."""
        return np.searchsorted(self.activity, rng.random(count))

    def contact_of(self, customers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One of each customer's few regular counterparts, never itself."""
        which = rng.integers(0, CONTACTS, customers.size)
        step = 1 + (customers * 7919 + which * 104_729) % (self.customers - 1)
        return (customers + step) % self.customers

    def agent_of(self, customers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One of the agents where each customer cashes in and out."""
        which = rng.integers(0, AGENTS_NEARBY, customers.size)
        return self.customers + (customers * 31 + which * 7) % self.agents

    def draw_merchants(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Merchants, a few of them far more popular than the rest."""
        rank = (rng.random(count) ** 3 * self.merchants).astype(np.int64)
        return self.customers + self.agents + rank


def populate(rows: int, fresh: int, rng: np.random.Generator) -> Population:
    """A population that makes `rows` payments in a month, with `fresh` unused accounts beside it."""
    customers = max(50, rows // ROWS_PER_CUSTOMER)
    activity = np.cumsum(rng.lognormal(0.0, 0.7, customers))
    return Population(
        customers=customers,
        agents=max(5, customers // 60),
        merchants=max(5, customers // 10),
        fresh=fresh,
        wealth=rng.lognormal(0.0, 0.5, customers),
        activity=activity / activity[-1],
    )


def account_names(population: Population, rng: np.random.Generator) -> np.ndarray:
    """Distinct names that say nothing but merchant or not: str, shape (size,)."""
    numbers = 1_000_000_000 + rng.permutation(np.unique(
        rng.integers(0, 8_999_999_999, population.size + population.size // 50 + 100)
    ))[:population.size]
    prefix = np.where(population.kinds() == MERCHANT, "M", "C")
    return np.char.add(prefix, numbers.astype(str))
