from collections.abc import Callable

import numpy as np
import pytest

from fraud.training.simulate import drafts, episodes
from fraud.training.simulate.background import MONTH, legitimate_times
from fraud.training.simulate.behaviour import Behaviour
from fraud.training.simulate.drafts import HOUR, LEGITIMATE, DraftPayments
from fraud.training.simulate.episodes import (
    CASH_OUT, FRAUD_TYPES, FRAUDS, LEGITIMATE_EPISODES, PAYMENT, TRANSFER, WATCHED)
from fraud.training.simulate.population import AGENT, CUSTOMER, DAYS, MERCHANT, NEW, populate

EPISODES = 300
PLAIN = Behaviour(arrivals=0, departures=0, new_payees=0, failed_attempts=0, reused_mules=0,
                  contact_mules=0)
THROUGH_MULES = [kind for kind in FRAUDS if kind is not episodes.compromised_agent]


@pytest.fixture
def population():
    return populate(200_000, 1_000, np.random.default_rng(1), behaviour=PLAIN)


@pytest.fixture
def drawn(population) -> Callable[[Callable], DraftPayments]:
    """The payments of 300 episodes that begin at 0, 1000, 2000, ... hours, in order of time."""
    def draw(typology) -> DraftPayments:
        starts = np.arange(EPISODES) * 1000 * HOUR
        part = drafts.legs_together(typology(starts, population, np.random.default_rng(2)))
        return drafts.only(part, np.argsort(part.time, kind="stable"))
    return draw


def by_episode(part: DraftPayments) -> list[DraftPayments]:
    """They are far apart: time tells the episode."""
    episode = part.time // (1000 * HOUR)
    return [drafts.only(part, episode == which) for which in range(EPISODES)]


def hours_of(part: DraftPayments) -> np.ndarray:
    return (part.time - part.time[0]) / HOUR


def transfers_of(part: DraftPayments) -> DraftPayments:
    return drafts.only(part, part.type_code == TRANSFER)


def cash_outs_of(part: DraftPayments) -> DraftPayments:
    return drafts.only(part, part.type_code == CASH_OUT)


# Frauds.

@pytest.mark.parametrize("typology", FRAUDS)
def test_frauds_carry_their_incident_and_type(drawn, typology):
    part = drawn(typology)
    assert {FRAUD_TYPES[code] for code in part.fraud_type} == {typology.__name__}
    for number, episode in enumerate(by_episode(part)):
        assert set(episode.incident) == {number}
        assert not (episode.origin == episode.destination).any()


@pytest.mark.parametrize("typology", THROUGH_MULES)
def test_mules_are_new_accounts_or_recruited_customers_and_victims_are_customers(
        drawn, population, typology):
    part, kinds = transfers_of(drawn(typology)), population.kinds()
    assert set(kinds[part.destination]) == {CUSTOMER, NEW}
    assert set(kinds[part.origin]) == {CUSTOMER}
    assert not set(part.destination[kinds[part.destination] == NEW]) & set(part.origin)


def test_a_takeover_empties_the_victim_to_a_mule_who_cashes_out(drawn, population):
    emptied = 0
    for episode in by_episode(drawn(episodes.account_takeover)):
        assert episode.type_code.tolist() == [TRANSFER, CASH_OUT]
        assert episode.origin[1] == episode.destination[0]
        assert population.kinds()[episode.destination[1]] == AGENT
        emptied += episode.share[0] == 1
    assert 0.8 < emptied / EPISODES < 0.98


def test_a_partial_drain_is_several_transfers_within_hours_each_below_the_watched_limit(drawn):
    for episode in by_episode(drawn(episodes.partial_drain)):
        drains, out = transfers_of(episode), cash_outs_of(episode)
        assert 4 <= drains.time.size <= 6 and out.time.size == 2
        assert len(set(drains.origin)) == len(set(drains.destination)) == 1
        assert set(out.origin) == set(drains.destination)
        assert (drains.limit == WATCHED).all() and drains.share.max() < 0.5
    assert np.median([hours_of(episode)[-1] for episode in by_episode(
        transfers_of(drawn(episodes.partial_drain)))]) < 4


def test_a_fan_in_is_at_least_four_victims_and_one_mule_within_a_day(drawn):
    for episode in by_episode(drawn(episodes.mule_fan_in)):
        paid, out = transfers_of(episode), cash_outs_of(episode)
        assert 4 <= len(set(paid.origin)) == paid.time.size <= 8
        assert set(paid.destination) == set(out.origin) and len(set(out.origin)) == 1
        assert hours_of(paid)[-1] < 24
        assert out.time.min() > paid.time[1]


def test_an_agent_cashes_out_from_customers_who_come_to_it(drawn, population):
    for episode in by_episode(drawn(episodes.compromised_agent)):
        assert set(episode.type_code) == {CASH_OUT} and len(set(episode.destination)) == 1
        nearby = (episode.destination - population.customers - episode.origin) % population.agents
        assert nearby.max() < 3 and len(set(episode.origin)) > 8
        assert hours_of(episode)[-1] < 4 * 24


def test_takeovers_may_fail_first_use_a_mule_again_or_pay_a_contact():
    behaviour = Behaviour(arrivals=0, departures=0, failed_attempts=0.5, reused_mules=0.5,
                          contact_mules=0.2)
    population = populate(200_000, 1_000, np.random.default_rng(1), behaviour=behaviour)
    starts = np.arange(EPISODES) * 10 * HOUR
    attempts, drains, _ = episodes.account_takeover(starts, population, np.random.default_rng(2))
    assert attempts.time.size / EPISODES == pytest.approx(0.5, abs=0.1)
    assert attempts.share.min() > 1
    assert 0.3 < 1 - len(set(drains.destination)) / EPISODES < 0.5
    contacts = (population.contacts[drains.origin] == drains.destination[:, None]).any(axis=1)
    assert contacts.mean() == pytest.approx(0.2, abs=0.06)


