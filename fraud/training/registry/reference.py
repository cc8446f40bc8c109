"""The reference of a version: payments of validation with its scores and decisions.

Monitoring compares later payments with it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fraud.bundle import Bundle
from fraud.training.evaluation.test_report import score_all
from fraud.training.features.splits import Rows
from fraud.training.files import write_parquet

FILE = "reference.parquet"
LIMIT = 200_000             # rows: enough for every comparison, and 20 MB
VERSION = b"model_version"  # in the file's metadata
FEATURES = b"features"      # in the file's metadata: their names, as JSON


def write(bundle: Bundle, rows: Rows, path: Path, seed: int) -> None:
    """Write a sample of validation with a bundle's scores and decisions.

    Columns: the features that are known, event_time, type, amount, score,
    decision, is_fraud, incident_id.
    """
    rows = rows.only(np.sort(np.random.default_rng(seed).permutation(len(rows.label))[:LIMIT]))
    score = score_all(bundle.model, rows)
    reviewed, declined = bundle.policy.model.alerts(score, rows.amount)
    decision = np.where(declined, "decline", np.where(reviewed, "review", "approve"))
    columns = dict(zip(rows.features.names, rows.features.matrix().T, strict=True)) | {
        "event_time": rows.event_time,
        "type": rows.type,
        "amount": rows.amount,
        "score": score,
        "decision": decision,
        "is_fraud": rows.label,
        "incident_id": rows.incident,
    }
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    write_parquet(table.replace_schema_metadata({FEATURES: json.dumps(rows.features.names)}), path)


def of_version(path: Path, version: str, copy: Path) -> None:
    """Copy a reference, with the number of its version in the metadata."""
    table = pq.read_table(path)
    metadata = {**(table.schema.metadata or {}), VERSION: version.encode()}
    write_parquet(table.replace_schema_metadata(metadata), copy)
