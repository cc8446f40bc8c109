"""Measure how hard and how fast the simulator is, and write docs/simulator.md with the figures.

    python -m bench.simulator                              about 25 minutes on two cores
    python -m bench.simulator --rows 200000 --seed 8       another size, another seed

Four questions of a simulation: how far does one rule get, what does history add, which frauds are
found, and do traces of the generator (names, digits) give fraud away? One of each behaviour: how
much easier is fraud without it? And two of one at PaySim's size: how long it takes on one core, and
how much memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.util import hash_array
from sklearn.metrics import average_precision_score, f1_score
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fraud import bundle
from fraud.training import settings
from fraud.training.data import dataset
from fraud.training.evaluation import metrics
from fraud.training.features import spark_job, splits
from fraud.training.models import boosted_trees, candidate
from fraud.training.models.samples import LabelledSample
from fraud.training.simulate import simulator
from fraud.training.simulate.behaviour import DEFAULT, MEANINGS, Behaviour
from fraud.transaction import TYPES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/simulator.md"
MARK = "<!-- measured by bench/simulator.py: what follows is overwritten -->\n"
PAYSIM_ROWS = 6_362_620
PERMUTATIONS = 39          # the range of these holds an equal one with 95 % probability, exactly
BUCKETS = 1_000            # of names and rows
ROUND = 1_000              # cents: no other sums are multiples of it, but for one in a thousand
REPORTED_ONLY = ("low_and_slow", "compromised_agent", "false_report")   # no feature tells them


def one_rule_f1(payments: pa.Table) -> float:
    """F1 of "fraud is where the amount is the origin's balance"; a table of `dataset.SCHEMA`."""
    empties = pc.equal(payments["amount_cents"], payments["origin_balance_cents"])
    return float(f1_score(payments["is_fraud"].to_numpy(), empties.to_numpy()))


def artefacts(payments: pa.Table, rng: np.random.Generator) -> np.ndarray:
    """Return traces a generator may leave that are no behaviour: float32, shape (payments, 17).

    Names as numbers, by their last digits and hashed, and their lengths; the cents of amount and
    balances; whole amounts; the position in hour, minute and second; the order of rows. A balance
    of zero, one that is the amount, and round sums are behaviour that cents would reveal: there,
    the cents are drawn anew.
    """
    columns = []
    for side in ("origin", "destination"):
        names = payments[side].to_numpy()
        number = pc.cast(pc.utf8_slice_codeunits(payments[side], 1), pa.int64()).to_numpy()
        columns += [number, number % BUCKETS, hash_array(names) % BUCKETS,
                    pc.utf8_length(payments[side]).to_numpy()]
    amount = payments["amount_cents"].to_numpy()
    cents = np.where(amount % ROUND == 0, rng.integers(0, 100, amount.size), amount % 100)
    for name in ("origin_balance_cents", "destination_balance_cents"):
        balance = payments[name].to_numpy()
        drawn = rng.integers(0, 100, balance.size)
        columns.append(np.where((balance == 0) | (balance == amount), drawn, balance % 100))
    time_ms = payments["event_time"].to_numpy()
    columns += [cents, cents == 0, time_ms % 3_600_000, time_ms % 60_000, time_ms % 1_000,
                np.arange(amount.size) % BUCKETS,
                pc.utf8_length(payments["transaction_id"]).to_numpy()]
    return np.column_stack(columns).astype(np.float32)


def artefact_test(payments: pa.Table, ends: dict[str, int], trees: settings.BoostedTrees,
                  seed: int, permutations: int = PERMUTATIONS) -> tuple[float, np.ndarray]:
    """Return test AUPRC of trees that see artefacts alone, and the same with permuted labels.

    Payments are those of the two types in which fraud occurs, and one of each incident and mule:
    the others share their names, so that they could not be permuted alone. Labels are permuted
    within a type and a period, as the type is behaviour that names reveal (agents are seen often).
    """
    rng = np.random.default_rng(seed)
    payments = _exchangeable(payments, rng)
    rows, label = artefacts(payments, rng), payments["is_fraud"].to_numpy()
    period = np.digitize(payments["event_time"].to_numpy(), [ends["train"], ends["calibration"]])
    parts = [np.flatnonzero(period == number) for number in range(3)]
    types = payments["type"].to_numpy()
    group = period * len(TYPES) + np.searchsorted(TYPES, types.astype(str))
    groups = [np.flatnonzero(group == number) for number in np.unique(group)]

    def auprc(label: np.ndarray) -> float:
        train, early, test = parts
        booster, _ = boosted_trees.fit(LabelledSample(rows[train], label[train]),
                                       LabelledSample(rows[early], label[early]), trees, seed)
        return float(average_precision_score(
            label[test], boosted_trees.logits(booster, rows[test])))

    permuted = []
    with threadpool_limits(1):     # many small fits: threads would mostly wait for each other
        for _ in tqdm(range(permutations), desc="permutations", disable=None, leave=False):
            shuffled = label.copy()
            for members in groups:
                shuffled[members] = label[rng.permutation(members)]
            permuted.append(auprc(shuffled))
        return auprc(label), np.sort(permuted)


def _exchangeable(payments: pa.Table, rng: np.random.Generator) -> pa.Table:
    shuffled = rng.permutation(payments.num_rows)
    incident = payments["incident_id"].to_numpy()[shuffled].astype(str)
    fraud = payments["is_fraud"].to_numpy()[shuffled] == 1
    first = np.flatnonzero(fraud)[np.unique(incident[fraud], return_index=True)[1]]
    mule = payments["destination"].to_numpy()[shuffled][first].astype(str)
    first = first[np.unique(mule, return_index=True)[1]]
    kept = np.isin(payments["type"].to_numpy().astype(str), ["TRANSFER", "CASH_OUT"])
    kept[shuffled[fraud]] = False
    kept[shuffled[first]] = True
    return payments.filter(kept)


def of_test(variant: candidate.Variant, rows: splits.Rows) -> tuple[dict, dict]:
    """Return metrics of the test period, and the share of each kind of fraud was declined."""
    manifest = variant.manifest
    logits = rows.features.scored(
        manifest.features, candidate.onnx_logits(Path(variant.onnx).read_bytes()))
    scores = bundle.calibrated(logits, manifest.calibration)
    decline, fraud = variant.thresholds.decline, rows.label == 1
    return (metrics.period_metrics(scores, rows.label, decline, rows.days, ""),
            metrics.recall_by(rows.fraud_type[fraud], scores[fraud] >= decline))


def full_size(directory: Path) -> tuple[float, float]:
    """Return seconds and GiB of a simulation at PaySim's size in a process of one core."""
    command = ["taskset", "-c", "0", sys.executable, "-m", "fraud.training.simulate",
               "--rows", str(PAYSIM_ROWS), "--out", str(directory / "full.parquet")]
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 2 ** 20


