"""The history of accounts: claims, counts, and the contract of every store.

`Store` states what a store promises. A store keeps the `DAY_HOURS` hourly and `MONTH_DAYS` daily
buckets of an account up to its newest one, whatever the wall clock says (`fraud.windows`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from fraud.clock import HOUR_MS
from fraud.errors import FraudError
from fraud.packing import LARGEST, PackedSums, unpack, unpack_many
from fraud.transaction import Transaction
from fraud.windows import SIDE_COUNTS, WINDOWS, known_windows

MAX_GAP_MS = HOUR_MS        # longest gap between the end of a fill and the first claim


class AccountTotals(msgspec.Struct, frozen=True, gc=False):
    """The history of one account before a payment."""

    hour: PackedSums = 0
    day: PackedSums = 0
    week: PackedSums = 0
    month: PackedSums = 0
    last_sent: int = 0          # latest event_time; 0 if it is not in the month, or later
    last_received: int = 0
    first_day: int = 0          # oldest day of the month with a payment; 0 if there is none
    contacts_week: int = 0      # sketches
    contacts_month: int = 0
    frauds_sent_week: int = 0   # that became known in the week
    frauds_received_week: int = 0
    frauds_sent_month: int = 0
    frauds_received_month: int = 0


NO_TOTALS = AccountTotals()


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A counted payment that waits for its answer. A repeated claim returns an equal one."""

    transaction_id: str
    digest: bytes               # of the payment: tells apart payments with one transaction_id
    origin: AccountTotals       # before the payment
    destination: AccountTotals  # `NO_TOTALS` without one
    known_to_origin: bool       # the destination, among the counterparties of its month
    known_to_destination: bool
    store_sequence: int | None  # 1, 2, 3.. in the order of counting; None if the store has none
    late: bool                  # an earlier payment of one of its accounts has a later event_time
    recording_since: int        # ms since the epoch: earlier payments may be missing

    @property
    def counts(self) -> list[int]:
        """The counts before the payment, in the order of `COUNT_NAMES`."""
        return [*_side_counts(self.origin, self.known_to_origin),
                *_side_counts(self.destination, self.known_to_destination)]

    def known_windows(self, event_time: int) -> int:
        """Return how many windows the store recorded whole before a payment of this time."""
        windows: int = known_windows(self.recording_since, event_time)
        return windows


def _side_counts(totals: AccountTotals, knows_other: bool) -> list[int]:
    if totals is NO_TOTALS:
        return [0] * SIDE_COUNTS
    sent: list[int] = []
    received: list[int] = []
    for packed in (totals.hour, totals.day, totals.week, totals.month):
        sent_count, sent_cents, received_count, received_cents = unpack(packed)
        sent += (sent_count, min(sent_cents, LARGEST))
        received += (received_count, min(received_cents, LARGEST))
    return [*sent, totals.last_sent, *received, totals.last_received, *_rest(totals),
            int(knows_other)]


def _rest(totals: AccountTotals) -> tuple[int, ...]:
    return (totals.first_day, totals.contacts_week.bit_count(),
            totals.contacts_month.bit_count(), totals.frauds_sent_week,
            totals.frauds_received_week, totals.frauds_sent_month, totals.frauds_received_month)


def counts_array(claims: Sequence[Claim]) -> np.ndarray:
    """Return the counts before each payment: int64, shape (names, claims), as `COUNT_NAMES`."""
    sides = [totals for claim in claims for totals in (claim.origin, claim.destination)]
    packed = [sums for totals in sides
              for sums in (totals.hour, totals.day, totals.week, totals.month)]
    sums = unpack_many(packed).reshape(len(sides), len(WINDOWS), 2, 2)      # direction, measure
    sent, received = sums.transpose(2, 0, 1, 3).reshape(2, len(sides), 2 * len(WINDOWS))
    last = np.array([(totals.last_sent, totals.last_received) for totals in sides], np.int64)
    rest = np.array([_rest(totals) for totals in sides], np.int64)
    knows_other = np.array([(claim.known_to_origin, claim.known_to_destination)
                            for claim in claims], np.int64).reshape(-1, 1)
    columns = np.hstack([sent, last[:, :1], received, last[:, 1:], rest, knows_other])
    return columns.reshape(len(claims), 2 * SIDE_COUNTS).T


class AlreadyAnswered(msgspec.Struct, frozen=True, gc=False):
    """The result of a claim of a payment that has an answer."""

    answer: bytes


