"""Logged decisions, as arrays that are compared with Spark."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fraud.decision import Decision
from fraud.features import FeatureTable
from fraud.training.decision_log import check_counts
from fraud.training.errors import TrainingError
from fraud.training.parity.skew import LedgerEntry
from fraud.windows import COUNT_NAMES


@dataclass(frozen=True)
class LoggedDecisions:
    """Decisions with counts, one for each payment; arrays of one length."""

    ids: list[str]
    entries: list[LedgerEntry]  # accounts by their pseudonyms
    store_sequence: np.ndarray        # int64, 0 where the store has none
    since: np.ndarray           # int64: start of the store's recording
    counts: np.ndarray          # int64, shape (n, names)
    features: np.ndarray        # float32, shape (n, features), NaN where not known
    width: np.ndarray           # int64: number of features of the model that scored
    without_counts: int         # decisions left out: the store was unavailable


def read_decisions(decided: Iterable[Decision], table: FeatureTable) -> LoggedDecisions:
    """Read decisions, for each payment the first one with counts.

    Args:
        table: the features that the model sees.

    Raises:
        TrainingError: a decision has another number of counts or features.
    """
    ids: dict[str, None] = {}
    without: set[str] = set()
    entries, sequence, since = [], array("q"), array("q")
    counts, rows, width = array("q"), array("f"), array("q")
    for decision in decided:
        if decision.counts is None:
            without.add(decision.transaction_id)
        elif decision.transaction_id not in ids:
            check_counts(decision)
            ids[decision.transaction_id] = None
            entries.append(LedgerEntry(decision.event_time, decision.amount_cents,
                                       decision.origin, decision.destination))
            sequence.append(decision.store_sequence or 0)
            since.append(decision.recording_since or 0)
            counts.extend(decision.counts)
            width.append(len(decision.features))
            rows.extend(_padded(decision, table))
    return LoggedDecisions(
        list(ids), entries, np.frombuffer(sequence, np.int64), np.frombuffer(since, np.int64),
        np.frombuffer(counts, np.int64).reshape(-1, len(COUNT_NAMES)),
        np.frombuffer(rows, np.float32).reshape(-1, len(table.names)),
        np.frombuffer(width, np.int64), len(without.difference(ids)))


def _padded(decision: Decision, table: FeatureTable) -> list[float]:
    width = len(decision.features)
    if width not in (len(table.names), len(table.fallback_names)):
        raise TrainingError(f"{decision.transaction_id} was decided on {width} features, and the "
                            f"model has {len(table.names)}; name the model that decided in --model")
    known = [math.nan if value is None else value for value in decision.features]
    return known + [math.nan] * (len(table.names) - width)
