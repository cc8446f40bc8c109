"""The leakage audit: does a feature know what nobody could know when the payment was decided?

It blocks a run on any of three findings:

- a feature of a payment is another one when later payments are deleted, and labels and columns from
  after the event are overwritten (`fraud.training.perturbation`);
- one feature alone finds fraud almost perfectly, and the settings give no reason why it may;
- a model of features and labels of payments whose labels were shuffled *before* features were
  computed does better than chance: labels reach features.

All of it uses the training period alone, and fits small boosted trees.
S. Kaufman, S. Rosset, C. Perlich, "Leakage in data mining" (2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.training import boosted_trees, evaluation, perturbation
from fraud.training.errors import TrainingError
from fraud.training.perturbation import Perturbed
from fraud.training.settings import Audit, BoostedTrees

FIT, EARLY = 0.6, 0.2           # shares of the frauds, in order of time; the rest is judged
FEWEST_FRAUDS = 10
MOST = 500_000                  # rows to fit and judge on
DRAWS = 2_000                   # of the permutation interval
OUTSIDE = 0.0005                # share of them on either side of it
# Bins are fine: what gives a label away may be one value among many that are near it.
TREES = BoostedTrees(max_depth=4, learning_rate=0.3, rounds=20, early_stopping_rounds=5,
                     min_child_weight=1.0, subsample=1.0, colsample_bytree=1.0, max_bin=2048)


@dataclass(frozen=True)
class Score:
    """How well a model finds fraud in rows that it has not seen."""

    auprc: float
    f1: float           # at the best of all thresholds: an upper bound


@dataclass(frozen=True)
class Leakage:
    """What the audit saw. It has no findings where nothing leaks."""

    findings: list[str]             # sentences, each with feature and reason
    rows: int
    compared_rows: int              # whose features were computed again
    alone: dict[str, Score]         # of each feature, best first
    honest: Score                   # of all features together
    leaky: Score | None             # with the columns from after the event; None without any
    shuffled: float                 # AUPRC of the model of shuffled labels
    interval: tuple[float, float]   # in which chance has it


def audit(folder: str, perturbed_folder: str, transactions: str, perturbed: Perturbed, time: int,
          after_event: Mapping[str, np.ndarray], settings: Audit, seed: int) -> Leakage:
    """Audit the features that were computed from payments.

    Args:
        folder, perturbed_folder: features of `transactions`, and of the perturbed payments.
        time: ms since the epoch; labels that became known only then or later are not used.
        after_event: columns that are known only after a payment, by name, of the rows of
            `perturbed`: shape (rows,) each. None of them is a feature.

    Raises:
        TrainingError: there are too few frauds to audit.
    """
    first, end = perturbed.first, perturbed.end
    before = perturbation.read_features(folder, first, end)
    after = perturbation.read_features(perturbed_folder, first, end)
    label, known = _labels(transactions, first, end, time)
    names = [name for name in before.column_names if name != "position"]
    rows = _matrix(before, names)[known]
    alone = {name: _score(rows[:, [place]], label, seed) for place, name in enumerate(names)}
    alone = dict(sorted(alone.items(), key=lambda item: -item[1].auprc))
    shuffled_label, also_known = _labels(perturbed.transactions, first, end, time)
    shuffled, interval = _shuffled(_matrix(after, names)[also_known], shuffled_label, seed)
    leaky = None
    if after_event:
        later = np.column_stack(list(after_event.values())).astype(np.float32)[known]
        leaky = _score(np.column_stack([rows, later]), label, seed)
    differ = perturbation.changed(before, after, perturbed.compared)
    compared = end - perturbed.compared
    return Leakage(
        findings=[*_knows_later(differ, compared), *_too_good(alone, settings),
                  *_labels_reach_features(shuffled, interval)],
        rows=len(label), compared_rows=compared, alone=alone, honest=_score(rows, label, seed),
        leaky=leaky, shuffled=shuffled, interval=interval)


def check(found: Leakage) -> None:
    """Raises TrainingError where something leaks."""
    if found.findings:
        raise TrainingError("the leakage audit blocks this run: " + "; ".join(found.findings))


def _knows_later(differ: Mapping[str, int], compared: int) -> list[str]:
    return [f"{name} depends on what is known only later ({rows:,} of {compared:,} rows change "
            "when later payments are deleted, and labels and columns from after the event are "
            "overwritten): compute it from earlier payments and from the payment itself"
            for name, rows in differ.items()]


def _too_good(alone: Mapping[str, Score], settings: Audit) -> list[str]:
    return [f"{name} alone reaches an AUPRC of {score.auprc:.3f}, above {settings.alone_auprc:g}: "
            "as a rule it knows the label; if it may, give the reason under audit.allowed in "
            "flows/train_flow.toml"
            for name, score in alone.items()
            if score.auprc > settings.alone_auprc and name not in settings.allowed]


def _labels_reach_features(auprc: float, interval: tuple[float, float]) -> list[str]:
    low, high = interval
    return [] if low <= auprc <= high else [
        f"a model of shuffled labels reaches an AUPRC of {auprc:.4f}, where chance has "
        f"{low:.4f} to {high:.4f}: labels reach the features"]


def _labels(transactions: str, first: int, end: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels of rows that were known before a time, `MOST` at most, and which rows those are:
    the last ones.
    """
    table = pq.read_table(transactions, columns=["is_fraud", "label_time"], filters=[
        ("position", ">=", first), ("position", "<", end)])
    known = table["label_time"].to_numpy() < time
    known[np.flatnonzero(known)[:-MOST]] = False
    return table["is_fraud"].to_numpy()[known], known


def _matrix(table: pa.Table, names: list[str]) -> np.ndarray:
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)


def _judged(rows: np.ndarray, label: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of small trees on the last part of rows, and the labels of that part."""
    frauds = np.flatnonzero(label == 1)
    if frauds.size < FEWEST_FRAUDS:
        raise TrainingError(f"the leakage audit finds {frauds.size} frauds in its "
                            f"{label.size:,} rows and needs {FEWEST_FRAUDS}: give more data, or "
                            "raise audit.rows in flows/train_flow.toml")
    fitted, early = (int(frauds[int(share * frauds.size)]) for share in (FIT, FIT + EARLY))
    booster, _ = boosted_trees.fit(rows[:fitted], label[:fitted], rows[fitted:early],
                                   label[fitted:early], TREES, seed)
    return boosted_trees.logits(booster, rows[early:]), label[early:]


def _score(rows: np.ndarray, label: np.ndarray, seed: int) -> Score:
    from sklearn.metrics import average_precision_score

    logits, truth = _judged(rows, label, seed)
    return Score(float(average_precision_score(truth, logits)),
                 float(evaluation.f1_curve(logits, truth).max()))


def _shuffled(rows: np.ndarray, label: np.ndarray,
              seed: int) -> tuple[float, tuple[float, float]]:
    """AUPRC of a model, ties broken at random, and the interval it has if labels are chance."""
    logits, truth = _judged(rows, label, seed)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(truth.size), -logits))
    number = int(truth.sum())
    draws = [_average_precision(rng.choice(truth.size, number, replace=False))
             for _ in range(DRAWS)]
    low, high = np.quantile(draws, [OUTSIDE, 1 - OUTSIDE])
    return _average_precision(np.flatnonzero(truth[order])), (float(low), float(high))


def _average_precision(ranks: np.ndarray) -> float:
    """Average precision where the positives have these ranks, from 0."""
    return float(np.mean(np.arange(1, ranks.size + 1) / (np.sort(ranks) + 1)))
