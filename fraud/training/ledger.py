"""Balances that follow from the payments, computed for all accounts at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.training.population import MERCHANT, NEW
from fraud.transaction import TYPE_CODES

AMOUNT_CUT = 1_000_000_000     # cents: PaySim's largest amount
SMALLEST = 100                 # cents: who holds less does not empty the account


class Settled(NamedTuple):
    """What the ledger says of each payment, in cents: int64, one shape."""

    amount: np.ndarray
    origin_balance: np.ndarray
    destination_balance: np.ndarray


class _Touches(NamedTuple):
    """Each payment touches two accounts; here sorted by account, then time."""

    order: np.ndarray          # index into concatenated (origin, destination) sides
    sign: np.ndarray           # what the payment does to the account: -1, 0, +1
    starts: np.ndarray         # first touch of each account that has any
    account: np.ndarray        # that account
    lengths: np.ndarray


def settle(type_code: np.ndarray, origin: np.ndarray, destination: np.ndarray,
           drawn: np.ndarray, share: np.ndarray, limit: np.ndarray, kinds: np.ndarray,
           rng: np.random.Generator) -> Settled:
    """Amounts and balances before each payment, for payments in order of time.

    A payment with `share` > 0 takes that share of what its origin holds at that moment; others
    take `drawn` cents; none takes more than its `limit`. As an amount depends on earlier payments
    only, repeating "balances from amounts, amounts from balances" reaches the one consistent
    ledger, in as many rounds as such payments feed each other.

    Args:
        type_code, origin, destination, drawn, share, limit: shape (payments,); accounts as
            indices, no payment to oneself.
        kinds: of every account, see `population`; merchants' balances are recorded as 0.
    """
    touches = _touches(type_code, origin, destination, kinds)
    drawn = np.minimum(drawn, limit)
    amount = np.where(share > 0, 0, drawn)
    opening = _opening(touches, amount, kinds, rng)
    takes = np.flatnonzero(share > 0)
    while True:
        before = _before(touches, amount, opening)
        held = before[takes]
        taken = np.minimum(np.rint(held * share[takes]).astype(np.int64), limit[takes])
        taken = np.where(taken >= SMALLEST, taken, drawn[takes])
        if np.array_equal(taken, amount[takes]):
            payments = type_code.size
            return Settled(amount, before[:payments], before[payments:])
        amount[takes] = taken


def _touches(type_code, origin, destination, kinds) -> _Touches:
    payments = type_code.size
    account = np.concatenate([origin, destination])
    position = np.tile(np.arange(payments), 2)
    order = np.argsort(account * payments + position, kind="stable")
    into_origin = np.where(type_code == TYPE_CODES["CASH_IN"], 1, -1).astype(np.int8)
    sign = np.concatenate([into_origin, -into_origin])
    sign[kinds[account] == MERCHANT] = 0
    in_order = account[order]
    starts = np.flatnonzero(np.diff(in_order, prepend=-1))
    return _Touches(order, sign[order], starts, in_order[starts],
                    np.diff(starts, append=in_order.size))


def _opening(touches: _Touches, amount, kinds, rng) -> np.ndarray:
    """Opening balances that carry most accounts through the month; a few will overdraw."""
    flow = touches.sign * np.concatenate([amount, amount])[touches.order]
    lowest = np.minimum.reduceat(_running(touches, flow), touches.starts)
    cover = rng.uniform(0.9, 1.5, touches.starts.size) * np.maximum(0, -lowest)
    slack = rng.lognormal(17.3, 1.3, touches.starts.size)     # about 330,000 units
    opening = np.where(lowest < 0, cover, 0) + slack * (rng.random(touches.starts.size) > 0.15)
    opening[np.isin(kinds[touches.account], (MERCHANT, NEW))] = 0
    return opening.astype(np.int64)


def _before(touches: _Touches, amount, opening) -> np.ndarray:
    """Balances before each payment, of origins, then of destinations: shape (2 * payments,)."""
    flow = touches.sign * np.concatenate([amount, amount])[touches.order]
    balance = _running(touches, flow) - flow + np.repeat(opening, touches.lengths)
    balance[touches.sign == 0] = 0
    before = np.empty_like(balance)
    before[touches.order] = balance
    return before


def _running(touches: _Touches, flow) -> np.ndarray:
    """Sum of each account's flows up to and with each touch."""
    total = np.cumsum(flow)
    base = total[touches.starts] - flow[touches.starts]
    return total - np.repeat(base, touches.lengths)
