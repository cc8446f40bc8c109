"""Train, validation and test: periods one after the other, never shuffled.

Periods are shares of the elapsed time, not of the rows: fraud keeps the clock, not the traffic.

Labels count only if they were known when they would have been used: those of the training period
by its end, those of both halves of validation by the start of the test period. A payment without
a label is in no split; it counts in the history of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from fraud import features
from fraud.training.errors import TrainingError
from fraud.training.settings import Split
from fraud.training.validation import NOT_KNOWN

TRAIN, EARLY, LATE, TEST = NAMES = ("train", "early", "late", "test")
FOLDER = "split={}"
DAY = 86_400_000     # ms


@dataclass(frozen=True)
class Rows:
    """Payments of one split in event order: arrays of one length n.

    `features` is float32 of shape (n, len(features.NAMES)), `label` int8, `amount` in currency
    units, times in ms since the epoch; `incident` and `fraud_type` are None for honest payments.
    """

    features: np.ndarray
    label: np.ndarray
    event_time: np.ndarray
    amount: np.ndarray
    type_code: np.ndarray
    incident: np.ndarray
    fraud_type: np.ndarray
    days: float          # of traffic: the period less the share of payments without a known label

    @property
    def digest(self) -> str:
        """What tells these payments and their labels from others: sha256, hexadecimal."""
        told = sha256()
        for column in (self.event_time, self.amount, self.type_code, self.label):
            told.update(np.ascontiguousarray(column).tobytes())
        return told.hexdigest()


def borders(first: int, last: int, split: Split) -> dict[str, int]:
    """The event_time before which each split ends, in order of time.

    Args:
        first, last: event_time of the first and the last payment, ms since the epoch.
    """
    end = last + 1
    shares = np.cumsum([split.train, split.early, split.late])
    return dict(zip(NAMES, [*(first + int(share * (end - first)) for share in shares), end]))


def read(folder: str, transactions: str, name: str, ends: dict[str, int]) -> Rows:
    """The rows of one split whose labels were known in time.

    Args:
        folder: what `feature_job.write_features` wrote.
        transactions: the clean Parquet it was computed from.
        name: one of `NAMES`.
        ends: from `borders`.

    Raises:
        TrainingError: there is no fraud, or nothing else, in the period.
    """
    import pyarrow.parquet as pq

    start = ([0] + [ends[split] for split in NAMES])[NAMES.index(name)]
    labels = pq.read_table(transactions, filters=[
        ("event_time", ">=", start), ("event_time", "<", ends[name])], columns=[
        "position", "is_fraud", "label_time", "event_time", "amount_cents", "type_code",
        "incident_id", "fraud_type"])
    known = labels["label_time"].to_numpy() < _needed_by(name, ends)
    label = labels["is_fraud"].to_numpy()[known]
    _check_classes(name, label)
    matrix = _matrix(Path(folder) / FOLDER.format(name), labels.num_rows)
    period = ends[name] - max(start, labels["event_time"][0].as_py())
    return Rows(
        features=matrix if known.all() else matrix[known],
        label=label,
        event_time=labels["event_time"].to_numpy()[known],
        amount=labels["amount_cents"].to_numpy()[known] / 100,
        type_code=labels["type_code"].to_numpy()[known],
        incident=labels["incident_id"].to_numpy()[known],
        fraud_type=labels["fraud_type"].to_numpy()[known],
        days=period / DAY * known.mean(),
    )


def _matrix(folder: Path, rows: int) -> np.ndarray:
    """The features of a split in event order: float32, shape (rows, features)."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder, partitioning=None)
    order = np.argsort(table["position"].to_numpy())
    matrix = np.empty((rows, len(features.NAMES)), np.float32)
    for column, name in enumerate(features.NAMES):
        matrix[:, column] = table[name].to_numpy()[order]
    return matrix


def _needed_by(name: str, ends: dict[str, int]) -> int:
    return {TRAIN: ends[TRAIN], EARLY: ends[LATE], LATE: ends[LATE], TEST: NOT_KNOWN}[name]


def _check_classes(name: str, label: np.ndarray) -> None:
    frauds = int(label.sum())
    if frauds in (0, label.size):
        kind = "no fraud" if frauds == 0 else "nothing but fraud"
        raise TrainingError(
            f"the {name} period has {kind} among its {label.size:,} labelled payments; "
            "give data that holds both in every period, or more of it")
