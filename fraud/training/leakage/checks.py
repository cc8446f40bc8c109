"""The leakage audit: features must not know what is unknown at authorisation.

It stops a run on any of four findings:

- a feature of a payment changes when later payments are deleted, and labels and post-event columns
  are overwritten (`fraud.training.leakage.point_in_time`);
- one feature alone finds fraud almost perfectly and better than all features for which the settings
  give a reason;
- a trace of the making of the data finds fraud (`fraud.training.leakage.traces`), and the settings
  give no reason for it;
- a model of payments whose labels were shuffled *before* features were computed performs better
  than chance: labels reach features.

It uses only the train period, and fits small boosted trees.
S. Kaufman, S. Rosset, C. Perlich, "Leakage in data mining" (2012).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.training.errors import TrainingError
from fraud.training.leakage import point_in_time, small_trees, traces
from fraud.training.leakage.point_in_time import PointInTimeCopy
from fraud.training.leakage.small_trees import Score
from fraud.training.settings import Audit

FEWEST_INCIDENTS = 20           # in the part that scores are measured on
MOST = 500_000                  # rows to fit and measure on
DRAWS = 2_000                   # of the permutation interval
OUTSIDE = 0.0005                # share of them on either side of it
ALLOW = ("give the reason under [audit.allowed] in flows/train_flow.toml, then `python "
         "flows/train_flow.py resume` goes on from here")


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
    judged_incidents: int           # in the last part, on which scores are measured
    base_rate: float                # share of frauds there: the AUPRC of chance
    traces: dict[str, Score]        # of each trace alone, best first; empty if none is judged

    @property
    def doubt(self) -> str | None:
        """The reason why no feature can be judged alone, if there is one."""
        return _doubt(self.judged_incidents, self.base_rate)


class LabelledRows(NamedTuple):
    """The payments whose labels the audit knows: arrays of one length, in event order."""

    label: np.ndarray
    incident: np.ndarray
    event_time: np.ndarray


class Folders(NamedTuple):
    """Folders of features: of all payments, and of the files of a `PointInTimeCopy`."""

    features: str
    original: str
    copy: str


def audit(folders: Folders, transactions: str, copy: PointInTimeCopy, time: int,
          post_event_columns: Mapping[str, np.ndarray], settings: Audit, seed: int) -> Leakage:
    """Audit the features that were computed from payments, and the payments themselves.

    Args:
        time: ms since the epoch; labels that became known then or later are not used.
        post_event_columns: columns that are known only after the decision, by name, of the rows
            `copy.first` <= position < `copy.end`: shape (rows,) each. None of them is a feature.

    Raises:
        TrainingError: there are too few frauds to audit.
    """
    first, end = copy.first, copy.end
    before = point_in_time.read_features(folders.features, first, end)
    after = point_in_time.read_features(folders.copy, first, end)
    known_rows, known = _labelled(transactions, first, end, time)
    label = known_rows.label
    names = [name for name in before.column_names if name != "position"]
    rows = _matrix(before, names)[known]
    alone = small_trees.scores_alone(dict(zip(names, rows.T, strict=True)), label, seed)
    logits = small_trees.last_part_logits(rows, label, seed)
    shuffled_rows, known_in_copy = _labelled(copy.transactions, first, end, time)
    shuffled, interval = _shuffled(_matrix(after, names)[known_in_copy], shuffled_rows.label, seed)
    with_post_event_columns = None
    if post_event_columns:
        later = np.column_stack(list(post_event_columns.values())).astype(np.float32)[known]
        with_post_event_columns = small_trees.score_of(np.column_stack([rows, later]), label, seed)
    compared = point_in_time.comparable(copy)
    changed = point_in_time.changed_rows(
        point_in_time.read_features(folders.original, first, end), after, compared)
    border = small_trees.borders(label)[1]
    incidents = len(set(known_rows.incident[border:][label[border:] == 1]))
    chance = float(label[border:].mean())
    findings = [*_knows_the_future(changed, int(compared.sum())),
                *_labels_reach_features(shuffled, interval)]
    trace_scores: dict[str, Score] = {}
    if not _doubt(incidents, chance):
        allowed = [index for index, name in enumerate(names) if name in settings.allowed]
        together = small_trees.score_of(rows[:, allowed], label, seed).auprc if allowed else 0.0
        findings += _too_good_alone(alone, together, chance, settings)
        columns = traces.read_columns(transactions, first, end, settings.allowed)
        measured = traces.scores({name: column[known] for name, column in columns.items()}, rows,
                                 logits, *known_rows, seed)
        findings += [f"{finding}; or {ALLOW}" for finding in traces.findings(
            measured, _limit(chance, settings.trace_auprc))]
        trace_scores = measured.alone
    return Leakage(
        findings=findings, rows=len(label), compared_rows=int(compared.sum()),
        alone=_best_first(alone), without_leaks=small_trees.measured(logits, label),
        with_post_event_columns=with_post_event_columns, shuffled=shuffled, interval=interval,
        judged_incidents=incidents, base_rate=chance, traces=_best_first(trace_scores))


def check(result: Leakage) -> None:
    """Raise TrainingError if something leaks."""
    if result.findings:
        raise TrainingError("the leakage audit stops this run: " + "; ".join(result.findings))


def _knows_the_future(changed: Mapping[str, int], compared: int) -> list[str]:
    return [f"{name} knows the future ({rows:,} of {compared:,} rows change when later payments "
            "are deleted, and labels and post-event columns are overwritten): compute it from "
            "earlier payments and the payment itself"
            for name, rows in changed.items()]


def _doubt(incidents: int, chance: float) -> str | None:
    """Return why scores of single columns on a part with so many incidents prove nothing."""
    if incidents < FEWEST_INCIDENTS:
        return (f"no feature is judged alone: the audit measures on {incidents} incidents and "
                f"needs {FEWEST_INCIDENTS}")
    if chance > 0.5:
        return (f"no feature is judged alone: {chance:.0%} of the payments that the audit measures "
                "on are frauds, so that chance is almost perfect")
    return None


def _limit(chance: float, share: float) -> float:
    """Return an AUPRC so much of the way from chance to perfect."""
    return chance + share * (1 - chance)


def _best_first(scores: Mapping[str, Score]) -> dict[str, Score]:
    return dict(sorted(scores.items(), key=lambda item: -item[1].auprc))


def _too_good_alone(alone: Mapping[str, Score], together: float, chance: float, settings: Audit
                    ) -> list[str]:
    """Return a finding for each feature that is far above chance, on its own.

    Args:
        together: the AUPRC of all features that have a reason. Where these suffice, fraud is easy
            to find, and a feature that finds no more is not suspicious.
    """
    limit = _limit(chance, settings.alone_auprc)
    return [f"{name} alone reaches an AUPRC of {score.auprc:.3f}, above {limit:.3g} (chance gives "
            f"{chance:.3g}): such a feature usually knows the label; if it may, {ALLOW}"
            for name, score in alone.items()
            if score.auprc > max(limit, together) and name not in settings.allowed]


def _labels_reach_features(auprc: float, interval: tuple[float, float]) -> list[str]:
    low, high = interval
    return [] if low <= auprc <= high else [
        f"a model of shuffled labels reaches an AUPRC of {auprc:.4f}, while chance gives "
        f"{low:.4f} to {high:.4f}: labels reach the features"]


def _labelled(transactions: str, first: int, end: int, time: int
              ) -> tuple[LabelledRows, np.ndarray]:
    """Return the payments whose labels were known before a time, and a mask of these rows.

    Of more than `MOST` rows the last ones are used.
    """
    names = ["is_fraud", "incident_id", "event_time"]
    table = pq.read_table(transactions, columns=[*names, "label_time"], filters=[
        ("position", ">=", first), ("position", "<", end)])
    known = table["label_time"].to_numpy() < time
    known[np.flatnonzero(known)[:-MOST]] = False
    return LabelledRows(*(table[name].to_numpy()[known] for name in names)), known


def _matrix(table: pa.Table, names: list[str]) -> np.ndarray:
    return np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)


def _shuffled(rows: np.ndarray, label: np.ndarray,
              seed: int) -> tuple[float, tuple[float, float]]:
    """Return the AUPRC of a model, ties broken at random, and its interval under chance."""
    logits = small_trees.last_part_logits(rows, label, seed)
    truth = label[-logits.size:]
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
