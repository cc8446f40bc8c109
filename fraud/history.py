"""The history of accounts: windows, counts, and the contract of every store.

`Store` states what a store promises. Payments are counted in hourly UTC buckets: any store can keep
them with increments, and Spark can recompute them exactly. For a payment in bucket b, a window of n
buckets is b-n+1..b; of bucket b it counts the earlier payments, never the payment itself. A store
keeps the `DAY_BUCKETS` buckets of an account up to its newest one, whatever the wall clock says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np

from fraud.clock import HOUR_MS
from fraud.errors import FraudError
from fraud.packing import LARGEST, PackedSums, unpack, unpack_many
from fraud.transaction import Transaction

BUCKET_MS = HOUR_MS
HOUR_BUCKETS = 2            # the running hour and the one before: the last one to two hours
DAY_BUCKETS = 24
MAX_GAP_MS = BUCKET_MS      # longest gap between the end of a fill and the first claim

IntOrArray = TypeVar("IntOrArray", int, np.ndarray)


class Activity(NamedTuple):
    """Earlier payments of one account in one direction: integers, or int64 arrays of one shape."""

    count_hour: Any
    cents_hour: Any
    count_day: Any
    cents_day: Any


class Counts(NamedTuple):
    """The history that features see: both accounts of a payment, both directions."""

    origin_sent: Activity
    origin_received: Activity
    destination_sent: Activity
    destination_received: Activity


NAMES = tuple(f"{side}_{field}" for side in Counts._fields for field in Activity._fields)


def counts_of(values: Sequence[Any]) -> Counts:
    """Return `Counts` of sixteen values, or arrays, in the order of `NAMES`."""
    return Counts(Activity(*values[0:4]), Activity(*values[4:8]),
                  Activity(*values[8:12]), Activity(*values[12:]))


def bucket_of(event_time: IntOrArray) -> IntOrArray:
    """Return the hourly bucket of a time in ms since the epoch."""
    return event_time // BUCKET_MS


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A counted payment that waits for its answer. A repeated claim returns an equal one."""

    transaction_id: str
    digest: bytes               # of the payment: tells apart payments with one transaction_id
    origin_hour: PackedSums     # before the payment
    origin_day: PackedSums
    destination_hour: PackedSums
    destination_day: PackedSums
    store_sequence: int | None  # 1, 2, 3.. in the order of counting; None if the store has none
    late: bool                  # an earlier payment of one of its accounts has a later event_time
    recording_since: int        # ms since the epoch: earlier payments may be missing

    @property
    def counts(self) -> list[int]:
        """The counts before the payment, in the order of `NAMES`."""
        counts: list[int] = []
        for packed_hour, packed_day in ((self.origin_hour, self.origin_day),
                                        (self.destination_hour, self.destination_day)):
            hour, day = unpack(packed_hour), unpack(packed_day)
            counts += hour[:2] + day[:2] + hour[2:] + day[2:]
        return [min(count, LARGEST) for count in counts]

    def is_complete(self, event_time: int) -> bool:
        """Return True if the store recorded the whole day before a payment of this event_time."""
        return self.recording_since <= (bucket_of(event_time) - DAY_BUCKETS + 1) * BUCKET_MS


def counts_array(claims: Sequence[Claim]) -> np.ndarray:
    """Return the counts before each payment: int64, shape (16, claims), in the order of `NAMES`."""
    packed = [sums for claim in claims for sums in (
        claim.origin_hour, claim.origin_day, claim.destination_hour, claim.destination_day)]
    side_window = unpack_many(packed).reshape(len(claims), 2, 2, 2, 2)
    return side_window.transpose(1, 3, 2, 4, 0).reshape(len(NAMES), len(claims))


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
    buckets: dict[int, PackedSums]      # by bucket number; the largest is that of `newest`


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

    Transaction ids are known for `FRAUD_IDEMPOTENCY_HOURS`, accounts for at least a day after their
    last payment; the store in memory may forget the oldest ids and idle accounts earlier when it is
    full, and the latter move `recording_since`. tests/fraud/stores/test_contract.py holds every
    store to this.
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
