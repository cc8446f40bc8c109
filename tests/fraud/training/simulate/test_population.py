import numpy as np
import pytest

from fraud.training.simulate.behaviour import Behaviour
from fraud.training.simulate.drafts import HOUR
from fraud.training.simulate.population import (
    AGENT, AGENTS_NEARBY, CONTACTS, CUSTOMER, MERCHANT, NEW, account_names, populate)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def population(rng):
    return populate(60_000, new=500, rng=rng, behaviour=Behaviour(arrivals=0, departures=0))


def test_accounts_are_customers_then_agents_merchants_and_new_ones(population):
    kinds = population.kinds()
    assert kinds.size == population.size
    assert np.array_equal(np.bincount(kinds), [1_000, population.agents, population.merchants, 500])
    assert (np.diff(kinds) >= 0).all() and kinds[population.first_new] == NEW


def test_the_smallest_population_has_some_of_each_kind(rng):
    smallest = populate(1, new=1, rng=rng)
    assert (smallest.customers, smallest.agents, smallest.merchants, smallest.new) == (50, 5, 5, 1)


def test_contacts_are_different_customers_and_never_the_customer(population):
    own = np.arange(population.customers)[:, None]
    together = np.sort(np.hstack([own, population.contacts]), axis=1)
    assert population.contacts.shape == (1_000, CONTACTS)
    assert (np.diff(together, axis=1) > 0).all()
    assert together.min() >= 0 and together.max() < population.customers


@pytest.mark.parametrize("rows", [200_000, 237_660, 475_260, 1_000_000])
def test_whatever_the_size_most_customers_are_someones_contact(rng, rows):
    population = populate(rows, new=1, rng=rng)
    times = np.bincount(population.contacts.ravel(), minlength=population.customers)
    assert (times == 0).mean() < 0.1 and times.max() < 200


def test_a_customer_pays_its_contacts_and_cashes_at_the_agents_nearby(population, rng):
    customer = np.full(1_000, 17)
    contacts = population.contact_of(customer, np.zeros(1_000), rng)
    assert set(contacts) == set(population.contacts[17])
    agents = population.agent_of(customer, rng)
    assert (population.agent_of(population.customers_of(agents, 500, rng)[0], rng)
            == agents[0]).any()
    assert len(set(agents)) == AGENTS_NEARBY and (population.kinds()[agents] == AGENT).all()


@pytest.mark.parametrize("rows", [60_000, 111_600, 500_000])
def test_whatever_the_size_all_agents_have_their_customers(rng, rows):
    population = populate(rows, new=1, rng=rng)
    customers = np.repeat(np.arange(population.customers), 20)
    used = np.bincount(population.agent_of(customers, rng) - population.customers)
    assert used.size == population.agents and used.min() > used.mean() / 2


def test_active_customers_are_drawn_more_often_and_popular_merchants_too(population, rng):
    now = np.zeros(100_000)
    customers = np.bincount(population.draw_customers(now, rng), minlength=1_000)
    share = np.diff(population.activity, prepend=0)
    assert np.corrcoef(customers, share)[0, 1] > 0.95
    merchants = population.draw_merchants(now, rng)
    assert (population.kinds()[merchants] == MERCHANT).all()
    times = np.sort(np.bincount(merchants)[merchants.min():])
    assert times[-10:].sum() > 0.3 * times.sum()


def test_others_are_different_customers_and_not_the_account(population, rng):
    accounts = np.append(np.arange(50), population.first_new)
    others = population.draw_others(accounts, 8, np.zeros(51), rng)
    together = np.sort(np.column_stack([accounts, others]), axis=1)
    assert others.shape == (51, 8) and (np.diff(together, axis=1) > 0).all()
    assert (population.kinds()[others] == CUSTOMER).all()


def test_customers_arrive_and_leave_and_are_drawn_while_they_are_there(rng):
    population = populate(600_000, 10, rng, behaviour=Behaviour(arrivals=0.3, departures=0.2))
    arrival = population.arrival[:population.customers]
    assert 0.24 < (arrival > 0).mean() < 0.3 and arrival.max() < population.period
    assert 0.15 < np.isfinite(population.departure[:population.customers]).mean() < 0.2
    assert (population.arrival < population.departure).all()
    assert population.opens_empty()[:population.customers].sum() == (arrival > 0).sum()
    time = rng.uniform(-3 * HOUR, population.period, 20_000)
    drawn = population.draw_customers(time, rng)
    assert population.is_there(drawn, time).all()
    others = population.draw_others(drawn, 3, time, rng)
    assert population.is_there(others, time[:, None]).all()
    assert population.is_there(population.payee_of(drawn, time, rng), time).all()
    assert population.is_there(population.draw_merchants(time, rng), time).all()


def test_the_same_customers_stay_over_a_longer_time(rng):
    month, half_a_year = (populate(600_000, 10, rng, days) for days in (31, 180))
    assert half_a_year.customers == pytest.approx(month.customers * 31 / 180, rel=0.01)
    assert (half_a_year.arrival[:half_a_year.customers] > 0).mean() > 0.6


def test_a_bank_pays_for_a_share_of_the_customers(population):
    customers = population.without_balance[:population.customers]
    assert customers.mean() == pytest.approx(population.behaviour.linked, abs=0.03)
    merchant = population.kinds() == MERCHANT
    assert np.array_equal(population.without_balance[population.customers:],
                          merchant[population.customers:])


def test_new_accounts_take_the_place_of_a_share_and_each_is_opened_once(population, rng):
    accounts = population.draw_customers(np.zeros(400), rng)
    first, second = (population.with_new(accounts, 0.5, rng) for _ in range(2))
    opened = np.concatenate([mixed[mixed != accounts] for mixed in (first, second)])
    assert np.array_equal(opened, population.first_new + np.arange(population.opened))
    assert abs(population.opened - 400) < 60
    assert np.array_equal(population.with_new(accounts, 0.0, rng), accounts)


def test_a_name_is_its_own_and_tells_a_merchant_and_nothing_else(population, rng):
    names = account_names(population, rng)
    assert len(set(names)) == population.size
    assert all(len(name) == 11 and name[1:].isdigit() for name in names)
    merchant = population.kinds() == MERCHANT
    assert all((name[0] == "M") == is_merchant
               for name, is_merchant in zip(names, merchant, strict=True))
    number = np.array([int(name[1:]) for name in names])
    assert abs(np.corrcoef(number, np.arange(number.size))[0, 1]) < 0.1
    assert abs(number[population.kinds() == NEW].mean() / number.mean() - 1) < 0.1
