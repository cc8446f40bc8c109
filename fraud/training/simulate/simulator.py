"""Simulated mobile-money payments with labelled frauds, modelled on PaySim.

The same rows, days and seed give the same file. Types, amounts and the shape of fraud follow PaySim
(E. A. Lopez-Rojas, A. Elmir, S. Axelsson, "PaySim: a financial mobile money simulator for fraud
detection", 2016); unlike there, customers come back, so that accounts have a history.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from fraud.training.errors import TrainingError
from fraud.training.files import ALL_HISTORY, ROW_GROUP, not_writable
from fraud.training.simulate import drafts, episodes, labels
from fraud.training.simulate.background import FIRST_DAY, amounts, ordinary
from fraud.training.simulate.behaviour import DEFAULT, Behaviour
from fraud.training.simulate.drafts import DraftPayments
from fraud.training.simulate.labels import LABELS
from fraud.training.simulate.ledger import Settled, settle
from fraud.training.simulate.population import DAYS, Population, account_names, populate
from fraud.transaction import TYPE_CODES, TYPES

DEFAULT_ROWS = 1_000_000
ROWS_LIMITS = 1_000, 100_000_000
DAYS_LIMITS = 1, 180
START = int(FIRST_DAY.astype("datetime64[ms]").astype(int))
LIMIT_MARGIN = 0.8                     # people stay below a limit by up to a fifth, not on it

ROUNDED = [TYPE_CODES[name] for name in ("CASH_IN", "CASH_OUT", "TRANSFER")]
Episodes = Callable[[int, Population, np.random.Generator], DraftPayments]
STAGES = 4                             # of `simulate`, each reported as it begins
SCHEMA = pa.schema({
    "transaction_id": pa.string(), "event_time": pa.int64(), "type": pa.string(),
    "amount": pa.float64(), "origin": pa.string(), "destination": pa.string(),
    "origin_balance": pa.float64(), "destination_balance": pa.float64(), "is_fraud": pa.int8(),
    "label_time": pa.int64(), "incident_id": pa.string(), "fraud_type": pa.string(),
}, {ALL_HISTORY: b"true"})


class Simulation(NamedTuple):
    """Simulated payments in order of time; arrays of shape (rows,) but for `names`."""

    payments: DraftPayments    # with incidents and types as they were reported
    settled: Settled
    label_time: np.ndarray     # int64 ms since the epoch
    names: np.ndarray          # of accounts
    seed: int


def create(rows: int, seed: int, path: Path, days: int = DAYS,
           behaviour: Behaviour = DEFAULT) -> None:
    """Simulate payments and write them, with one progress bar where it takes long.

    Raises:
        TrainingError: see `simulate` and `write`.
    """
    steps = STAGES + -(-rows // ROW_GROUP)
    quick = rows <= ROW_GROUP
    with tqdm(total=steps, unit="step", leave=False, mininterval=0,
              disable=quick or None) as bar:         # None: unless stderr is a terminal
        def progress(stage: str) -> None:
            bar.set_description(stage, refresh=False)
            bar.update()

        write(simulate(rows, seed, progress, days=days, behaviour=behaviour), path, progress)


def simulate(rows: int, seed: int, progress: Callable[[str], None] = lambda stage: None,
             episodes: Episodes = episodes.episodes, days: int = DAYS,
             behaviour: Behaviour = DEFAULT) -> Simulation:
    """Draw `rows` payments and settle their balances.

    Args:
        progress: called with the name of each stage as it begins.
        episodes: draws the payments in addition to ordinary ones.
        days: over which the payments are spread.

    Raises:
        TrainingError: rows out of `ROWS_LIMITS`, days out of `DAYS_LIMITS`, or a negative seed.
    """
    for name, number, (least, most), unit in (("--rows", rows, ROWS_LIMITS, "payments"),
                                              ("--days", days, DAYS_LIMITS, "days")):
        if not least <= number <= most:
            raise TrainingError(f"{name} is {number}: simulate {least:,} to {most:,} {unit}")
    if seed < 0:
        raise TrainingError(f"--seed is {seed}: give 0 or more")
    rng = np.random.default_rng(seed)
    progress("customers")
    population = populate(rows, rows // 500 + 100, rng, days, behaviour)
    progress("frauds and look-alikes")
    drawn = episodes(rows, population, rng)
    progress("ordinary payments")
    everything = drafts.join([drawn, ordinary(rows, drawn, population, rng)])
    everything = drafts.only(everything, np.argsort(everything.time, kind="stable"))
    progress("balances")
    settled = _settled(everything, population, rng)
    reported = labels.reported(everything, behaviour, rng)
    return Simulation(reported, settled, START + labels.times(reported, rng),
                      account_names(population, rng), seed)


def _settled(part: DraftPayments, population: Population, rng: np.random.Generator) -> Settled:
    limit = np.rint(part.limit * rng.uniform(LIMIT_MARGIN, 1.0, part.time.size)).astype(np.int64)
    is_round = ((rng.random(part.time.size) < population.behaviour.round_sums)
                & np.isin(part.type_code, ROUNDED) & (part.share < 1))
    return settle(part.type_code, part.origin, part.destination, amounts(part, population, rng),
                  part.share, limit, is_round, population.without_balance,
                  population.opens_empty(), rng)


def write(simulation: Simulation, path: Path, progress: Callable[[str], None] = lambda stage: None
          ) -> None:
    """Write payments as Parquet, money in currency units, under its name only when complete.

    Raises:
        TrainingError: the directory is not writable, or the disk is full.
    """
    rows = simulation.payments.time.size
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            for first in range(0, rows, ROW_GROUP):
                progress("writing")
                writer.write_table(_table(simulation, slice(first, min(first + ROW_GROUP, rows))))
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise not_writable(path, error) from error


def _table(simulation: Simulation, rows: slice) -> pa.Table:
    part = drafts.only(simulation.payments, rows)
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
        pa.array(LABELS).take(pa.array(part.fraud_type, mask=~fraud)),
    ], schema=SCHEMA)


def _numbered(prefix: str, numbers, width: int) -> pa.Array:
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")
