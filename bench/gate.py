"""Measure the operating curve of the promotion gate, and draw it.

    python -m bench.gate --out docs/gate.png            about half an hour

Two boosted trees of one simulation, which differ in their seed, stand for an incumbent and an equal
candidate. Raising or lowering the candidate's logits of frauds makes it truly better or worse. Test
periods of a given number of incidents are drawn from the payments that neither model has seen, with
as many hours as belong to them, and the gate decides on each.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from fraud.clock import HOUR_MS
from fraud.training import settings
from fraud.training.data import dataset, options
from fraud.training.evaluation import paired_bootstrap, thresholds
from fraud.training.evaluation.paired_bootstrap import ScoredModel
from fraud.training.features import spark_job, splits
from fraud.training.features.splits import Rows
from fraud.training.models import boosted_trees, samples
from fraud.training.settings import TrainingSettings
from fraud.training.simulate import simulator
from fraud.windows import hour_of

ROWS = 1_000_000
INCIDENTS = (100, 150, 250, 500)
DIFFERENCES = (-0.02, -0.015, -0.01, -0.005, 0.0, 0.01, 0.02)   # of F1, of all payments
TRIALS = 80
SHIFTS = np.linspace(-6, 6, 241)        # of the logits of frauds
RANKED = 0.02       # share of legitimate payments, by either model: the rest is below most fraud


class HeldOutScores(NamedTuple):
    """Payments that neither model has seen: arrays of one length."""

    label: np.ndarray
    incident: np.ndarray        # a number; -1 of legitimate payments
    hour: np.ndarray            # a number from 0 on
    logits: np.ndarray          # shape (2, n): of the incumbent, of its equal


def population(rows: int, directory: Path, options_: TrainingSettings) -> HeldOutScores:
    """Simulate payments, fit two models, and score the calibration and test periods."""
    simulator.write(simulator.simulate(rows, seed=options_.seed), directory / "payments.parquet")
    prepared = dataset.prepare(str(directory / "payments.parquet"), directory,
                               options.reading(options_.data, None))
    ends = splits.borders(prepared.first_time, prepared.last_time, options_.split)
    folder = str(directory / "features")
    with spark_job.session() as spark:
        spark_job.write_features(spark, prepared.feature_table, prepared.transactions, folder, ends,
                                 prepared.recording_since)
    periods = {name: splits.read_split(folder, prepared.transactions, name, ends)
               for name in splits.NAMES}
    train = periods[splits.TRAIN]
    types = np.unique(train.type[train.label == 1])
    later = [periods[splits.CALIBRATION], periods[splits.TEST]]
    logits = []
    for seed in (options_.seed, options_.seed + 1):
        fitted, early = (samples.draw(periods[name], types, most, seed) for name, most in (
            (splits.TRAIN, samples.TO_FIT), (splits.EARLY_STOPPING, samples.TO_STOP)))
        booster, _ = boosted_trees.fit(fitted, early, options_.xgboost, seed)
        logits.append(np.concatenate(
            [period.features.scored(period.features.names, partial(boosted_trees.logits, booster))
             for period in later]))
    return _ranked(later, np.array(logits, np.float64))


def _ranked(periods: Sequence[Rows], logits: np.ndarray) -> HeldOutScores:
    label, incident, time = (np.concatenate([getattr(period, name) for period in periods])
                             for name in ("label", "incident", "event_time"))
    limits = np.quantile(logits[:, label == 0], 1 - RANKED, axis=1)
    kept = (label == 1) | (logits >= limits[:, None]).any(axis=0)
    codes = pd.factorize(pd.Series(incident).where(label == 1))[0]      # -1 without an incident
    hours = np.unique(hour_of(time), return_inverse=True)[1]
    return HeldOutScores(label[kept], codes[kept], hours[kept], logits[:, kept])


def shift_for(payments: HeldOutScores, difference: float) -> float:
    """Return the shift of the logits of frauds that makes the second model's F1 so much higher."""
    target = _best_f1(payments.logits[0], payments.label) + difference
    reached = np.array([_best_f1(payments.logits[1] + shift * payments.label, payments.label)
                        for shift in SHIFTS])
    return float(SHIFTS[np.argmin(np.abs(reached - target))])


