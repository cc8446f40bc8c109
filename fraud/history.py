"""What an account did before a payment: windows, what a count holds, what a store must do.

Counts are kept in hourly UTC buckets: any store can keep them with increments, and Spark can
recompute them exactly. For a payment in bucket b, a window of n buckets is b-n+1..b, and of the
current bucket it holds what came earlier, never the payment itself. Of an account the `DAY_BUCKETS`
buckets up to its newest one are kept, whatever the wall clock says; older ones are forgotten.

A store is asked twice about a payment: `claim` counts it and says what came before, `finish` keeps
its answer. Between the two a caller may die: whoever claims the same payment again gets the same
counts, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from fraud.transaction import Transaction

BUCKET_MS = 3_600_000
HOUR_BUCKETS = 2       # the running hour and the one before: the last one to two hours
DAY_BUCKETS = 24
MAX_GAP_MS = BUCKET_MS      # between what a store was filled with and the first payment it records


class Activity(NamedTuple):
    """Earlier payments of one account in one direction: integers, or int64 arrays of one shape."""

    count_hour: Any
    cents_hour: Any
    count_day: Any
    cents_day: Any


class Counts(NamedTuple):
    """All that a payment's features know of history: both sides, both directions."""

    origin_sent: Activity
    origin_received: Activity
    destination_sent: Activity
    destination_received: Activity


NAMES = tuple(f"{side}_{field}" for side in Counts._fields for field in Activity._fields)


def counts_of(values) -> Counts:
    """`Counts` from sixteen values, or arrays, in the order of `NAMES`."""
    width = len(Activity._fields)
    return Counts(*(Activity(*values[start:start + width])
                    for start in range(0, len(NAMES), width)))


def bucket_of(event_time):
    """The hourly bucket of a time in ms since the epoch, for an integer or an int64 array."""
    return event_time // BUCKET_MS


# What an account did in some time, in one integer: one addition counts a payment, one subtraction
# forgets a bucket. From the lowest bit: count (32 bits) and cents (96) of sent payments, then the
# same of received ones. No field runs over: 96 bits hold the cents of 10^14 of the largest
# payments, 32 bits the payments of a day at 49,000 a second.
Sums = int
RECEIVED = 128                  # bits from a field of sent to that of received payments
SUMS_BYTES = 32
LARGEST = 2 ** 63 - 1           # cents that features can hold; what is more is seen as this
_FIELDS = np.dtype([("count", "<u4"), ("cents", "<u8"), ("more_cents", "<u4")])


def sums_of(sent_count: int, sent_cents: int, received_count: int, received_cents: int) -> Sums:
    """Four numbers in one."""
    return (sent_count | sent_cents << 32) | (received_count | received_cents << 32) << RECEIVED


def split(sums: Sums) -> tuple[int, int, int, int]:
    """The numbers that `sums_of` joined."""
    sent, received = sums & (1 << RECEIVED) - 1, sums >> RECEIVED
    return sent & 0xFFFFFFFF, sent >> 32, received & 0xFFFFFFFF, received >> 32


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A payment that is counted and waits for its answer. All of it is the same at every retry."""

    transaction_id: str
    digest: bytes               # tells it from other payments with its transaction_id
    origin_hour: Sums           # what came before it
    origin_day: Sums
    destination_hour: Sums
    destination_day: Sums
    sequence: int | None        # 1, 2, 3.. in the order of counting; None where a store has none
    late: bool                  # one of its accounts had a payment with a later event_time before
    recording_since: int        # ms since the epoch: what happened earlier may be missing

    @property
    def counts(self) -> list[int]:
        """What came before it, in the order of `NAMES`."""
        counts: list[int] = []
        for of_hour, of_day in ((self.origin_hour, self.origin_day),
                                (self.destination_hour, self.destination_day)):
            hour, day = split(of_hour), split(of_day)
            counts += hour[:2] + day[:2] + hour[2:] + day[2:]
        return [min(count, LARGEST) for count in counts]

    def is_complete(self, event_time: int) -> bool:
        """Whether the store recorded the whole day before a payment with this event_time."""
        return self.recording_since <= (bucket_of(event_time) - DAY_BUCKETS + 1) * BUCKET_MS


def counts_array(claims: Sequence[Claim]) -> np.ndarray:
    """What came before each payment: int64, shape (16, claims), rows in the order of `NAMES`."""
    raw = b"".join([sums.to_bytes(SUMS_BYTES, "little") for claim in claims for sums in (
        claim.origin_hour, claim.origin_day, claim.destination_hour, claim.destination_day)])
    fields = np.frombuffer(raw, _FIELDS).reshape(len(claims), 2, 2, 2)  # side, window, direction
    too_large = (fields["more_cents"] > 0) | (fields["cents"] > LARGEST)
    cents = np.where(too_large, LARGEST, fields["cents"])
    values = np.stack([fields["count"], cents], axis=-1).astype(np.int64)
    return values.transpose(1, 3, 2, 4, 0).reshape(len(NAMES), len(claims))


class Finished(msgspec.Struct, frozen=True, gc=False):
    """The same payment was answered before."""

    answer: bytes


class Reused(msgspec.Struct, frozen=True, gc=False):
    """Another payment was claimed under the same transaction_id."""


class Past(NamedTuple):
    """What is kept of one account."""

    account: str
    newest: int                 # its latest event_time
    buckets: dict[int, Sums]    # by number; the largest is that of `newest`


class StoreUnavailable(Exception):
    """A store did not answer in time, or cannot be trusted. What it was asked to do may be done."""


class StoreNotEmpty(Exception):
    """A store that has recorded payments must not be filled: some would be counted twice."""


class Store(Protocol):
    """Where history is kept. Any thread may use it, and any method may raise `StoreUnavailable`;
    it may then be called again with the same arguments.
    """

    def claim(self, payments: Sequence[Transaction], now: int) -> list[Claim | Finished | Reused]:
        """Count each payment once and say what came before it, one result a payment.

        Args:
            payments: are counted in this order, and later ones see the earlier ones.
            now: ms since the epoch; when recording began, for a store that is empty or was filled
                with what ends more than `MAX_GAP_MS` before.
        """

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        """Keep each answer unless its payment has one already, and return the kept ones."""

    def answer(self, transaction_id: str) -> bytes | None:
        """The kept answer of a payment, if it has one."""

    def fill(self, pasts: Iterable[Past], since: int, until: int) -> None:
        """Take over what is known from elsewhere, complete from `since` to `until` (ms).

        Raises:
            StoreNotEmpty: it has recorded payments or was filled already.
        """

    def close(self) -> None:
        """Let go of connections."""


def digest(payment: Transaction) -> bytes:
    """Sixteen bytes that tell payments with one transaction_id apart."""
    return sha256(_encode(payment)).digest()[:16]


_encode = msgspec.msgpack.Encoder().encode
