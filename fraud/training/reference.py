"""What a champion saw in validation: the payments, its scores and its decisions.

Monitoring compares with it what the champion sees later.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud import features
from fraud.bundle import Bundle
from fraud.training import judgement
from fraud.training.files import write_parquet
from fraud.training.splits import Rows
from fraud.transaction import TYPES

FILE = "reference.parquet"
LIMIT = 200_000             # rows: enough for every comparison, and 20 MB
VERSION = b"model_version"  # in the file's metadata


def write(of: Bundle, rows: Rows, path: Path, seed: int) -> None:
    """Write a sample of late validation with what a bundle makes of it, in event order.

    Columns: `features.NAMES`, event_time, type, amount, score, decision, is_fraud, incident_id.
    """
    score = judgement.scores(of, rows)
    kept = np.sort(np.random.default_rng(seed).permutation(len(score))[:LIMIT])
    thresholds = of.policy.model
    decision = np.where(score >= thresholds.decline, "decline",
                        np.where(score >= thresholds.review, "review", "approve"))
    columns = dict(zip(features.NAMES, rows.features[kept].T)) | {
        "event_time": rows.event_time[kept],
        "type": np.array(TYPES)[rows.type_code[kept]],
        "amount": rows.amount[kept],
        "score": score[kept],
        "decision": decision[kept],
        "is_fraud": rows.label[kept],
        "incident_id": rows.incident[kept],
    }
    write_parquet(pa.table({name: pa.array(column) for name, column in columns.items()}), path)


def of_version(path: Path, version: str, copy: Path) -> None:
    """Copy a reference, marked as that of a registered version."""
    table = pq.read_table(path)
    write_parquet(table.replace_schema_metadata({VERSION: version.encode()}), copy)
