"""The leakage audit: features must not know what is unknown at authorisation.

It stops a run on any of three findings:

- a feature of a payment changes when later payments are deleted, and labels and post-event columns
  are overwritten (`fraud.training.leakage.point_in_time`);
- one feature alone finds fraud almost perfectly, and the settings give no reason for it;
- a model of payments whose labels were shuffled *before* features were computed performs better
  than chance: labels reach features.

It uses only the train period, and fits small boosted trees.
S. Kaufman, S. Rosset, C. Perlich, "Leakage in data mining" (2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.training.errors import TrainingError
from fraud.training.evaluation.thresholds import f1_curve
from fraud.training.leakage import point_in_time
from fraud.training.leakage.point_in_time import PointInTimeCopy
from fraud.training.models import boosted_trees
from fraud.training.settings import Audit, BoostedTrees

FIT, EARLY_STOPPING = 0.6, 0.2  # shares of the frauds, in order of time; the rest is measured
FEWEST_FRAUDS = 10
MOST = 500_000                  # rows to fit and measure on
DRAWS = 2_000                   # of the permutation interval
OUTSIDE = 0.0005                # share of them on either side of it
# Fine bins: a single value among near ones may reveal the label.
TREES = BoostedTrees(max_depth=4, learning_rate=0.3, rounds=20, early_stopping_rounds=5,
                     min_child_weight=1.0, subsample=1.0, colsample_bytree=1.0, max_bin=2048)


@dataclass(frozen=True)
class Score:
    """Performance of a model on rows that it has not seen."""

    auprc: float
    f1: float           # at the best threshold: an upper bound


@dataclass(frozen=True)
class Leakage:
    """The result of an audit; without findings nothing leaks."""

    findings: list[str]             # sentences, each with feature and reason
    rows: int
    compared_rows: int              # whose features were computed again
    alone: dict[str, Score]         # of each feature, best first
    without_leaks: Score            # of all features together
    with_post_event_columns: Score | None       # None if the data has no such column
    shuffled: float                 # AUPRC of the model of shuffled labels
    interval: tuple[float, float]   # of chance
    judged_frauds: int              # in the last part, on which scores are measured
    base_rate: float                # share of frauds there: the AUPRC of chance

    @property
    def doubt(self) -> str | None:
        """The reason why no feature can be judged alone, if there is one."""
        if self.judged_frauds < FEWEST_FRAUDS:
            return ("no feature is judged alone: the audit measures on "
                    f"{self.judged_frauds} frauds and needs {FEWEST_FRAUDS}")
        return None


def audit(folder: str, copy_folder: str, transactions: str, copy: PointInTimeCopy, time: int,
          post_event_columns: Mapping[str, np.ndarray], settings: Audit, seed: int) -> Leakage:
    """Audit the features that were computed from payments.

    Args:
        folder, copy_folder: features of `transactions`, and of the point-in-time copy.
        time: ms since the epoch; labels that became known then or later are not used.
        post_event_columns: columns that are known only after the decision, by name, of the rows
            of `copy`: shape (rows,) each. None of them is a feature.

    Raises:
        TrainingError: there are too few frauds to audit.
    """
    first, end = copy.first, copy.end
    before = point_in_time.read_features(folder, first, end)
    after = point_in_time.read_features(copy_folder, first, end)
    label, known = _labels(transactions, first, end, time)
    names = [name for name in before.column_names if name != "position"]
    rows = _matrix(before, names)[known]
    alone = {name: _score(rows[:, [index]], label, seed) for index, name in enumerate(names)}
    alone = dict(sorted(alone.items(), key=lambda item: -item[1].auprc))
    shuffled_label, known_in_copy = _labels(copy.transactions, first, end, time)
    shuffled, interval = _shuffled(_matrix(after, names)[known_in_copy], shuffled_label, seed)
    with_post_event_columns = None
    if post_event_columns:
        later = np.column_stack(list(post_event_columns.values())).astype(np.float32)[known]
        with_post_event_columns = _score(np.column_stack([rows, later]), label, seed)
    changed = point_in_time.changed_rows(before, after, copy.compared)
    compared = end - copy.compared
    judged = label[_borders(label)[1]:]
    return Leakage(
        findings=[*_knows_the_future(changed, compared), *_too_good_alone(alone, judged, settings),
                  *_labels_reach_features(shuffled, interval)],
        judged_frauds=int(judged.sum()), base_rate=float(judged.mean()),
        rows=len(label), compared_rows=compared, alone=alone,
        without_leaks=_score(rows, label, seed), with_post_event_columns=with_post_event_columns,
        shuffled=shuffled, interval=interval)


def check(result: Leakage) -> None:
    """Raise TrainingError if something leaks."""
    if result.findings:
        raise TrainingError("the leakage audit stops this run: " + "; ".join(result.findings))


def _knows_the_future(changed: Mapping[str, int], compared: int) -> list[str]:
    return [f"{name} knows the future ({rows:,} of {compared:,} rows change when later payments "
            "are deleted, and labels and post-event columns are overwritten): compute it from "
            "earlier payments and the payment itself"
            for name, rows in changed.items()]


def _too_good_alone(alone: Mapping[str, Score], judged: np.ndarray, settings: Audit) -> list[str]:
    """Return a finding for each feature that is far above chance, on its own.

    Args:
        judged: the labels on which the features were measured. Chance reaches their mean.
    """
    if judged.sum() < FEWEST_FRAUDS:
        return []
    chance = float(judged.mean())
    limit = chance + settings.alone_auprc * (1 - chance)
    return [f"{name} alone reaches an AUPRC of {score.auprc:.3f}, above {limit:.3g} (chance gives "
            f"{chance:.3g}): such a feature usually knows the label; if it may, give the reason "
            "under [audit.allowed] in flows/train_flow.toml, then `python flows/train_flow.py "
            "resume` goes on from here"
            for name, score in alone.items()
            if score.auprc > limit and name not in settings.allowed]


def _labels_reach_features(auprc: float, interval: tuple[float, float]) -> list[str]:
    low, high = interval
    return [] if low <= auprc <= high else [
        f"a model of shuffled labels reaches an AUPRC of {auprc:.4f}, while chance gives "
        f"{low:.4f} to {high:.4f}: labels reach the features"]


def _labels(transactions: str, first: int, end: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels that were known before a time, and a mask of their rows.

    Of more than `MOST` rows the last ones are used.
    """
    table = pq.read_table(transactions, columns=["is_fraud", "label_time"], filters=[
        ("position", ">=", first), ("position", "<", end)])
    known = table["label_time"].to_numpy() < time
    known[np.flatnonzero(known)[:-MOST]] = False
    return table["is_fraud"].to_numpy()[known], known


