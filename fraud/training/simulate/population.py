"""Population of a simulation: customers with habits, agents, merchants, new accounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fraud.training.simulate.behaviour import DEFAULT, Behaviour
from fraud.training.simulate.drafts import HOUR

DAYS = 31                                # of a simulation by default; rates are of as many days
CUSTOMER, AGENT, MERCHANT, NEW = range(4)       # new: a customer's account that opens empty
ROWS_PER_CUSTOMER = 60                   # payments of a customer in 31 days, on average
CONTACTS, AGENTS_NEARBY = 5, 3           # to whom a customer transfers, where it cashes in and out
STAY = 10                                # one in so many customers is always there


@dataclass
class Population:
    """Accounts 0..size-1: customers first, then agents, merchants and new accounts.

    `wealth` scales a customer's amounts, `activity` is the cumulative share of ordinary payments
    that customers 0..i make; both float64 of shape (customers,). `contacts` are the customers to
    whom each transfers, all different and none itself: int64, shape (customers, CONTACTS).
    Customers and merchants are there from `arrival` to before `departure`, others always; both
    float64 ms from the start, of shape (size,).
    """

    customers: int
    agents: int
    merchants: int
    new: int               # how many can be opened
    wealth: np.ndarray
    activity: np.ndarray
    contacts: np.ndarray
    arrival: np.ndarray
    departure: np.ndarray
    without_balance: np.ndarray     # bool, shape (size,): merchants, and customers of a bank
    days: int
    behaviour: Behaviour
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

    @property
    def period(self) -> float:
        """The length of the simulation in ms."""
        return self.days * 24 * HOUR

    def opens_empty(self) -> np.ndarray:
        """Return a mask of the accounts that open within the simulation: bool, shape (size,)."""
        return (self.arrival > 0) | (np.arange(self.size) >= self.first_new)

    def is_there(self, accounts: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Return a mask of the accounts that have arrived and not left at a time."""
        return (self.arrival[accounts] <= time) & (time < self.departure[accounts])

    def draw_customers(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw a customer who is there at each time, active ones more often: int64."""
        drawn = np.searchsorted(self.activity, rng.random(time.size))
        again = np.flatnonzero(~self.is_there(drawn, time))
        while again.size:
            drawn[again] = np.searchsorted(self.activity, rng.random(again.size))
            again = again[~self.is_there(drawn[again], time[again])]
        return drawn

    def draw_others(self, accounts: np.ndarray, count: int, time: np.ndarray,
                    rng: np.random.Generator) -> np.ndarray:
        """Draw for each account `count` different customers who are there, not itself.

        Returns:
            shape (accounts, count).
        """
        drawn = _others(self.activity, accounts, count, rng)
        while (absent := np.flatnonzero(~self.is_there(drawn, time[:, None]).all(axis=1))).size:
            drawn[absent] = _others(self.activity, accounts[absent], count, rng)
        return drawn

    def contact_of(self, customers: np.ndarray, time: np.ndarray, rng: np.random.Generator
                   ) -> np.ndarray:
        """Draw one of each customer's contacts; another customer where the contact is not there."""
        drawn = self.contacts[customers, rng.integers(0, CONTACTS, customers.size)]
        absent = np.flatnonzero(~self.is_there(drawn, time))
        drawn[absent] = self.draw_others(customers[absent], 1, time[absent], rng)[:, 0]
        return drawn

    def payee_of(self, customers: np.ndarray, time: np.ndarray, rng: np.random.Generator
                 ) -> np.ndarray:
        """Draw a contact of each customer, or someone new to a share of them."""
        drawn = self.contact_of(customers, time, rng)
        new = np.flatnonzero(rng.random(customers.size) < self.behaviour.new_payees)
        drawn[new] = self.draw_others(customers[new], 1, time[new], rng)[:, 0]
        return drawn

    def agent_of(self, customers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one of the agents where each customer cashes in and out."""
        nearby = rng.integers(0, AGENTS_NEARBY, customers.size)
        return self.customers + (customers + nearby) % self.agents

    def customers_of(self, agents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Draw `count` customers who cash in and out at each agent: shape (agents, count)."""
        nearby = rng.integers(0, AGENTS_NEARBY, (agents.size, count))
        turn = rng.integers(0, self.customers // self.agents, (agents.size, count))
        return (agents[:, None] - self.customers - nearby) % self.agents + turn * self.agents

    def draw_merchants(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw merchants who are there, a few of them far more popular than the rest."""
        first = self.customers + self.agents
        drawn, again = np.empty(time.size, np.int64), np.arange(time.size)
        while again.size:
            drawn[again] = first + (rng.random(again.size) ** 3 * self.merchants).astype(np.int64)
            again = again[~self.is_there(drawn[again], time[again])]
        return drawn

    def with_new(self, accounts: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """Return the accounts, about a `share` of them replaced by newly opened ones, each once."""
        opened = np.flatnonzero(rng.random(accounts.size) < share)
        mixed = accounts.copy()
        mixed[opened] = self.first_new + self.opened + np.arange(opened.size)
        self.opened += opened.size
        return mixed


def populate(rows: int, new: int, rng: np.random.Generator, days: int = DAYS,
             behaviour: Behaviour = DEFAULT) -> Population:
    """Draw a population that makes `rows` payments in `days`, and may open `new` accounts."""
    customers = max(50, rows * DAYS // (ROWS_PER_CUSTOMER * days))
    agents, merchants = max(5, customers // 60), max(5, customers // 10)
    activity = np.cumsum(rng.lognormal(0.0, 0.7, customers))
    activity /= activity[-1]
    contacts = _others(activity, np.arange(customers), CONTACTS, rng)
    settled = np.arange(0, customers, STAY)     # so that somebody is there at any time
    arrival, departure = _stays(customers + agents + merchants + new, days, behaviour, rng)
    for always in (settled, slice(customers, customers + agents + 1), slice(-new, None)):
        arrival[always], departure[always] = -np.inf, np.inf
    without_balance = np.zeros(arrival.size, bool)
    without_balance[:customers] = rng.random(customers) < behaviour.linked
    without_balance[customers + agents:customers + agents + merchants] = True
    return Population(
        customers=customers, agents=agents, merchants=merchants, new=new,
        wealth=rng.lognormal(0.0, 0.5, customers), activity=activity, contacts=contacts,
        arrival=arrival, departure=departure, without_balance=without_balance, days=days,
        behaviour=behaviour)


def _stays(size: int, days: int, behaviour: Behaviour, rng: np.random.Generator
           ) -> tuple[np.ndarray, np.ndarray]:
    """Draw when each account arrives and leaves: ms from the start, infinite for most."""
    period, rate = days * 24 * HOUR, days / DAYS
    arrives = rng.random(size) < min(behaviour.arrivals * rate, 0.9)
    arrival = np.where(arrives, rng.uniform(0, period, size), -np.inf)
    leaves = rng.random(size) < min(behaviour.departures * rate, 0.9)
    leaving = rng.uniform(np.maximum(arrival, 0), period)
    return arrival, np.where(leaves, leaving, np.inf)


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
