"""Small boosted trees, fitted to the first payments of the audit and measured on the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fraud.training.errors import TrainingError
from fraud.training.evaluation.thresholds import f1_curve
from fraud.training.models import boosted_trees
from fraud.training.models.samples import LabelledSample
from fraud.training.settings import BoostedTrees

FIT, EARLY_STOPPING = 0.6, 0.2  # shares of the frauds, in order of time; the rest is measured
FEWEST_FRAUDS = 10
# Fine bins: a single value among near ones may reveal the label.
TREES = BoostedTrees(max_depth=4, learning_rate=0.3, rounds=20, early_stopping_rounds=5,
                     min_child_weight=1.0, subsample=1.0, colsample_bytree=1.0, reg_lambda=1.0,
                     max_bin=2048)


@dataclass(frozen=True)
class Score:
    """Performance of a model on rows that it has not seen."""

    auprc: float
    f1: float           # at the best threshold: an upper bound


def borders(label: np.ndarray) -> tuple[int, int]:
    """Return the first rows of the early stopping part and of the last part.

    Raises:
        TrainingError: there are too few frauds to audit.
    """
    frauds = np.flatnonzero(label == 1)
    if frauds.size < FEWEST_FRAUDS:
        raise TrainingError(f"the leakage audit has {frauds.size} frauds in its {label.size:,} "
                            f"rows and needs {FEWEST_FRAUDS}: give more data, or raise [audit] "
                            "rows in flows/train_flow.toml")
    return (int(frauds[int(FIT * frauds.size)]),
            int(frauds[int((FIT + EARLY_STOPPING) * frauds.size)]))


def last_part_logits(rows: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """Return the logits of the last part of the rows: float32, shape (n - the border,).

    Args:
        rows: float32, shape (n, columns), in event order.
        label: 0 or 1, shape (n,).
    """
    fitted, early = borders(label)
    booster, _ = boosted_trees.fit(
        LabelledSample(rows[:fitted], label[:fitted]),
        LabelledSample(rows[fitted:early], label[fitted:early]), TREES, seed)
    return boosted_trees.logits(booster, rows[early:])


def scores_alone(columns: Mapping[str, np.ndarray], label: np.ndarray, seed: int
                 ) -> dict[str, Score]:
    """Return the performance of small trees on each column alone.

    Args:
        columns: float32 of shape (n,), by name; NaN is a value like others.
    """
    return {name: _score_alone(column, label, seed) for name, column in columns.items()}


def _score_alone(column: np.ndarray, label: np.ndarray, seed: int) -> Score:
    """Fit trees to the bins of a column, each with its numbers of payments as weights.

    That gives nearly the trees of the payments themselves, in a third of the time.
    """
    fitted, early = borders(label)
    values = _bins(column[:fitted])
    index = np.where(np.isnan(column), values.size,
                     np.searchsorted(values, column).clip(max=values.size - 1))
    rows = np.append(values, np.float32(np.nan))[:, None]
    booster, _ = boosted_trees.fit(_counted(rows, index[:fitted], label[:fitted]),
                                   _counted(rows, index[fitted:early], label[fitted:early]),
                                   TREES, seed)
    return measured(boosted_trees.logits(booster, rows)[index[early:]], label)


def _bins(column: np.ndarray) -> np.ndarray:
    """Return the highest value of each bin, ascending: all that a column has, or quantiles."""
    values = np.unique(column[~np.isnan(column)])
    if values.size > TREES.max_bin:
        known = np.sort(column[~np.isnan(column)])
        values = np.unique(known[np.linspace(0, known.size - 1, TREES.max_bin).astype(int)])
    return values


def _counted(rows: np.ndarray, index: np.ndarray, label: np.ndarray) -> LabelledSample:
    """Return each row once for either label; its weight is the number of payments."""
    counts = np.concatenate([np.bincount(index[label == kind], minlength=len(rows))
                             for kind in (0, 1)])
    labels = np.repeat([0, 1], len(rows))
    seen = counts > 0
    return LabelledSample(np.concatenate([rows, rows])[seen], labels[seen], counts[seen])


def score_of(rows: np.ndarray, label: np.ndarray, seed: int) -> Score:
    """Return the performance of small trees on the last part of the rows."""
    return measured(last_part_logits(rows, label, seed), label)


def measured(logits: np.ndarray, label: np.ndarray) -> Score:
    """Return the performance of logits of the last part."""
    from sklearn.metrics import average_precision_score

    truth = label[-logits.size:]
    return Score(float(average_precision_score(truth, logits)),
                 float(f1_curve(logits, truth).max()))