def _matrix(table: pa.Table, names: list[str]) -> np.ndarray:
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)


def _last_part_logits(rows: np.ndarray, label: np.ndarray,
                      seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of small trees on the last part of the rows, and the labels of that part."""
    fitted, early = _borders(label)
    booster, _ = boosted_trees.fit(rows[:fitted], label[:fitted], rows[fitted:early],
                                   label[fitted:early], TREES, seed)
    return boosted_trees.logits(booster, rows[early:]), label[early:]


def _borders(label: np.ndarray) -> tuple[int, int]:
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


def _score(rows: np.ndarray, label: np.ndarray, seed: int) -> Score:
    from sklearn.metrics import average_precision_score

    logits, truth = _last_part_logits(rows, label, seed)
    return Score(float(average_precision_score(truth, logits)),
                 float(f1_curve(logits, truth).max()))


def _shuffled(rows: np.ndarray, label: np.ndarray,
              seed: int) -> tuple[float, tuple[float, float]]:
    """Return the AUPRC of a model, ties broken at random, and its interval under chance."""
    logits, truth = _last_part_logits(rows, label, seed)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(truth.size), -logits))
    number = int(truth.sum())
    draws = [_average_precision(rng.choice(truth.size, number, replace=False))
             for _ in range(DRAWS)]
    low, high = np.quantile(draws, [OUTSIDE, 1 - OUTSIDE])
    return _average_precision(np.flatnonzero(truth[order])), (float(low), float(high))


def _average_precision(ranks: np.ndarray) -> float:
    """Return the average precision of positives with these ranks, counted from 0."""
    return float(np.mean(np.arange(1, ranks.size + 1) / (np.sort(ranks) + 1)))
