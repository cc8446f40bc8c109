"""The last day of one account, up to its newest bucket: the unit that stores keep and count with.

The newest bucket, the one before it and the sums of all are separate fields, so that a payment in
the newest bucket costs the same however long the history is; closed buckets are packed.
"""

from __future__ import annotations

import struct

import msgspec

from fraud.history import BUCKET_MS, DAY_BUCKETS, HOUR_BUCKETS, AccountSnapshot, Claim
from fraud.packing import CENTS_SHIFT, PACKED_BYTES, RECEIVED_SHIFT, PackedSums, pack, unpack
from fraud.transaction import Transaction

# Redis' Lua has only doubles, in which the sum of 91 of the largest payments would not be exact. In
# the encoding that Redis reads, cents are therefore two numbers, the number of `LIMB`s and the
# remainder, each with its own sum: exact for 900 million of the largest payments.
LIMB = 10 ** 7

SUMS_IN_LIMBS = "IddIdd"        # count, limbs and remainder of sent payments; of received ones
BUCKET = "<I" + SUMS_IN_LIMBS   # of an encoded account: bucket number first
_BUCKET, _NEWEST = struct.Struct(BUCKET), struct.Struct("<d")

_CLOSED = struct.Struct(f"<I{PACKED_BYTES}s")       # bucket number, sums


class Account(msgspec.Struct, gc=False):
    """The history of one account."""

    newest: int = 0                 # its latest event_time
    bucket: int = -DAY_BUCKETS      # of `newest`
    sums: PackedSums = 0            # of the newest bucket
    previous: PackedSums = 0        # of the bucket before it
    day: PackedSums = 0             # of all kept buckets
    closed: bytes = b""             # all kept buckets but the newest, oldest first

    def count(self, event_time: int, bucket: int,
              sums: PackedSums) -> tuple[PackedSums, PackedSums]:
        """Count a payment of a bucket, and return the sums of the hour and the day before it."""
        if bucket < self.bucket:
            return self._count_late(bucket, sums)
        if bucket > self.bucket:
            self._open(bucket)
        if event_time > self.newest:
            self.newest = event_time
        newest, day = self.sums, self.day
        self.sums, self.day = newest + sums, day + sums
        return newest + self.previous, day

    def buckets(self) -> dict[int, PackedSums]:
        """Return the kept buckets by number, oldest first."""
        closed = {number: int.from_bytes(sums, "little")
                  for number, sums in _CLOSED.iter_unpack(self.closed)}
        return {**closed, self.bucket: self.sums}

    def keep(self, buckets: dict[int, PackedSums]) -> None:
        """Replace the history by these buckets, as far as they are in the newest one's day."""
        self.bucket = max(buckets)
        kept = {number: buckets[number] for number in sorted(buckets)
                if number > self.bucket - DAY_BUCKETS}
        self.day = sum(kept.values())
        self.sums = kept.pop(self.bucket)
        self.previous = kept.get(self.bucket - 1, 0)
        self.closed = b"".join(_CLOSED.pack(number, sums.to_bytes(PACKED_BYTES, "little"))
                               for number, sums in kept.items())

    def _open(self, bucket: int) -> None:
        """Make a later bucket the newest, and forget the buckets that leave its day."""
        last, passed = self.sums, bucket - self.bucket
        if passed >= DAY_BUCKETS:
            self.sums = self.previous = self.day = 0
            self.bucket, self.closed = bucket, b""
            return
        closed = self.closed + _CLOSED.pack(self.bucket, last.to_bytes(PACKED_BYTES, "little"))
        self.previous = last if passed == 1 else 0
        self.bucket, self.sums = bucket, 0
        number, sums = _CLOSED.unpack_from(closed)
        while number <= bucket - DAY_BUCKETS:       # ends at the latest at the former newest one
            self.day -= int.from_bytes(sums, "little")
            closed = closed[_CLOSED.size:]
            number, sums = _CLOSED.unpack_from(closed)
        self.closed = closed

    def _count_late(self, bucket: int, sums: PackedSums) -> tuple[PackedSums, PackedSums]:
        kept = self.buckets()
        hour = _sum(kept, bucket - HOUR_BUCKETS, bucket)
        day = _sum(kept, bucket - DAY_BUCKETS, bucket)
        kept[bucket] = kept.get(bucket, 0) + sums
        self.keep(kept)
        return hour, day


def _sum(buckets: dict[int, PackedSums], after: int, last: int) -> PackedSums:
    return sum(sums for number, sums in buckets.items() if after < number <= last)


def claim(origin: Account, destination: Account | None, payment: Transaction, digest: bytes,
          store_sequence: int | None, since: int) -> Claim:
    """Count a payment on its accounts, and return its claim. No destination, no counts of it."""
    event_time = payment.event_time
    bucket = event_time // BUCKET_MS
    sent = 1 | payment.amount_cents << CENTS_SHIFT      # `pack(1, amount_cents, 0, 0)`, but faster
    received = sent << RECEIVED_SHIFT
    late = event_time < origin.newest or (
        destination is not None and event_time < destination.newest)
    if destination is None:
        origin_hour, origin_day = origin.count(event_time, bucket, sent)
        hour = day = 0
    elif origin is destination:
        hour, day = origin_hour, origin_day = origin.count(event_time, bucket, sent | received)
    else:
        origin_hour, origin_day = origin.count(event_time, bucket, sent)
        hour, day = destination.count(event_time, bucket, received)
    return Claim(payment.transaction_id, digest, origin_hour, origin_day, hour, day,
                 store_sequence, late, since)


def account_of(snapshot: AccountSnapshot) -> Account:
    """Return the account of a snapshot."""
    account = Account(newest=snapshot.newest)
    account.keep(snapshot.buckets)
    return account


def snapshot_of(name: str, account: Account) -> AccountSnapshot:
    """Return the snapshot of an account."""
    return AccountSnapshot(name, account.newest, account.buckets())


def encode(newest: int, buckets: dict[int, PackedSums]) -> bytes:
    """Return an account as Redis and DynamoDB keep it: `newest` as a double, then its `BUCKET`s,
    oldest first.
    """
    encoded = [_NEWEST.pack(newest)]
    for number in sorted(buckets):
        sent_count, sent_cents, received_count, received_cents = unpack(buckets[number])
        encoded.append(_BUCKET.pack(number, sent_count, *divmod(sent_cents, LIMB),
                                    received_count, *divmod(received_cents, LIMB)))
    return b"".join(encoded)


def decode(name: str, content: bytes) -> AccountSnapshot:
    """Return the account that was encoded, here or by Redis, where a remainder may exceed a `LIMB`.
    """
    [newest] = _NEWEST.unpack_from(content)
    buckets = {number: sums_in_limbs(*sums)
               for number, *sums in _BUCKET.iter_unpack(content[_NEWEST.size:])}
    return AccountSnapshot(name, int(newest), buckets)


def sums_in_limbs(sent_count: int, sent_limbs: float, sent_remainder: float,
                  received_count: int, received_limbs: float,
                  received_remainder: float) -> PackedSums:
    """Return packed sums from the numbers of `SUMS_IN_LIMBS`."""
    return pack(sent_count, int(sent_limbs) * LIMB + int(sent_remainder),
                received_count, int(received_limbs) * LIMB + int(received_remainder))
