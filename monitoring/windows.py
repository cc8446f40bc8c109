"""Payments of a period as a table: from a champion's reference, or from a decision log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from fraud import features
from fraud.training import decision_log, reference
from fraud.training.errors import TrainingError
from fraud.training.files import reason
from fraud.transaction import TYPES

OUTCOMES = ("approve", "review", "decline")
BLOCK = 50_000      # lines that are held as objects at once


@dataclass(frozen=True)
class Window:
    """Payments that one version of the model decided with whole history.

    `payments` has `features.NAMES` (float32), event_time (ms since the epoch), type, amount
    (currency units), score and decision; from a log transaction_id, from a reference is_fraud and
    incident_id.
    """

    source: str
    model_version: str      # empty where the source does not say
    payments: pd.DataFrame
    left_out: dict[str, int] = field(default_factory=dict)      # lines, by why


class Line(msgspec.Struct):
    """What monitoring reads of a `fraud.scorer.Decision`."""

    transaction_id: str
    event_time: int
    type: str
    amount_cents: int
    history: str
    features: list[float]
    score: float
    decision: str
    model_version: str


def of_reference(path: Path) -> Window:
    """What `reference.write` wrote, or a decision log of an earlier period (.jsonl).

    Raises:
        TrainingError: the file cannot be read, or lacks columns.
    """
    if path.suffix == ".jsonl":
        return of_log([path])
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise TrainingError(f"{path}: cannot be read ({reason(error)}); fetch it with python -m "
                            "fraud.training.registry reference, or name a decision log "
                            "(.jsonl)") from None
    needed = (*features.NAMES, "event_time", "type", "amount", "score", "decision")
    if missing := [name for name in needed if name not in table.column_names]:
        raise TrainingError(f"{path}: has no column {missing[0]!r}; fetch the reference of a model "
                            "that this code trained")
    version = (table.schema.metadata or {}).get(reference.VERSION, b"").decode()
    return Window(str(path), version, table.to_pandas())


def of_log(paths: Iterable[Path], version: str = "") -> Window:
    """Decisions of a log, one a payment: the last, which is the one that was kept.

    Args:
        version: of the model whose decisions count; otherwise that of most.

    Raises:
        TrainingError: a file cannot be read, holds something else, or nothing of that version.
    """
    named = ", ".join(map(str, paths))
    blocks, lines, degraded = [], [], 0
    for line in decision_log.decisions(map(str, paths), Line):
        if line.history != "full":
            degraded += 1
            continue
        lines.append(line)
        if len(lines) == BLOCK:
            blocks.append(_table(lines, named))
            lines = []
    everything = pd.concat([*blocks, _table(lines, named)], ignore_index=True)
    once = everything.drop_duplicates("transaction_id", keep="last")
    version = version or _most(once["model_version"])
    ours = once[once["model_version"] == version]
    if once.size and not ours.size:
        raise TrainingError(f"{named}: holds no decision of model version {version}, but of "
                            f"{', '.join(sorted(once['model_version'].unique()))}; fetch the "
                            "reference of that version")
    return Window(named, version, ours.drop(columns="model_version").reset_index(drop=True), {
        "decided without whole history": degraded,
        "repeated lines": len(everything) - len(once),
        "of another model version": len(once) - len(ours)})


def _most(versions: pd.Series) -> str:
    return str(versions.mode().iloc[0]) if versions.size else ""


def _table(lines: list[Line], named: str) -> pd.DataFrame:
    for line in lines:
        if len(line.features) != len(features.NAMES):
            raise TrainingError(f"{named}: {line.transaction_id} was decided on "
                                f"{len(line.features)} features, this code computes "
                                f"{len(features.NAMES)}; use the code that decided")
    matrix = np.array([line.features for line in lines], np.float32)
    table = pd.DataFrame(matrix.reshape(-1, len(features.NAMES)), columns=list(features.NAMES))
    kept = {
        "transaction_id": [line.transaction_id for line in lines],
        "event_time": np.array([line.event_time for line in lines], np.int64),
        "type": pd.Categorical([line.type for line in lines], TYPES),
        "amount": np.array([line.amount_cents for line in lines], np.int64) / 100,
        "score": np.array([line.score for line in lines], np.float64),
        "decision": pd.Categorical([line.decision for line in lines], OUTCOMES),
        "model_version": [line.model_version for line in lines],
    }
    return table.assign(**kept)
