"""Payments that are drawn but not settled: who pays whom, when, and how the amount is found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.training.ledger import AMOUNT_CUT

HOUR = 3_600_000.0     # ms
HONEST = -1


class Payments(NamedTuple):
    """Payments to be settled: arrays of one length. Accounts are indices, times ms from the start.

    A payment with `share` > 0 takes that share of its origin's balance, others their own amount;
    none moves more than `limit` cents. `incident` and `fraud_type` are -1 for honest payments;
    incidents count from 0 per episode kind.
    """

    time: np.ndarray
    type_code: np.ndarray
    origin: np.ndarray
    destination: np.ndarray
    share: np.ndarray
    incident: np.ndarray
    fraud_type: np.ndarray
    limit: np.ndarray


def payments(time, type_code, origin, destination, share, incident=HONEST,
             fraud_type=HONEST, limit=AMOUNT_CUT) -> Payments:
    """`Payments` of one flat length from arrays and scalars that broadcast together."""
    columns = np.broadcast_arrays(time, type_code, origin, destination, share, incident,
                                  fraud_type, limit)
    kinds = (np.float64, np.int8, np.int64, np.int64, np.float64, np.int64, np.int8, np.int64)
    return Payments(*(column.ravel().astype(kind) for column, kind in zip(columns, kinds)))


def legs_together(legs: list[Payments]) -> Payments:
    """The legs of the same episodes in one, incidents as they are."""
    return Payments(*(np.concatenate(columns) for columns in zip(*legs)))


def join(parts: list[Payments]) -> Payments:
    """Different episodes in one; incidents are numbered on from part to part."""
    numbered, offset = [], 0
    for part in parts:
        numbered.append(part._replace(
            incident=np.where(part.incident >= 0, part.incident + offset, HONEST)))
        offset += int(part.incident.max(initial=-1)) + 1
    return legs_together(numbered)


def only(part: Payments, keep: np.ndarray) -> Payments:
    """The payments where `keep`, a bool mask of their shape, is true."""
    return Payments(*(column[keep] for column in part))