class Trained(NamedTuple):
    """XGBoost, trained on a simulation."""

    candidate: candidate.Candidate
    payments: pa.Table
    ends: dict[str, int]
    test: splits.Rows


def train(rows: int, seed: int, behaviour: Behaviour, directory: Path,
          chosen: settings.TrainingSettings) -> Trained:
    """Train XGBoost and its fallback on a simulation, with the settings of the flow."""
    simulator.create(rows, seed, directory / "simulated.parquet", behaviour=behaviour)
    prepared = dataset.prepare(str(directory / "simulated.parquet"), directory)
    ends = splits.borders(prepared.first_time, prepared.last_time, chosen.split)
    spark_job.write_features(spark_job.session(), prepared.feature_table, prepared.transactions,
                             str(directory / "features"), ends, prepared.recording_since)
    source = str(directory / "features"), prepared.transactions
    trees = candidate.train("xgboost", prepared.feature_table, *source, ends, directory, chosen)
    return Trained(trees, pq.read_table(prepared.transactions), ends,
                   splits.read_split(*source, splits.TEST, ends))


def without_each(rows: int, seed: int, chosen: settings.TrainingSettings) -> list[str]:
    """Return the lines of the table of behaviours: share, and what F1 and AUPRC are without it."""
    lines = []
    for name, meaning in MEANINGS.items():
        with tempfile.TemporaryDirectory() as directory:
            trained = train(rows, seed, replace(DEFAULT, **{name: 0.0}), Path(directory), chosen)
            measured, _ = of_test(trained.candidate.model, trained.test)
        lines.append(f"| `--{name.replace('_', '-')}` | {meaning} | {getattr(DEFAULT, name):g} | "
                     f"{measured['f1']:.3f} | {measured['auprc']:.3f} |")
    return lines