def test_low_and_slow_stays_outside_of_the_days_window(drawn):
    for episode in by_episode(drawn(episodes.low_and_slow)):
        assert episode.type_code.tolist() == [TRANSFER] * 3
        assert len(set(episode.origin)) == len(set(episode.destination)) == 1
        assert np.diff(hours_of(episode)).min() > 24 and episode.share.max() <= 0.15


# Legitimate twins.

@pytest.mark.parametrize("typology", LEGITIMATE_EPISODES)
def test_look_alikes_are_legitimate_and_pay_no_one_themselves(drawn, typology):
    part = drawn(typology)
    assert set(part.incident) == set(part.fraud_type) == {LEGITIMATE}
    assert not (part.origin == part.destination).any()
    failed = part.share > 1
    assert (part.share > 0).all()
    assert failed.mean() == (0.5 if typology is episodes.failed_attempt else 0)


def test_new_customers_are_paid_or_pay_in_first():
    population = populate(200_000, 1_000, np.random.default_rng(1))
    part = drafts.legs_together(episodes.first_days(population, np.random.default_rng(2)))
    arrived = np.flatnonzero(population.arrival[:population.customers] > 0)
    first = {}
    for row in np.argsort(part.time, kind="stable"):
        for account in {part.origin[row], part.destination[row]} & set(arrived):
            first.setdefault(account, row)
    assert set(arrived) <= set(first) and set(part.incident) == {LEGITIMATE}
    paid = [part.type_code[row] == TRANSFER and part.destination[row] == account
            for account, row in first.items()]
    assert 0.55 < np.mean(paid) < 0.85


def test_legitimate_customers_empty_their_account_as_a_takeover_does(drawn, population):
    part = drawn(episodes.account_emptied)
    assert (part.share == 1).all() and set(part.type_code) == {TRANSFER, CASH_OUT}
    moved = transfers_of(part)
    assert (population.contacts[moved.origin] == moved.destination[:, None]).any(axis=1).all()


def test_money_is_passed_on_as_by_mules_now_and_then_into_a_new_account(drawn, population):
    new = []
    for episode in by_episode(drawn(episodes.money_passed_on)):
        assert episode.type_code.tolist() == [TRANSFER, CASH_OUT]
        assert episode.origin[1] == episode.destination[0]
        new.append(population.kinds()[episode.origin[1]] == NEW)
    assert 0.05 < np.mean(new) < 0.2
    assert abs(np.mean(np.flatnonzero(new)) / EPISODES - 0.5) < 0.2     # all through the month


def test_bills_leave_in_a_row_as_in_a_partial_drain(drawn, population):
    for episode in by_episode(drawn(episodes.bills_in_a_row)):
        assert episode.type_code.tolist() == [TRANSFER] * 3 and len(set(episode.origin)) == 1
        assert set(episode.destination) <= set(population.contacts[episode.origin[0]])
    assert np.median([hours_of(episode)[-1] for episode in by_episode(
        drawn(episodes.bills_in_a_row))]) < 4


def test_a_savings_group_pays_one_treasurer_as_a_fan_in_does(drawn):
    for episode in by_episode(drawn(episodes.savings_group)):
        paid, out = transfers_of(episode), cash_outs_of(episode)
        assert len(set(paid.origin)) == 6 and hours_of(paid)[-1] < 24
        assert set(paid.destination) == set(out.origin)
        assert out.time[0] > paid.time.max()


def test_an_allowance_keeps_the_rhythm_of_low_and_slow(drawn, population):
    for episode in by_episode(drawn(episodes.allowance)):
        assert episode.type_code.tolist() == [TRANSFER] * 3
        assert len(set(episode.origin)) == len(set(episode.destination)) == 1
        assert episode.destination[0] in population.contacts[episode.origin[0]]
        assert np.diff(hours_of(episode)).min() > 24 and episode.share.max() <= 0.15


def test_big_purchases_take_a_large_part_of_the_balance(drawn, population):
    part = drawn(episodes.big_purchase)
    at_merchants = population.kinds()[part.destination] == MERCHANT
    assert set(part.type_code[at_merchants]) == {PAYMENT} and at_merchants.mean() > 0.5
    assert set(part.type_code[~at_merchants]) == {TRANSFER} and part.share.min() >= 0.3


# A month of them.

def test_every_kind_of_fraud_occurs_in_the_smallest_month(population):
    part = episodes.episodes(25_000, population, np.random.default_rng(3))
    assert set(part.fraud_type) == {LEGITIMATE, *range(len(FRAUD_TYPES))}
    assert part.time.min() >= 0 and part.time.max() < MONTH


def test_incidents_of_different_kinds_have_different_numbers(population):
    part = episodes.episodes(200_000, population, np.random.default_rng(3))
    fraud = part.incident >= 0
    kinds = {}
    for number, kind in zip(part.incident[fraud], part.fraud_type[fraud], strict=True):
        assert kinds.setdefault(number, kind) == kind
    assert len(kinds) > 120


def test_fraud_keeps_fewer_hours_than_legitimate_payments_do():
    rng = np.random.default_rng(4)
    night = [((times // HOUR) % 24 < 5).mean()
             for times in (episodes.fraud_starts(20_000, DAYS, rng),
                           legitimate_times(20_000, DAYS, rng))]
    assert night[1] < 0.08 < 0.1 < night[0] < 0.18
