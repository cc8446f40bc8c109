"""What PaySim's columns mean as payments.

E. A. Lopez-Rojas, A. Elmir, S. Axelsson, "PaySim: a financial mobile money simulator for fraud
detection" (2016). Balances after a payment and `isFlaggedFraud` are not among the fields: they
are known only once the payment was decided.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud.transaction import EVENT_TIME_LIMIT, TYPE_CODES

SPELLINGS = {                       # each field, as PaySim and PaySim 2 call it
    "step": ("step",),
    "type": ("type", "action"),
    "amount": ("amount",),
    "origin": ("nameOrig",),
    "origin_balance": ("oldbalanceOrg", "oldBalanceOrig"),
    "destination": ("nameDest",),
    "destination_balance": ("oldbalanceDest", "oldBalanceDest"),
    "is_fraud": ("isFraud",),
}
HOUR = 3_600_000                    # ms: a step
PAYSIM_START = 1_704_067_200_000    # 2024-01-01T00:00:00Z: when step 1 begins
LAST_STEP = (EVENT_TIME_LIMIT - PAYSIM_START) // HOUR
LEGS = (TYPE_CODES["TRANSFER"], TYPE_CODES["CASH_OUT"])      # of a fraud, in this order


def event_times(steps: np.ndarray) -> np.ndarray:
    """When each row happened: the rows of a step spread evenly over its hour, in file order.

    Args:
        steps: int64, shape (rows,), in file order; 1 is the first hour.

    Returns:
        int64 ms since the epoch. They differ while an hour holds at most a row a millisecond.
    """
    order = np.argsort(steps, kind="stable")
    _, first, size = np.unique(steps[order], return_index=True, return_counts=True)
    rank = np.arange(steps.size) - np.repeat(first, size)
    times = np.empty_like(steps)
    times[order] = rank * HOUR // np.repeat(size, size)
    return times + PAYSIM_START + (steps - 1) * HOUR


def incidents(steps: np.ndarray, amount_cents: np.ndarray, type_code: np.ndarray) -> np.ndarray:
    """Which frauds are one incident: the k-th TRANSFER and the k-th CASH_OUT of a step and amount.

    Args:
        steps, amount_cents, type_code: of the frauds alone, in file order, one shape.

    Returns:
        int64: of each fraud the index of its incident's first; its own where it has no partner.
    """
    first = np.arange(steps.size)
    legs = np.flatnonzero(np.isin(type_code, LEGS))
    step, amount, kind = steps[legs], amount_cents[legs], type_code[legs]
    order = np.lexsort((_rank(step, amount, kind), amount, step))
    key = np.stack([step, amount, _rank(step, amount, kind)])[:, order]
    paired = np.flatnonzero((key[:, 1:] == key[:, :-1]).all(axis=0))
    one, other = legs[order[paired]], legs[order[paired + 1]]
    first[one] = first[other] = np.minimum(one, other)
    return first


def complete(rows: pa.Table, positions: np.ndarray, times: np.ndarray, digest: str,
             label_delay: int) -> pa.Table:
    """Rows with the columns that PaySim does not have.

    Args:
        rows: valid rows with step, amount_cents, type_code and is_fraud, in file order.
        positions: int64, of each row in the file.
        times: int64 ms since the epoch, of each row.
        digest: sha256 of the file, hexadecimal: the ids of two files differ.
        label_delay: ms from a payment to its label.

    Returns:
        `rows` with transaction_id, event_time, label_time, incident_id and fraud_type.
    """
    frauds = np.flatnonzero(rows["is_fraud"].to_numpy())
    first = incidents(*(rows[name].to_numpy()[frauds]
                        for name in ("step", "amount_cents", "type_code")))
    incident = np.zeros(rows.num_rows, np.int64)
    incident[frauds] = positions[frauds][first]
    return (rows
            .append_column("transaction_id", _numbered(f"{digest[:8]}-", positions))
            .append_column("event_time", pa.array(times))
            .append_column("label_time", pa.array(times + label_delay))
            .append_column("incident_id", pc.if_else(
                pc.equal(rows["is_fraud"], 1),
                _numbered(f"{digest[:8]}-incident-", incident), None))
            .append_column("fraud_type", pa.nulls(rows.num_rows, pa.string())))


def _rank(*keys: np.ndarray) -> np.ndarray:
    """How many earlier rows have the same keys: int64, shape (rows,)."""
    order = np.lexsort(keys)
    ordered = np.stack(keys)[:, order]
    starts = np.ones(order.size, bool)
    starts[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    places = np.arange(order.size)
    rank = np.empty(order.size, np.int64)
    rank[order] = places - np.maximum.accumulate(np.where(starts, places, 0))
    return rank


def _numbered(prefix: str, numbers: np.ndarray) -> pa.Array:
    return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")
