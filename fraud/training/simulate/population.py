"""Population of a simulation: customers with habits, agents, merchants, new accounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CUSTOMER, AGENT, MERCHANT, NEW = range(4)       # new: a customer's account that opens empty
ROWS_PER_CUSTOMER = 60                   # payments of a customer in the simulated month, on average
CONTACTS, AGENTS_NEARBY = 5, 3           # to whom a customer transfers, where it cashes in and out


@dataclass
class Population:
    """Accounts 0..size-1: customers first, then agents, merchants and new accounts.

    `wealth` scales a customer's amounts, `activity` is the cumulative share of ordinary payments
    that customers 0..i make; both float64 of shape (customers,). `contacts` are the customers to
    whom each transfers, all different and none itself: int64, shape (customers, CONTACTS).
    """

    customers: int
    agents: int
    merchants: int
    new: int               # how many can be opened
    wealth: np.ndarray
    activity: np.ndarray
    contacts: np.ndarray
    opened: int = 0

    @property
    def size(self) -> int:
        return self.first_new + self.new

    @property
    def first_new(self) -> int:
        return self.customers + self.agents + self.merchants

    def kinds(self) -> np.ndarray:
        """Return the kind of every account: int8, shape (size,)."""
        return np.repeat(np.array([CUSTOMER, AGENT, MERCHANT, NEW], np.int8),
                         [self.customers, self.agents, self.merchants, self.new])

    def draw_customers(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw customers, active ones more often: int64, shape (count,)."""
        return np.searchsorted(self.activity, rng.random(count))

    def draw_others(self, accounts: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw for each account `count` different customers, not itself: (accounts, count)."""
        return _others(self.activity, accounts, count, rng)

    def contact_of(self, customers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one of each customer's contacts."""
        return self.contacts[customers, rng.integers(0, CONTACTS, customers.size)]

    def agent_of(self, customers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one of the agents where each customer cashes in and out."""
        nearby = rng.integers(0, AGENTS_NEARBY, customers.size)
        return self.customers + (customers + nearby) % self.agents

    def draw_merchants(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw merchants, a few of them far more popular than the rest."""
        rank = (rng.random(count) ** 3 * self.merchants).astype(np.int64)
        return self.customers + self.agents + rank

    def with_new(self, accounts: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """Return the accounts, about a `share` of them replaced by newly opened ones, each once."""
        opened = np.flatnonzero(rng.random(accounts.size) < share)
        mixed = accounts.copy()
        mixed[opened] = self.first_new + self.opened + np.arange(opened.size)
        self.opened += opened.size
        return mixed


def populate(rows: int, new: int, rng: np.random.Generator) -> Population:
    """Draw a population that makes `rows` payments in a month, and may open `new` accounts."""
    customers = max(50, rows // ROWS_PER_CUSTOMER)
    activity = np.cumsum(rng.lognormal(0.0, 0.7, customers))
    activity /= activity[-1]
    return Population(
        customers=customers,
        agents=max(5, customers // 60),
        merchants=max(5, customers // 10),
        new=new,
        wealth=rng.lognormal(0.0, 0.5, customers),
        activity=activity,
        contacts=_others(activity, np.arange(customers), CONTACTS, rng),
    )


def _others(activity: np.ndarray, accounts: np.ndarray, count: int, rng) -> np.ndarray:
    drawn = np.full((accounts.size, count), -1)
    again = np.arange(accounts.size)
    while again.size:
        drawn[again] = np.searchsorted(activity, rng.random((again.size, count)))
        group = np.sort(np.column_stack([accounts[again], drawn[again]]), axis=1)
        again = again[(np.diff(group, axis=1) == 0).any(axis=1)]
    return drawn


def account_names(population: Population, rng: np.random.Generator) -> np.ndarray:
    """Draw distinct names that reveal only if it is a merchant: str, shape (size,)."""
    numbers = 1_000_000_000 + rng.permutation(np.unique(
        rng.integers(0, 8_999_999_999, population.size + population.size // 50 + 100)
    ))[:population.size]
    prefix = np.where(population.kinds() == MERCHANT, "M", "C")
    return np.char.add(prefix, numbers.astype(str))
