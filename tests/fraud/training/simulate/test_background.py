import numpy as np
import pytest

from fraud.training.simulate.background import (
    AMOUNTS, HOURS, MONTH, SALARY, SALARY_DAYS, SALARY_SHARE, SALARY_SHARE_ON_ITS_DAYS, TYPE_SHARES,
    WEEK, amounts, days_of_month, legitimate_times, ordinary)
from fraud.training.simulate.behaviour import Behaviour
from fraud.training.simulate.drafts import HOUR, payments
from fraud.training.simulate.population import AGENT, CUSTOMER, DAYS, MERCHANT, populate
from fraud.transaction import TYPE_CODES, TYPES

ROWS = 300_000
TRANSFER = TYPE_CODES["TRANSFER"]
NOTHING = payments(np.empty(0), TRANSFER, 0, 1, 0.0)


@pytest.fixture(scope="module")
def population():
    return populate(ROWS, new=10, rng=np.random.default_rng(1))


@pytest.fixture(scope="module")
def month(population):
    return ordinary(ROWS, NOTHING, population, np.random.default_rng(2))


@pytest.fixture(scope="module")
def log_amounts(month, population):
    return np.log(amounts(month, population, np.random.default_rng(3)) / 100)


def is_type(month, name) -> np.ndarray:
    return month.type_code == TYPE_CODES[name]


# Who pays whom.

@pytest.mark.parametrize(("name", "kind"), [
    ("CASH_IN", AGENT), ("CASH_OUT", AGENT), ("DEBIT", AGENT), ("PAYMENT", MERCHANT),
    ("TRANSFER", CUSTOMER)])
def test_customers_pay_an_account_of_the_kind_that_the_type_needs(month, population, name, kind):
    rows = is_type(month, name)
    assert (population.kinds()[month.origin] == CUSTOMER).all()
    assert (population.kinds()[month.destination[rows]] == kind).all()
    assert (month.origin != month.destination).all()


def test_types_have_their_shares_of_all_rows_with_the_episodes(population):
    episodes = payments(np.zeros(20_000), TRANSFER, 0, 1, 0.5)
    filled = ordinary(ROWS, episodes, population, np.random.default_rng(2))
    assert filled.time.size == ROWS - 20_000
    counts = (np.bincount(filled.type_code, minlength=len(TYPES))
              + np.bincount(episodes.type_code, minlength=len(TYPES)))
    for name, share in TYPE_SHARES.items():
        assert counts[TYPE_CODES[name]] / ROWS == pytest.approx(share, abs=0.003)


def test_payments_are_made_by_those_who_are_there_and_some_go_to_new_payees(population, month):
    assert population.is_there(month.origin, month.time).all()
    transfers = is_type(month, "TRANSFER") | is_type(month, "PAYMENT")
    assert population.is_there(month.destination[transfers], month.time[transfers]).all()
    contacts = population.contacts[month.origin] == month.destination[:, None]
    to_contacts = contacts.any(axis=1)[is_type(month, "TRANSFER")].mean()
    assert 0.7 < to_contacts < 1 - population.behaviour.new_payees
    still = populate(ROWS, 10, np.random.default_rng(1),
                     behaviour=Behaviour(arrivals=0, departures=0, new_payees=0))
    same = ordinary(ROWS, NOTHING, still, np.random.default_rng(2))
    transfers = is_type(same, "TRANSFER")
    assert (still.contacts[same.origin] == same.destination[:, None]).any(axis=1)[transfers].all()


# When.

def test_the_last_day_of_any_month_is_a_salary_day():
    days = days_of_month(60)
    assert days[[0, 14, 29, 30, 31]].tolist() == [0, 14, 29, 30, 0]
    assert days[59] == 30 and days[58] == 27     # 2024 is a leap year


def test_times_are_within_the_month():
    times = legitimate_times(50_000, DAYS, np.random.default_rng(1))
    assert times.size == 50_000 and times.min() >= 0 and times.max() < MONTH
    half_a_year = legitimate_times(50_000, 180, np.random.default_rng(1)) / (24 * HOUR)
    assert np.histogram(half_a_year, 6, (0, 180))[0] / 50_000 == pytest.approx(1 / 6, abs=0.01)


def test_days_have_their_rhythm(month):
    by_hour = np.bincount((month.time // HOUR).astype(int) % 24)
    assert by_hour / by_hour.mean() == pytest.approx(HOURS / HOURS.mean(), rel=0.08)
    assert by_hour[17] > 6 * by_hour[2]


def test_weeks_have_their_rhythm(month):
    day = (month.time // (24 * HOUR)).astype(int)
    plain = [d for d in range(DAYS) if d not in SALARY_DAYS]
    mean = [np.mean([(day == d).sum() for d in plain if d % 7 == weekday]) for weekday in range(7)]
    assert mean / np.mean(mean) == pytest.approx(WEEK / WEEK.mean(), rel=0.03)
    assert np.argmax(mean) == 4 and np.argmin(mean) == 6


def test_salary_days_bring_more_payments_and_larger_cash_ins(month, log_amounts):
    day = (month.time // (24 * HOUR)).astype(int)
    on_salary_days = np.isin(day, list(SALARY_DAYS))
    per_day = np.bincount(day)
    for salary_day, factor in SALARY_DAYS.items():
        usual = per_day[salary_day - 7 if salary_day > 7 else salary_day + 7]
        assert per_day[salary_day] / usual == pytest.approx(factor, rel=0.05)
    cash_in = is_type(month, "CASH_IN")
    usual = log_amounts[cash_in & ~on_salary_days].mean()
    larger = log_amounts[cash_in & on_salary_days].mean() - usual
    expected = (SALARY_SHARE_ON_ITS_DAYS - SALARY_SHARE) * np.log(SALARY)
    assert larger == pytest.approx(expected, rel=0.1)
    for name in ("CASH_OUT", "PAYMENT", "TRANSFER"):
        others = is_type(month, name)
        assert abs(log_amounts[others & on_salary_days].mean() - log_amounts[others].mean()) < 0.05


# How much.

@pytest.mark.parametrize("name", sorted(set(AMOUNTS) - {"CASH_IN"}))
def test_amounts_have_the_log_mean_and_deviation_of_paysim(month, log_amounts, name):
    mean, deviation = AMOUNTS[name]
    of_type = log_amounts[is_type(month, name)]
    assert of_type.mean() == pytest.approx(mean, abs=0.06)
    assert of_type.std() == pytest.approx(deviation, abs=0.06)


def test_cash_ins_are_those_of_paysim_and_salaries(month, log_amounts):
    mean, deviation = AMOUNTS["CASH_IN"]
    cash_in = is_type(month, "CASH_IN")
    on_salary_days = np.isin(month.time[cash_in] // (24 * HOUR), list(SALARY_DAYS))
    share = np.where(on_salary_days, SALARY_SHARE_ON_ITS_DAYS, SALARY_SHARE).mean()
    spread = share * (1 - share) * np.log(SALARY) ** 2
    assert log_amounts[cash_in].mean() == pytest.approx(mean + share * np.log(SALARY), abs=0.03)
    assert log_amounts[cash_in].std() == pytest.approx(np.sqrt(deviation ** 2 + spread), abs=0.03)


def test_the_wealthy_move_more(month, log_amounts, population):
    rich = population.wealth[month.origin] > np.median(population.wealth)
    cash_out = is_type(month, "CASH_OUT")
    assert log_amounts[cash_out & rich].mean() > log_amounts[cash_out & ~rich].mean() + 0.5
