"""Balances that follow from the payments, computed for all accounts at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.transaction import TYPE_CODES

AMOUNT_CUT = 1_000_000_000     # cents: PaySim's largest amount
SMALLEST = 100                 # cents: an account with less is not emptied
ROUNDED_FROM = 100_000         # cents: smaller sums are not made round


class Settled(NamedTuple):
    """The ledger's columns for each payment, in cents: int64, one shape."""

    amount: np.ndarray
    origin_balance: np.ndarray
    destination_balance: np.ndarray


class _Entries(NamedTuple):
    """Two ledger entries for each payment, sorted by account, then time."""

    order: np.ndarray          # index into concatenated (origin, destination) sides
    sign: np.ndarray           # effect of the payment on the account: -1, 0, +1
    starts: np.ndarray         # first entry of each account that has any
    account: np.ndarray        # that account
    lengths: np.ndarray


def settle(type_code: np.ndarray, origin: np.ndarray, destination: np.ndarray,
           drawn: np.ndarray, share: np.ndarray, limit: np.ndarray, is_round: np.ndarray,
           without_balance: np.ndarray, opens_empty: np.ndarray, rng: np.random.Generator
           ) -> Settled:
    """Return amounts and balances before each payment, for payments in order of time.

    A payment with `share` > 0 takes that share of what its origin holds at that moment; others
    take `drawn` cents; none takes more than its `limit`. With a share above 1 it fails: it asks for
    more than there is, and moves nothing. As an amount depends on earlier payments
    only, repeating "balances from amounts, amounts from balances" reaches the one consistent
    ledger, in as many rounds as such payments feed each other.

    Args:
        type_code, origin, destination, drawn, share, limit: shape (payments,); accounts as
            indices, none pays itself.
        is_round: bool, shape (payments,): amounts to be rounded down to two digits.
        without_balance: bool, shape (accounts,): their balances are recorded as 0.
        opens_empty: bool, shape (accounts,).
    """
    entries = _entries(type_code, origin, destination, share, without_balance)
    drawn = np.minimum(drawn, limit)
    drawn = np.where(is_round, rounded(drawn), drawn)
    amount = np.where(share > 0, 0, drawn)
    opening = _opening(entries, amount, without_balance | opens_empty, rng)
    takes = np.flatnonzero(share > 0)
    while True:
        before = _before(entries, amount, opening)
        held = before[takes]
        taken = np.minimum(np.rint(held * share[takes]).astype(np.int64), limit[takes])
        taken = np.where(is_round[takes], rounded(taken), taken)
        taken = np.where(taken >= SMALLEST, taken, drawn[takes])
        if np.array_equal(taken, amount[takes]):
            payments = type_code.size
            return Settled(amount, before[:payments], before[payments:])
        amount[takes] = taken


def rounded(cents: np.ndarray) -> np.ndarray:
    """Return sums rounded down to their first two digits; small ones stay."""
    unit = 10 ** np.maximum(np.log10(np.maximum(cents, ROUNDED_FROM)).astype(np.int64) - 1, 0)
    return np.where(cents < ROUNDED_FROM, cents, cents // unit * unit)


def _entries(type_code, origin, destination, share, without_balance) -> _Entries:
    payments = type_code.size
    account = np.concatenate([origin, destination])
    position = np.tile(np.arange(payments), 2)
    order = np.argsort(account * payments + position, kind="stable")
    into_origin = np.where(type_code == TYPE_CODES["CASH_IN"], 1, -1).astype(np.int8)
    sign = np.concatenate([into_origin, -into_origin])
    sign[without_balance[account] | np.tile(share > 1, 2)] = 0
    in_order = account[order]
    starts = np.flatnonzero(np.diff(in_order, prepend=-1))
    return _Entries(order, sign[order], starts, in_order[starts],
                    np.diff(starts, append=in_order.size))


def _opening(entries: _Entries, amount, is_empty, rng) -> np.ndarray:
    """Draw opening balances that carry most accounts through the month; a few will overdraw."""
    flow = entries.sign * np.concatenate([amount, amount])[entries.order]
    lowest = np.minimum.reduceat(_running(entries, flow), entries.starts)
    cover = rng.uniform(0.9, 1.5, entries.starts.size) * np.maximum(0, -lowest)
    slack = rng.lognormal(17.3, 1.3, entries.starts.size)     # about 330,000 units
    opening = np.where(lowest < 0, cover, 0) + slack * (rng.random(entries.starts.size) > 0.15)
    opening[is_empty[entries.account]] = 0
    return opening.astype(np.int64)


def _before(entries: _Entries, amount, opening) -> np.ndarray:
    """Return balances before each payment, of origins, then destinations: (2 * payments,)."""
    flow = entries.sign * np.concatenate([amount, amount])[entries.order]
    balance = _running(entries, flow) - flow + np.repeat(opening, entries.lengths)
    before = np.empty_like(balance)
    before[entries.order] = balance
    return before


def _running(entries: _Entries, flow) -> np.ndarray:
    """Return the sum of each account's flows up to and including each entry."""
    total = np.cumsum(flow)
    base = total[entries.starts] - flow[entries.starts]
    return total - np.repeat(base, entries.lengths)