class IdConflict(msgspec.Struct, frozen=True, gc=False):
    """The result of a claim whose transaction_id belongs to another payment."""


ClaimResult = Claim | AlreadyAnswered | IdConflict


class AccountSnapshot(NamedTuple):
    """The history of one account, as one store hands it to another."""

    account: str
    newest: int                         # its latest event_time
    last_sent: int                      # latest event_time of what it sent, 0 if nothing
    last_received: int
    hours: dict[int, PackedSums]        # by hourly bucket; the largest is that of `newest`
    days: dict[int, PackedSums]         # by daily bucket; likewise
    contacts: dict[int, int]            # sketches of counterparties, by day with a payment
    frauds: dict[int, tuple[int, int]]  # sent and received, by the day on which they became known


class PaymentAccounts(NamedTuple):
    """The accounts of a payment."""

    origin: str
    destination: str | None


class KnownFraud(NamedTuple):
    """A payment that became known as fraud."""

    transaction_id: str
    label_time: int                     # ms since the epoch
    origin: str
    destination: str | None


class StoreMemory(NamedTuple):
    """The memory of a store that refuses payments when it is full, in bytes."""

    used: int
    limit: int      # 0: none


class StoreUnavailable(FraudError):
    """A store that did not answer in time or cannot be trusted. The call may have taken effect."""


class StoreNotEmpty(FraudError):
    """A store that has recorded payments and must not be filled: some would count twice."""


class StoreContractError(RuntimeError):
    """A defect of a store: it broke the contract of `Store`."""


class Store(Protocol):
    """The contract of a store of history. Any thread may call any method.

    A store promises:

    1. Atomic claims. A payment is counted on both of its accounts, or not at all, and a claim shows
       all payments that were claimed before it and none that is claimed after it.
    2. Idempotence. A repeated claim counts nothing again and returns the same counts, or the answer
       once there is one. A caller may therefore die between `claim` and `finish`: repeating both
       is safe.
    3. One answer. The first answer that `finish` keeps is final; everybody gets these bytes.
    4. Complete results. `claim` and `finish` return one result per argument, in their order.
    5. No silent gaps. `recording_since` of a claim is a time from which on nothing is missing.
    6. A deadline. A call that cannot finish in time raises `StoreUnavailable`. It may have taken
       effect; the caller may repeat it with the same arguments.

    Transaction ids, with the accounts of their payments, are known for `FRAUD_IDEMPOTENCY_HOURS`,
    the history of accounts and counted frauds for at least `MONTH_DAYS`; the store in memory may
    forget the oldest ids and idle accounts earlier when it is full, and the latter move
    `recording_since`. tests/fraud/stores/test_contract.py holds every store to this.
    """

    def claim(self, payments: Sequence[Transaction], now: int) -> list[ClaimResult]:
        """Count each payment once, and return the counts before it.

        Args:
            payments: counted in this order; later ones see the earlier ones.
            now: ms since the epoch: the start of recording, for a store that is empty or was filled
                with history that ends more than `MAX_GAP_MS` earlier.
        """

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        """Keep each answer unless its payment has one already, and return the kept ones."""

    def answer(self, transaction_id: str) -> bytes | None:
        """Return the kept answer of a payment, if it has one."""

    def label(self, frauds: Sequence[KnownFraud]) -> list[bool]:
        """Count each fraud once on its accounts, on the day on which it became known.

        Returns:
            True for each that was counted now; False where its transaction_id was counted before.
        """

    def accounts(self, transaction_ids: Sequence[str]) -> list[PaymentAccounts | None]:
        """Return the accounts of each payment, or None where its id is not known."""

    def forget(self, accounts: Sequence[str]) -> list[bool]:
        """Remove the history of accounts. Their next payments are those of new accounts.

        Returns:
            True for each account that had a history.
        """

    def fill(self, snapshots: Iterable[AccountSnapshot], since: int, until: int) -> None:
        """Take over history from elsewhere that is complete from `since` to `until` (ms).

        Raises:
            StoreNotEmpty: the store has recorded payments or was filled already.
        """

    def memory(self) -> StoreMemory | None:
        """Return the memory in use, or None for a store that never refuses payments for it."""

    def close(self) -> None:
        """Close connections."""


def digest(payment: Transaction) -> bytes:
    """Return sixteen bytes that differ between payments with one transaction_id."""
    return sha256(_encode(payment)).digest()[:16]


_encode = msgspec.msgpack.Encoder().encode
