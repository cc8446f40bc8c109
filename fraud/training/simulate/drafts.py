"""Payments that are drawn but not settled: who pays whom, when, and how to find the amount."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.training.simulate.ledger import AMOUNT_CUT

HOUR = 3_600_000.0     # ms
LEGITIMATE = -1


class DraftPayments(NamedTuple):
    """Payments to be settled: arrays of one length. Accounts are indices, times ms from the start.

    A payment with `share` > 0 takes that share of its origin's balance, others their own amount;
    none moves more than `limit` cents. `incident` and `fraud_type` are -1 for legitimate payments;
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


def payments(time, type_code, origin, destination, share, incident=LEGITIMATE,
             fraud_type=LEGITIMATE, limit=AMOUNT_CUT) -> DraftPayments:
    """Return payments of one flat length from arrays and scalars that broadcast together."""
    columns = np.broadcast_arrays(time, type_code, origin, destination, share, incident,
                                  fraud_type, limit)
    kinds = (np.float64, np.int8, np.int64, np.int64, np.float64, np.int64, np.int8, np.int64)
    return DraftPayments(*(column.ravel().astype(kind)
                           for column, kind in zip(columns, kinds, strict=True)))


def legs_together(legs: list[DraftPayments]) -> DraftPayments:
    """Concatenate the legs of the same episodes, incidents as they are."""
    return DraftPayments(*(np.concatenate(columns) for columns in zip(*legs, strict=True)))


def join(parts: list[DraftPayments]) -> DraftPayments:
    """Concatenate different episodes; incidents are numbered on from part to part."""
    numbered, offset = [], 0
    for part in parts:
        numbered.append(part._replace(
            incident=np.where(part.incident >= 0, part.incident + offset, LEGITIMATE)))
        offset += int(part.incident.max(initial=-1)) + 1
    return legs_together(numbered)


def only(part: DraftPayments, keep: np.ndarray | slice) -> DraftPayments:
    """Return the payments that `keep` selects: a bool mask of their shape, or a slice."""
    return DraftPayments(*(column[keep] for column in part))