def measure(rows: int, seed: int, directory: Path, chosen: settings.TrainingSettings
            ) -> list[tuple[str, str, str]]:
    """Return the lines of the table: name, figure, requirement."""
    trees, payments, ends, test = train(rows, seed, DEFAULT, directory, chosen)
    (measured, recalls), (blind, _) = of_test(trees.model, test), of_test(trees.fallback, test)
    gain = measured["auprc"] - blind["auprc"]
    leak, permuted = artefact_test(payments, ends, chosen.xgboost, seed)
    incidents = len(np.unique(test.incident[test.label == 1].astype(str)))
    return [
        ("fraud incidents in the test period", f"{incidents}", ">= 150"),
        ("F1 of the rule \"amount = origin balance\"", f"{one_rule_f1(payments):.3f}", "<= 0.6"),
        ("F1 of XGBoost", f"{measured['f1']:.3f}", "0.75 to 0.97"),
        ("AUPRC of XGBoost", f"{measured['auprc']:.3f}", ""),
        ("AUPRC of XGBoost without history", f"{blind['auprc']:.3f}", ""),
        ("AUPRC that history adds", f"{gain:.3f}", ">= 0.05"),
        *((f"recall of `{name}`, {count} payments", f"{recall:.3f}",
           "reported only" if name in REPORTED_ONLY else "<= 0.99")
          for name, (count, recall) in recalls.items()),
        ("AUPRC of XGBoost on artefacts alone", f"{leak:.4f}",
         f"{permuted[0]:.4f} to {permuted[-1]:.4f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.simulator", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=simulator.DEFAULT_ROWS,
                        help="payments to simulate (default %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="(default %(default)s)")
    options = parser.parse_args()
    chosen = settings.parse(tomllib.loads((ROOT / "flows/train_flow.toml").read_text()))
    with tempfile.TemporaryDirectory() as directory:
        seconds, memory = full_size(Path(directory))
        lines = measure(options.rows, options.seed, Path(directory), chosen)
    behaviours = without_each(options.rows, options.seed, chosen)
    lines += [
        (f"seconds for {PAYSIM_ROWS:,} payments on one core", f"{seconds:.1f}", "<= 60"),
        ("payments a second", f"{PAYSIM_ROWS / seconds:,.0f}", ""),
        ("memory of that process, GiB", f"{memory:.2f}", "<= 4"),
    ]
    table = "\n".join(["| measured | figure | must be |", "| --- | ---: | --- |",
                       *(f"| {' | '.join(line)} |" for line in lines)])
    report = (f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python "
              f"{platform.python_version()}: `python -m bench.simulator --rows {options.rows} "
              f"--seed {options.seed}`\n\n{table}\n\nEach behaviour is a parameter. What XGBoost "
              f"reaches without it, all others as they are, on one seed. Two seeds differ by about "
              f"0.03, so smaller effects may be chance:\n\n"
              "| parameter | share of | default | F1 without | AUPRC without |\n"
              "| --- | --- | ---: | ---: | ---: |\n" + "\n".join(behaviours) + "\n")
    print(report)
    PAGE.write_text(PAGE.read_text().split(MARK)[0] + MARK + "\n" + report)


if __name__ == "__main__":
    main()
