"""Traces: what the making of a data set left in its columns, such as cents or rounded times.

No feature uses them, and no fraudster leaves them. A data set in which they tell frauds apart was
put together with the labels in view: figures measured on it do not hold elsewhere. Small trees are
fitted to each trace alone, to the features, and to features and traces together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fraud.clock import HOUR_MS
from fraud.training.evaluation import paired_bootstrap
from fraud.training.evaluation.paired_bootstrap import ScoredModel
from fraud.training.leakage import small_trees
from fraud.training.leakage.small_trees import Score

MINUTE_MS, SECOND_MS = 60_000, 1_000
GAIN = 0.01             # of AUPRC by the traces, which the lower bound of 95 % must exceed
PAYMENT = ["event_time", "origin", "destination", "amount_cents"]
TIMES = "give all payments times of one clock and one resolution"
AMOUNTS = "take amounts of frauds and of others from one source, rounded alike"
IDS = "give all payments ids of one kind"


class Trace(NamedTuple):
    """A column that should not reveal fraud."""

    meaning: str
    fix: str
    column: Callable[[pd.DataFrame], pd.Series]


TRACES = {
    "trace_second": Trace("event_time within its second", TIMES,
                          lambda rows: rows["event_time"] % SECOND_MS),
    "trace_minute": Trace("event_time within its minute", TIMES,
                          lambda rows: rows["event_time"] % MINUTE_MS),
    "trace_hour": Trace("event_time within its hour; in files of steps the order of the rows",
                        f"{TIMES}, or order the rows of a step without regard to the label",
                        lambda rows: rows["event_time"] % HOUR_MS),
    "trace_order": Trace("order among the payments of one moment",
                         "give these payments their true times, or ids that do not follow the "
                         "label", lambda rows: rows.groupby("event_time").cumcount()),
    "trace_cents": Trace("the cents of the amount", AMOUNTS,
                         lambda rows: rows["amount_cents"] % 100),
    "trace_roundness": Trace("the number of zeros at the end of the amount", AMOUNTS,
                             lambda rows: _zeros(rows["amount_cents"])),
    "trace_repeated": Trace("the number of payments that are equal but for the id",
                            "delete copies, also those made to balance the classes",
                            lambda rows: rows.groupby(PAYMENT, dropna=False)["position"]
                            .transform("size")),
    "trace_id_length": Trace("the length of the transaction_id", IDS,
                             lambda rows: rows["transaction_id"].str.len()),
    "trace_id_start": Trace("the first character of the transaction_id", IDS,
                            lambda rows: _code(rows["transaction_id"].str[0])),
    "trace_id_end": Trace("the last character of the transaction_id", IDS,
                          lambda rows: _code(rows["transaction_id"].str[-1])),
    "trace_origin_length": Trace("the length of the origin's name", "name all accounts alike",
                                 lambda rows: rows["origin"].str.len()),
    "trace_destination_length": Trace("the length of the destination's name",
                                      "name all accounts alike",
                                      lambda rows: rows["destination"].str.len()),
}


class TraceScores(NamedTuple):
    """The performance of traces."""

    alone: dict[str, Score]
    gain: float                 # of AUPRC: features and traces together, less the features
    gain_bound: float           # its one-sided 95 % lower bound
    strongest: str              # the trace without which the gain is smallest; empty without gain


def read_columns(transactions: str, first: int, end: int, left_out: Collection[str]
                 ) -> dict[str, np.ndarray]:
    """Read the traces of the rows `first` <= position < `end`: float32 of shape (rows,), by name.

    Args:
        transactions: a clean Parquet file of `dataset.SCHEMA`.
        left_out: names of traces that are not wanted. Those that never vary are left out, too.
    """
    rows = pq.read_table(transactions, columns=["position", "transaction_id", *PAYMENT], filters=[
        ("position", ">=", first), ("position", "<", end)]).to_pandas()
    columns = {name: trace.column(rows).to_numpy(np.float32)
               for name, trace in TRACES.items() if name not in left_out}
    return {name: column for name, column in columns.items() if np.unique(column).size > 1}


def scores(traces: Mapping[str, np.ndarray], features: np.ndarray, plain: np.ndarray,
           label: np.ndarray, incident: np.ndarray, event_time: np.ndarray, seed: int
           ) -> TraceScores:
    """Measure traces alone, and what they add to the features.

    Args:
        traces: from `read_columns`; all of the same rows, in event order.
        features: float32, shape (rows, features).
        plain: `small_trees.last_part_logits` of the features.
        label, incident, event_time: of the rows, see `paired_bootstrap.compare`.
    """
    alone = small_trees.scores_alone(traces, label, seed)
    last = slice(label.size - plain.size, None)

    def with_traces(names: Collection[str]) -> np.ndarray:
        return small_trees.last_part_logits(
            np.column_stack([features, *(traces[name] for name in names)]), label, seed)

    together = with_traces(traces)
    difference = paired_bootstrap.compare(
        ScoredModel(together, 0.0), ScoredModel(plain, 0.0), label[last], incident[last],
        event_time[last], seed)
    strongest = ""
    if difference.auprc_bound > GAIN:
        rest = {name: small_trees.measured(with_traces(set(traces) - {name}), label).auprc
                for name in sorted(traces)}
        strongest = min(rest, key=rest.__getitem__)
    return TraceScores(alone, difference.auprc, difference.auprc_bound, strongest)


def findings(result: TraceScores, limit: float) -> list[str]:
    """Return a finding for each trace that gives fraud away.

    Args:
        limit: the AUPRC that a trace may reach alone.
    """
    reached = {name: f"alone reaches an AUPRC of {score.auprc:.3f}, above {limit:.3g}"
               for name, score in result.alone.items() if score.auprc > limit}
    if result.strongest and result.strongest not in reached:
        reached[result.strongest] = (f"with other traces adds {result.gain:.3f} to the AUPRC of "
                                     f"all features, and at least {result.gain_bound:.3f}")
    return [f"the data gives fraud away by a trace of its making: {name} "
            f"({TRACES[name].meaning}) {evidence}: {TRACES[name].fix}" for name, evidence in
            reached.items()]


def _zeros(cents: pd.Series) -> pd.Series:
    """Return how many of the last ten digits are zeros at the end."""
    return sum((cents % 10 ** digits == 0).astype(np.int64) for digits in range(1, 11))


def _code(character: pd.Series) -> pd.Series:
    return character.map(ord)