def _best_f1(logits: np.ndarray, label: np.ndarray) -> float:
    return float(thresholds.f1_curve(logits, label).max())


def _best_threshold(logits: np.ndarray, label: np.ndarray) -> float:
    return float(np.sort(logits)[::-1][np.argmax(thresholds.f1_curve(logits, label))])


def passed(payments: HeldOutScores, shift: float, incidents: int, margin: float, trials: int
           ) -> float:
    """Return the share of test periods with so many incidents on which the gate is passed."""
    scores = payments.logits + np.array([[0.0], [shift]]) * payments.label
    models = [ScoredModel(score, _best_threshold(score, payments.label)) for score in scores]
    count = 0
    for seed in range(trials):
        rows, names, times = _period(payments, incidents, np.random.default_rng(seed))
        theirs, ours = (ScoredModel(model.score[rows], model.threshold) for model in models)
        differences = paired_bootstrap.compare(ours, theirs, payments.label[rows], names, times,
                                               seed)
        count += min(differences.f1_bound, differences.auprc_bound) > -margin
    return count / trials


def _period(payments: HeldOutScores, incidents: int, rng: np.random.Generator
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows of a test period, with their incidents and times. What is drawn twice is two."""
    known, hours = payments.incident.max() + 1, payments.hour.max() + 1
    drawn_hours = rng.integers(0, hours, round(hours * incidents / known))
    fraud_rows, fraud_draws = _drawn(payments.incident, rng.integers(0, known, incidents))
    other = np.where(payments.label == 0, payments.hour, -1)
    other_rows, other_draws = _drawn(other, drawn_hours)
    rows = np.concatenate([fraud_rows, other_rows])
    return (rows, np.concatenate([fraud_draws, np.full(other_rows.size, -1)]),
            np.concatenate([fraud_draws, other_draws]) * HOUR_MS)


def _drawn(group: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the drawn groups, and of each row the number of its draw."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], draws)
    lengths = np.searchsorted(group[order], draws, side="right") - starts
    numbers = np.repeat(np.arange(draws.size), lengths)
    inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return order[starts[numbers] + inside], numbers


def draw(curves: dict[int, list[float]], margins: dict[int, float], path: Path) -> None:
    """Draw the probability to pass against the true difference, one curve a number of incidents."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(6.5, 4), layout="constrained")
    for incidents, shares in curves.items():
        axis.plot(DIFFERENCES, shares, marker="o", markersize=3,
                  label=f"{incidents} incidents, margin {margins[incidents]:g}")
    axis.axvline(0, color="grey", linestyle=":")
    axis.set(xlabel="true F1 of the candidate less that of the champion",
             ylabel="share of test periods that it passes", ylim=(0, 1))
    axis.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def table(curves: dict[int, list[float]], margins: dict[int, float]) -> str:
    """Return the curves as a Markdown table."""
    lines = ["| incidents | margin |" + "".join(f" {value:+g} |" for value in DIFFERENCES),
             "| ---: | ---: |" + " ---: |" * len(DIFFERENCES)]
    lines += [f"| {incidents} | {margins[incidents]:g} |"
              + "".join(f" {share:.0%} |" for share in shares)
              for incidents, shares in curves.items()]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="The operating curve of the promotion gate.")
    parser.add_argument("--out", type=Path, required=True, help="the figure, a PNG file")
    parser.add_argument("--rows", type=int, default=ROWS, help="simulated payments")
    parser.add_argument("--trials", type=int, default=TRIALS, help="test periods of each point")
    arguments = parser.parse_args()
    file = settings.load(settings.FILE)
    with tempfile.TemporaryDirectory() as directory:
        payments = population(arguments.rows, Path(directory), file)
    shifts = [shift_for(payments, difference) for difference in DIFFERENCES]
    margins = {incidents: file.gate.margin_of(incidents) for incidents in INCIDENTS}
    curves = {incidents: [passed(payments, shift, incidents, margins[incidents], arguments.trials)
                          for shift in shifts] for incidents in INCIDENTS}
    draw(curves, margins, arguments.out)
    print(f"{payments.incident.max() + 1} incidents, incumbent's F1 "
          f"{_best_f1(payments.logits[0], payments.label):.3f}")
    print(table(curves, margins))


if __name__ == "__main__":
    main()
