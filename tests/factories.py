"""Payments and features for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from fraud.clock import HOUR_MS
from fraud.features import DEFAULT
from fraud.training.data.dataset import Prepared
from fraud.training.data.quarantine import Loss
from fraud.training.features.stored_features import StoredFeatures
from fraud.transaction import TYPES, Transaction

NOON = 480_012 * HOUR_MS        # 2024-10-04 12:00 UTC


def payment(transaction_id: str = "t-1", event_time: int = NOON, **changes: Any) -> Transaction:
    """Return a transfer of 100.00 from C1, which holds 400.00, to C2, which holds nothing."""
    return Transaction(**{
        "transaction_id": transaction_id, "event_time": event_time,
        "type": "TRANSFER", "amount_cents": 100_00, "origin": "C1",
        "destination": "C2", "origin_balance_cents": 400_00, "destination_balance_cents": 0,
        **changes})


def prepared(**changes: Any) -> Prepared:
    """Return the result of preparing 1,000 payments, 20 of them fraud, and 3 invalid rows."""
    return Prepared(**{
        "source": "payments.csv", "digest": "d" * 64, "transactions": "t", "quarantine": "q",
        "rows": 1_000, "bad": 3, "reasons": {"bad-amount": Loss(3, 1, 7.5)}, "blank": 0,
        "rounded": 0, "ignored": [], "types": TYPES, "time_base": "event_time",
        "mapping_digest": "", "left_out": [], "out_of_order": 0, "sampled_rows": 1_000,
        "frauds": 20, "incidents": 8, "first_time": 0, "last_time": 1,
        "recording_since": 0, **changes})


def emptying(transaction_id: str = "t-1", event_time: int = NOON, **changes: Any) -> Transaction:
    """Return a transfer of all that C1 holds, 5,000.00."""
    return payment(transaction_id, event_time, **{
        "amount_cents": 5_000_00, "origin_balance_cents": 5_000_00, **changes})


def wire_payment(transaction_id: str = "t-1", event_time: int = NOON,
                 **changes: Any) -> dict[str, Any]:
    """Return the JSON form of `payment`: money in currency units, the type by name."""
    return {"transaction_id": transaction_id, "event_time": event_time, "type": "TRANSFER",
            "amount": 100.0, "origin": "C1", "destination": "C2", "origin_balance": 400.0,
            "destination_balance": 0.0, **changes}


def stored(matrix: np.ndarray, names: Sequence[str] = DEFAULT.names, first: int = 0
           ) -> StoredFeatures:
    """Features in memory, in place of files; the first payment's position is `first`."""
    position = first + np.arange(len(matrix))
    table = pa.table([position, *matrix.T], ["position", *names])
    return StoredFeatures(ds.dataset(table), position)
