"""Simulate a month of mobile-money payments with labelled frauds, after PaySim's facts.

    python -m fraud.training.simulate --rows 1000000 --seed 7 --out data/transactions.parquet

The same rows and seed give the same file. Types, amounts and the shape of fraud follow PaySim
(E. A. Lopez-Rojas, A. Elmir, S. Axelsson, "PaySim: a financial mobile money simulator for fraud
detection", 2016); unlike there, customers come back, so that accounts have a history.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from fraud.training import typologies
from fraud.training.ledger import AMOUNT_CUT, Settled, settle
from fraud.training.population import Population, account_names, populate
from fraud.training.typologies import FRAUD_TYPES, HOUR, Mules, Payments
from fraud.transaction import TYPE_CODES, TYPES

DEFAULT_ROWS = 1_000_000
DAYS = 31
START = 1_704_067_200_000              # 2024-01-01T00:00:00Z, a Monday
LABEL_DELAY_MEDIAN = 24 * HOUR         # until the customer complains or the analyst closes the case
LABEL_DELAY_LIMIT = 5 * 24 * HOUR
ROW_GROUP = 500_000

# Shares of PaySim's 6,362,620 rows; log-mean and log-deviation of the amounts of its honest rows.
TYPE_SHARES = {"CASH_IN": 0.2199, "CASH_OUT": 0.3517, "DEBIT": 0.0065, "PAYMENT": 0.3381,
               "TRANSFER": 0.0838}
AMOUNTS = {"CASH_IN": (11.68, 1.07), "CASH_OUT": (11.76, 1.06), "DEBIT": (7.91, 1.25),
           "PAYMENT": (8.92, 1.13), "TRANSFER": (12.85, 1.20)}
WEALTH_DEVIATION = 0.5                 # of the log: the part of an amount that is the customer's

# Weight of each hour of the day, and of each day of the week from Monday.
HOURS = np.array([22, 16, 12, 12, 14, 20, 38, 62, 85, 92, 95, 93, 92, 95, 98, 100, 100, 102, 100,
                  88, 70, 52, 40, 30], float)
WEEK = np.array([1.0, 0.98, 0.98, 1.0, 1.12, 1.08, 0.85])
SALARY_DAYS = {0: 1.3, 14: 1.25, 24: 1.3, 30: 1.3}     # more of everything on these days
SALARY_SHARE, SALARY_SHARE_ON_ITS_DAYS = 0.12, 0.5     # of the cash-ins
SALARY = 6.0                           # times a usual cash-in: keeps balances level in the month

# Episodes per payment simulated. Frauds are 0.2 % of the rows; PaySim has 0.13 %.
FRAUDS = {"account_takeover": 0.00050, "partial_drain": 0.00012, "mule_fan_in": 0.00010,
          "low_and_slow": 0.00002}
HONEST_EPISODES = {"account_emptied": 0.0009, "money_passed_on": 0.0012, "bills_in_a_row": 0.0012,
                   "savings_group": 0.0004, "big_purchase": 0.0020}


SCHEMA = pa.schema({
    "transaction_id": pa.string(), "event_time": pa.int64(), "type": pa.string(),
    "amount": pa.float64(), "origin": pa.string(), "destination": pa.string(),
    "origin_balance": pa.float64(), "destination_balance": pa.float64(), "is_fraud": pa.int8(),
    "label_time": pa.int64(), "incident_id": pa.string(), "fraud_type": pa.string(),
})


class Simulation(NamedTuple):
    """A simulated month in order of time; arrays of shape (rows,) but for `names`."""

    payments: Payments
    settled: Settled
    label_time: np.ndarray     # int64 ms since the epoch
    names: np.ndarray          # of accounts
    seed: int


def simulate(rows: int, seed: int, progress=lambda stage: None) -> Simulation:
    """Draw `rows` payments and settle their balances.

    Raises:
        ValueError: fewer than 1,000 rows, too few for any fraud.
    """
    if rows < 1_000:
        raise ValueError(f"--rows is {rows}: simulate at least 1,000")
    rng = np.random.default_rng(seed)
    progress("customers")
    population = populate(rows, fresh=rows // 500 + 100, rng=rng)
    progress("frauds and their look-alikes")
    episodes = _within_month(typologies.join(_episodes(rows, population, rng)))
    progress("ordinary payments")
    ordinary = _ordinary(rows - episodes.time.size, population, rng)
    everything = typologies.join([episodes, ordinary])
    order = np.argsort(everything.time, kind="stable")
    everything = typologies.only(everything, order)
    progress("balances")
    drawn = _amounts(everything, population, rng)
    settled = settle(everything.type_code, everything.origin, everything.destination, drawn,
                     everything.share, population.kinds(), rng)
    return Simulation(everything, settled, _label_times(everything, rng),
                      account_names(population, rng), seed)


def _episodes(rows: int, population: Population, rng) -> list[Payments]:
    mules = Mules(population, rng)
    parts: list[Payments] = []
    for name, rate in FRAUDS.items():
        starts = _fraud_starts(round(rows * rate), rng)
        parts.append(typologies.legs_together(getattr(typologies, name)(starts, population, mules, rng)))
    for name, rate in HONEST_EPISODES.items():
        starts = _honest_times(round(rows * rate), rng)
        arguments = [population, rng]
        if name == "money_passed_on":
            arguments.insert(1, mules.draw(starts.size // 8, 1.0))
        parts.append(typologies.legs_together(getattr(typologies, name)(starts, *arguments)))
    return parts


def _hour_weights() -> np.ndarray:
    weights = np.concatenate([HOURS * WEEK[day % 7] * SALARY_DAYS.get(day, 1.0)
                              for day in range(DAYS)])
    return weights / weights.sum()


def _honest_times(count: int, rng) -> np.ndarray:
    """Times by the rhythm of day, week and salary days: ms from the start."""
    per_hour = rng.multinomial(count, _hour_weights())
    return (np.repeat(np.arange(per_hour.size), per_hour) + rng.random(count)) * HOUR


def _fraud_starts(count: int, rng) -> np.ndarray:
    """Fraud keeps no hours, but hides half of itself among the others; some began last month."""
    night_and_day = rng.uniform(-3 * 24, DAYS * 24, count) * HOUR
    return np.where(rng.random(count) < 0.5, night_and_day, rng.permutation(
        _honest_times(count, rng)))


def _within_month(part: Payments) -> Payments:
    return typologies.only(part, (part.time >= 0) & (part.time < DAYS * 24 * HOUR))


def _ordinary(count: int, population: Population, rng) -> Payments:
    type_code = rng.choice(len(TYPES), count, p=_shares()).astype(np.int8)
    origin = population.draw_customers(count, rng)
    destination = population.agent_of(origin, rng)
    for name, draw in (("TRANSFER", lambda who: population.contact_of(who, rng)),
                       ("PAYMENT", lambda who: population.draw_merchants(who.size, rng))):
        rows = np.flatnonzero(type_code == TYPE_CODES[name])
        destination[rows] = draw(origin[rows])
    return typologies.payments(_honest_times(count, rng), type_code, origin, destination, 0.0)


def _shares() -> np.ndarray:
    shares = np.array([TYPE_SHARES[name] for name in TYPES])
    return shares / shares.sum()


def _amounts(part: Payments, population: Population, rng) -> np.ndarray:
    """Lognormal amounts in cents, larger for the wealthy: int64, shape (payments,)."""
    mean, deviation = np.array([AMOUNTS[name] for name in TYPES]).T
    own = np.sqrt(deviation ** 2 - WEALTH_DEVIATION ** 2)
    wealth = np.ones(population.size)
    wealth[:population.customers] = population.wealth
    units = np.exp(mean[part.type_code] + own[part.type_code]
                   * rng.standard_normal(part.time.size)) * wealth[part.origin]
    units[_salaries(part, rng)] *= SALARY
    return np.clip(np.rint(units * 100), 1, AMOUNT_CUT).astype(np.int64)


def _salaries(part: Payments, rng) -> np.ndarray:
    day = (part.time // (24 * HOUR)).astype(np.int64)
    share = np.where(np.isin(day, list(SALARY_DAYS)), SALARY_SHARE_ON_ITS_DAYS, SALARY_SHARE)
    return (part.type_code == TYPE_CODES["CASH_IN"]) & (rng.random(day.size) < share)


def _label_times(part: Payments, rng) -> np.ndarray:
    """When each label became known; all payments of an incident are reported together."""
    delay = np.minimum(LABEL_DELAY_MEDIAN * rng.lognormal(0.0, 0.6, part.time.size),
                       LABEL_DELAY_LIMIT)
    known = part.time + delay
    fraud = np.flatnonzero(part.incident >= 0)
    last = np.zeros(int(part.incident.max(initial=-1)) + 1)
    np.maximum.at(last, part.incident[fraud], known[fraud])
    known[fraud] = last[part.incident[fraud]]
    return START + known.astype(np.int64)


def write(simulation: Simulation, path: Path) -> None:
    """Write the month as Parquet, money in currency units, under its name only when complete."""
    rows = simulation.payments.time.size
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
        for first in tqdm(range(0, rows, ROW_GROUP), desc="writing", unit="group",
                          disable=rows < ROW_GROUP):
            writer.write_table(_table(simulation, slice(first, min(first + ROW_GROUP, rows))))
    partial.replace(path)


def _table(simulation: Simulation, rows: slice) -> pa.Table:
    part = typologies.only(simulation.payments, rows)
    settled = Settled(*(column[rows] for column in simulation.settled))
    names = pa.array(simulation.names)
    fraud = part.incident >= 0
    return pa.table([
        _numbered(f"S{simulation.seed}-", np.arange(rows.start, rows.stop), 9),
        START + part.time.astype(np.int64),
        pa.array(TYPES).take(pa.array(part.type_code)),
        settled.amount / 100,
        names.take(pa.array(part.origin)),
        names.take(pa.array(part.destination)),
        settled.origin_balance / 100,
        settled.destination_balance / 100,
        fraud.astype(np.int8),
        simulation.label_time[rows],
        _numbered("incident-", pa.array(part.incident, mask=~fraud), 6),
        pa.array(FRAUD_TYPES).take(pa.array(part.fraud_type, mask=~fraud)),
    ], schema=SCHEMA)


def _numbered(prefix: str, numbers, width: int) -> pa.Array:
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fraud.training.simulate", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS,
                        help="how many payments (default %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="(default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("data/transactions.parquet"),
                        help="the Parquet file to write (default %(default)s)")
    options = parser.parse_args(arguments)
    write(simulate(options.rows, options.seed, lambda stage: print(f"simulating {stage}")),
          options.out)
    print(f"{options.rows:,} payments in {options.out}")


if __name__ == "__main__":
    main()
