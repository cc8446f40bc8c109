"""Splits: the features and labels of the periods of a run, `fraud.training.data.periods`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fraud import clock
from fraud.training.data.periods import (
    CALIBRATION, EARLY_STOPPING, NAMES, TEST, TRAIN, borders, mature_until, needed_by)
from fraud.training.errors import TrainingError
from fraud.training.features.partitions import FOLDER
from fraud.training.features.stored_features import StoredFeatures

__all__ = ["CALIBRATION", "EARLY_STOPPING", "FOLDER", "NAMES", "TEST", "TRAIN", "VALIDATION",
           "Rows", "Traffic", "borders", "mature_until", "read_split", "read_traffic",
           "read_validation", "validation"]

VALIDATION = "validation"       # see `validation`


@dataclass(frozen=True)
class Rows:
    """Payments of one split in event order: arrays of one length n.

    `label` is int8, `amount` in currency units, times in ms since the epoch, `type` a name;
    `incident` and `fraud_type` are None for legitimate payments.
    """

    features: StoredFeatures
    label: np.ndarray
    event_time: np.ndarray
    amount: np.ndarray
    type: np.ndarray
    incident: np.ndarray
    fraud_type: np.ndarray
    days: float          # of traffic: the period minus the share of unlabelled payments

    def only(self, keep: np.ndarray) -> Rows:
        """Return some of the payments: a bool mask of shape (n,), or ascending indices."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: column[keep] for name, column in columns.items()
                  if isinstance(column, np.ndarray)}
        return replace(self, features=self.features.only(keep), **arrays)

    @property
    def digest(self) -> str:
        """The digest that identifies these payments and their labels: sha256, hexadecimal."""
        digest = sha256()
        for column in (self.event_time, self.amount, self.label):
            digest.update(np.ascontiguousarray(column).tobytes())
        digest.update("\n".join(self.type).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Traffic:
    """All payments of some periods, labelled or not, in event order: arrays of one length n."""

    amount: np.ndarray          # currency units
    day: np.ndarray             # 0 to days - 1: equal parts of the time, a day each or nearly so
    days: int


def read_traffic(folder: str, transactions: str, ends: Mapping[str, int]
                 ) -> tuple[StoredFeatures, Traffic]:
    """Read all payments of the early stopping and calibration periods, and their features.

    Args:
        folder, transactions, ends: see `read_split`.
    """
    import pyarrow.parquet as pq

    start, end = ends[TRAIN], ends[CALIBRATION]
    payments = pq.read_table(
        transactions, columns=["position", "event_time", "amount_cents"], filters=[
            ("event_time", ">=", start), ("event_time", "<", end)])
    position, time, cents = (column.to_numpy() for column in payments.columns)
    days = max(1, round((end - start) / clock.DAY_MS))
    return (_stored(folder, (EARLY_STOPPING, CALIBRATION), position),
            Traffic(cents / 100, (time - start) * days // (end - start), days))


def read_split(folder: str, transactions: str, name: str, ends: Mapping[str, int]) -> Rows:
    """Read the rows of one split whose labels were known in time.

    Args:
        folder: from `spark_job.write_features`.
        transactions: the clean Parquet file that it was computed from.
        name: one of `NAMES`.
        ends: from `borders`.

    Raises:
        TrainingError: the period has no fraud, or only fraud.
    """
    import pyarrow.parquet as pq

    start = ([0] + [ends[split] for split in NAMES])[NAMES.index(name)]
    labels = pq.read_table(transactions, filters=[
        ("event_time", ">=", start), ("event_time", "<", ends[name])], columns=[
        "position", "is_fraud", "label_time", "event_time", "amount_cents", "type",
        "incident_id", "fraud_type"])
    known = labels["label_time"].to_numpy() < needed_by(name, ends)
    label = labels["is_fraud"].to_numpy()[known]
    _check_classes(name, label)
    period = ends[name] - max(start, labels["event_time"][0].as_py())
    return Rows(
        features=_stored(folder, (name,), labels["position"].to_numpy()[known]),
        label=label,
        event_time=labels["event_time"].to_numpy()[known],
        amount=labels["amount_cents"].to_numpy()[known] / 100,
        type=labels["type"].to_numpy()[known],
        incident=labels["incident_id"].to_numpy()[known],
        fraud_type=labels["fraud_type"].to_numpy()[known],
        days=period / clock.DAY_MS * known.mean(),
    )


def read_validation(folder: str, transactions: str, ends: Mapping[str, int]) -> Rows:
    """Read the payments of early stopping and calibration whose labels are mature.

    Args:
        folder, transactions, ends: see `read_split`.
    """
    early_stopping, calibration = (read_split(folder, transactions, name, ends)
                                   for name in (EARLY_STOPPING, CALIBRATION))
    return validation(early_stopping, calibration, mature_until(transactions, ends))


def validation(early_stopping: Rows, calibration: Rows, until: int) -> Rows:
    """Return the payments of both periods before `until` (ms since the epoch), in event order."""
    parts = []
    for rows in (early_stopping, calibration):
        kept = rows.only(rows.event_time < until)
        parts.append(replace(kept, days=rows.days * kept.label.size / rows.label.size))
    columns: dict[str, Any] = {}
    for field in fields(Rows):
        first, second = (getattr(part, field.name) for part in parts)
        if isinstance(first, np.ndarray):
            columns[field.name] = np.concatenate([first, second])
    return replace(parts[0], features=parts[0].features.followed_by(parts[1].features),
                   days=parts[0].days + parts[1].days, **columns)


def _stored(folder: str, names: Sequence[str], position: np.ndarray) -> StoredFeatures:
    """Return the features of some payments of splits, by their positions in event order."""
    import pyarrow.dataset as ds

    return StoredFeatures(
        ds.dataset([ds.dataset(Path(folder, FOLDER.format(name))) for name in names]), position)


def _check_classes(name: str, label: np.ndarray) -> None:
    frauds = int(label.sum())
    if frauds in (0, label.size):
        kind = "no fraud" if frauds == 0 else "nothing but fraud"
        raise TrainingError(
            f"the {name} period has {kind} among its {label.size:,} labelled payments; "
            "give data that holds both in every period, or more of it")
