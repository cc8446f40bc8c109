"""Windows: payments of a period as a table, from a version's reference or a decision log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from fraud import features
from fraud.decision import SCORED_BY_MODEL
from fraud.training import decision_log
from fraud.training.errors import TrainingError
from fraud.training.files import reason
from fraud.training.registry import reference

OUTCOMES = ("approve", "review", "decline")
BLOCK = 50_000      # lines that are held as objects at a time


@dataclass(frozen=True)
class Window:
    """Payments that one version of the model decided, not its fallback.

    `payments` has the `features` (float32, NaN where not known), event_time (ms since the epoch),
    type, amount (currency units), score and decision; from a log also transaction_id, from a
    reference also is_fraud and incident_id.
    """

    source: str
    model_version: str      # empty if the source does not say
    features: tuple[str, ...]       # names
    payments: pd.DataFrame
    left_out: dict[str, int] = field(default_factory=dict)      # lines, by reason


class Line(msgspec.Struct):
    """The fields that monitoring reads of a `fraud.decision.Decision`."""

    transaction_id: str
    event_time: int
    type: str
    amount_cents: int
    history: str
    features: list[float | None]
    score: float
    decision: str
    model_version: str


def of_reference(path: Path) -> Window:
    """Return the window of a file from `reference.write`, or of an earlier decision log (.jsonl).

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
                            "(.jsonl)") from error
    metadata = table.schema.metadata or {}
    names = tuple(json.loads(metadata.get(reference.FEATURES, b"[]")))
    if not names:
        raise TrainingError(f"{path}: does not name its features; fetch the reference of a model "
                            "that this code trained")
    needed = (*names, "event_time", "type", "amount", "score", "decision")
    if missing := [name for name in needed if name not in table.column_names]:
        raise TrainingError(f"{path}: has no column {missing[0]!r}; fetch the reference of a model "
                            "that this code trained")
    version = metadata.get(reference.VERSION, b"").decode()
    return Window(str(path), version, names, table.to_pandas())


def of_log(paths: Iterable[Path], version: str = "",
           names: tuple[str, ...] = features.DEFAULT.names) -> Window:
    """Return the window of a log: the last decision of each payment, which is the kept one.

    Args:
        version: of the model whose decisions count; by default that of most.
        names: of the model's features.

    Raises:
        TrainingError: a file cannot be read, holds something else, or nothing of that version.
    """
    named = ", ".join(map(str, paths))
    blocks, lines, without_history = [], [], 0
    for line in decision_log.read_decisions(map(str, paths), Line):
        if line.history not in SCORED_BY_MODEL:
            without_history += 1
            continue
        lines.append(line)
        if len(lines) == BLOCK:
            blocks.append(_table(lines, names, named))
            lines = []
    everything = pd.concat([*blocks, _table(lines, names, named)], ignore_index=True)
    once = everything.drop_duplicates("transaction_id", keep="last")
    version = version or _most(once["model_version"])
    ours = once[once["model_version"] == version]
    if once.size and not ours.size:
        raise TrainingError(f"{named}: holds no decision of model version {version}, but of "
                            f"{', '.join(sorted(once['model_version'].unique()))}; fetch the "
                            "reference of that version")
    payments = ours.drop(columns="model_version").reset_index(drop=True)
    return Window(named, version, names, payments, {
        "decided by the fallback": without_history,
        "repeated lines": len(everything) - len(once),
        "of another model version": len(once) - len(ours)})


def _most(versions: pd.Series) -> str:
    return str(versions.mode().iloc[0]) if versions.size else ""


def _table(lines: list[Line], names: tuple[str, ...], named: str) -> pd.DataFrame:
    for line in lines:
        if len(line.features) != len(names):
            raise TrainingError(f"{named}: {line.transaction_id} was decided on "
                                f"{len(line.features)} features, and {len(names)} are expected; "
                                "name the reference of the model that decided")
    matrix = np.array([line.features for line in lines], np.float32)
    table = pd.DataFrame(matrix.reshape(-1, len(names)), columns=list(names))
    kept = {
        "transaction_id": [line.transaction_id for line in lines],
        "event_time": np.array([line.event_time for line in lines], np.int64),
        "type": [line.type for line in lines],
        "amount": np.array([line.amount_cents for line in lines], np.int64) / 100,
        "score": np.array([line.score for line in lines], np.float64),
        "decision": pd.Categorical([line.decision for line in lines], OUTCOMES),
        "model_version": [line.model_version for line in lines],
    }
    return table.assign(**kept)
