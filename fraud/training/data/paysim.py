"""PaySim's columns as payments.

E. A. Lopez-Rojas, A. Elmir, S. Axelsson, "PaySim: a financial mobile money simulator for fraud
detection" (2016). Balances after a payment and `isFlaggedFraud` are not among the fields: they
are known only after the decision.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraud import clock
from fraud.transaction import EVENT_TIME_LIMIT

SPELLINGS = {                       # names of each field in PaySim and PaySim 2
    "step": ("step",),
    "type": ("type", "action"),
    "amount": ("amount",),
    "origin": ("nameOrig",),
    "origin_balance": ("oldbalanceOrg", "oldBalanceOrig"),
    "destination": ("nameDest",),
    "destination_balance": ("oldbalanceDest", "oldBalanceDest"),
    "is_fraud": ("isFraud",),
}
PAYSIM_START = 1_704_067_200_000    # 2024-01-01T00:00:00Z: when step 1 begins
LAST_STEP = (EVENT_TIME_LIMIT - PAYSIM_START) // clock.HOUR_MS
LEGS = ("TRANSFER", "CASH_OUT")      # types of a fraud's payments, in this order


def event_times(steps: np.ndarray) -> np.ndarray:
    """Return event times: the rows of a step are spread evenly over its hour, in file order.

    Args:
        steps: int64, shape (rows,), in file order; 1 is the first hour.

    Returns:
        int64 ms since the epoch. They differ while an hour holds at most a row a millisecond.
    """
    order = np.argsort(steps, kind="stable")
    _, first, size = np.unique(steps[order], return_index=True, return_counts=True)
    rank = np.arange(steps.size) - np.repeat(first, size)
    times = np.empty_like(steps)
    times[order] = rank * clock.HOUR_MS // np.repeat(size, size)
    return times + PAYSIM_START + (steps - 1) * clock.HOUR_MS


def incidents(steps: np.ndarray, amount_cents: np.ndarray, type: np.ndarray) -> np.ndarray:
    """Pair frauds into incidents: the k-th TRANSFER and the k-th CASH_OUT of a step and amount.

    Args:
        steps, amount_cents, type: of the frauds alone, in file order, one shape.

    Returns:
        int64: for each fraud the index of the first fraud of its incident.
    """
    first = np.arange(steps.size)
    leg = np.select([type == name for name in LEGS], range(len(LEGS)), -1)
    legs = np.flatnonzero(leg >= 0)
    step, amount, kind = steps[legs], amount_cents[legs], leg[legs]
    order = np.lexsort((_rank(step, amount, kind), amount, step))
    key = np.stack([step, amount, _rank(step, amount, kind)])[:, order]
    paired = np.flatnonzero((key[:, 1:] == key[:, :-1]).all(axis=0))
    transfer, cash_out = legs[order[paired]], legs[order[paired + 1]]
    first[transfer] = first[cash_out] = np.minimum(transfer, cash_out)
    return first


def complete(rows: pa.Table, positions: np.ndarray, times: np.ndarray, digest: str,
             label_delay: int) -> pa.Table:
    """Add the columns that PaySim does not have.

    Args:
        rows: valid rows with step, amount_cents, type, is_fraud and incident_id, in file order.
        positions: int64, of each row in the file.
        times: int64 ms since the epoch, of each row.
        digest: sha256 of the file, hexadecimal: the ids of two files differ.
        label_delay: ms from a payment to its label.

    Returns:
        `rows` with transaction_id, event_time, label_time and incident_id.
    """
    frauds = np.flatnonzero(rows["is_fraud"].to_numpy())
    first = incidents(*(rows[name].take(pa.array(frauds)).to_numpy()
                        for name in ("step", "amount_cents", "type")))
    incident = np.zeros(rows.num_rows, np.int64)
    incident[frauds] = positions[frauds][first]
    names = pc.if_else(pc.equal(rows["is_fraud"], 1),
                       numbered(f"{digest[:8]}-incident-", incident), None)
    return (rows
            .append_column("transaction_id", numbered(f"{digest[:8]}-", positions))
            .append_column("event_time", pa.array(times))
            .append_column("label_time", pa.array(times + label_delay))
            .set_column(rows.schema.get_field_index("incident_id"), "incident_id", names))


def _rank(*keys: np.ndarray) -> np.ndarray:
    """Count the earlier rows with the same keys: int64, shape (rows,)."""
    order = np.lexsort(keys)
    ordered = np.stack(keys)[:, order]
    starts = np.ones(order.size, bool)
    starts[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    positions = np.arange(order.size)
    rank = np.empty(order.size, np.int64)
    rank[order] = positions - np.maximum.accumulate(np.where(starts, positions, 0))
    return rank


def numbered(prefix: str, numbers: np.ndarray, width: int = 0) -> pa.Array:
    """Return names: a prefix and a number, of at least so many digits, each."""
    digits = pc.ascii_lpad(pa.array(numbers).cast(pa.string()), width, "0")
    return pc.binary_join_element_wise(prefix, digits, "")
