"""The last day of one account, up to its newest bucket: what stores keep and count with.

The newest bucket, the one before it and the sums of all are at hand, so that a payment in the
newest bucket costs the same however much there is; the closed buckets are packed.
"""

from __future__ import annotations

import struct

import msgspec

from fraud.history import (BUCKET_MS, DAY_BUCKETS, HOUR_BUCKETS, RECEIVED, SUMS_BYTES, Claim, Past,
                           Sums, split, sums_of)
from fraud.transaction import Transaction

# In what Redis reads, cents are two numbers, `LIMB`s and the rest, each summed for itself: its Lua
# has only doubles, and the sum of 91 of the largest payments would not be exact. So it is up to
# 900 million of them.
LIMB = 10 ** 7

SUMS_IN_LIMBS = "IddIdd"        # count, cents in limbs and their rest of sent; of received
BUCKET = "<I" + SUMS_IN_LIMBS   # of an encoded account: its number first
_BUCKET, _NEWEST = struct.Struct(BUCKET), struct.Struct("<d")

_CLOSED = struct.Struct(f"<I{SUMS_BYTES}s")     # number, sums


class Account(msgspec.Struct, gc=False):
    """What is kept of one account."""

    newest: int = 0              # the latest event_time
    bucket: int = -DAY_BUCKETS   # of it
    sums: Sums = 0               # of the newest bucket
    previous: Sums = 0           # of the one before it
    day: Sums = 0                # of all kept buckets
    closed: bytes = b""          # all but the newest, oldest first

    def count(self, event_time: int, bucket: int, sums: Sums) -> tuple[Sums, Sums]:
        """Count a payment of a bucket; returns what came before it, in the hour and in the day."""
        if bucket < self.bucket:
            return self._count_late(bucket, sums)
        if bucket > self.bucket:
            self._open(bucket)
        if event_time > self.newest:
            self.newest = event_time
        own, day = self.sums, self.day
        self.sums, self.day = own + sums, day + sums
        return own + self.previous, day

    def buckets(self) -> dict[int, Sums]:
        """Kept buckets by number, oldest first."""
        closed = {number: int.from_bytes(sums, "little")
                  for number, sums in _CLOSED.iter_unpack(self.closed)}
        return {**closed, self.bucket: self.sums}

    def keep(self, buckets: dict[int, Sums]) -> None:
        """Hold the day up to the newest of these buckets."""
        self.bucket = max(buckets)
        kept = {number: buckets[number] for number in sorted(buckets)
                if number > self.bucket - DAY_BUCKETS}
        self.day = sum(kept.values())
        self.sums = kept.pop(self.bucket)
        self.previous = kept.get(self.bucket - 1, 0)
        self.closed = b"".join(_CLOSED.pack(number, sums.to_bytes(SUMS_BYTES, "little"))
                               for number, sums in kept.items())

    def _open(self, bucket: int) -> None:
        """Make a later bucket the newest, and forget those that fall out of its day."""
        own, passed = self.sums, bucket - self.bucket
        if passed >= DAY_BUCKETS:
            self.sums = self.previous = self.day = 0
            self.bucket, self.closed = bucket, b""
            return
        closed = self.closed + _CLOSED.pack(self.bucket, own.to_bytes(SUMS_BYTES, "little"))
        self.previous = own if passed == 1 else 0
        self.bucket, self.sums = bucket, 0
        number, sums = _CLOSED.unpack_from(closed)
        while number <= bucket - DAY_BUCKETS:       # the last one is not: it was the newest
            self.day -= int.from_bytes(sums, "little")
            closed = closed[_CLOSED.size:]
            number, sums = _CLOSED.unpack_from(closed)
        self.closed = closed

    def _count_late(self, bucket: int, sums: Sums) -> tuple[Sums, Sums]:
        kept = self.buckets()
        hour = sum(had for number, had in kept.items() if bucket - HOUR_BUCKETS < number <= bucket)
        day = sum(had for number, had in kept.items() if bucket - DAY_BUCKETS < number <= bucket)
        kept[bucket] = kept.get(bucket, 0) + sums
        self.keep(kept)
        return hour, day


def claim(origin: Account, destination: Account, payment: Transaction, digest: bytes,
          sequence: int | None, since: int) -> Claim:
    """Count a payment on both sides."""
    event_time = payment.event_time
    bucket = event_time // BUCKET_MS
    sent = 1 | payment.amount_cents << 32       # `sums_of(1, cents, 0, 0)`
    late = event_time < origin.newest or event_time < destination.newest
    if origin is destination:
        hour, day = origin.count(event_time, bucket, sent | sent << RECEIVED)
        return Claim(payment.transaction_id, digest, hour, day, hour, day, sequence, late, since)
    origin_hour, origin_day = origin.count(event_time, bucket, sent)
    hour, day = destination.count(event_time, bucket, sent << RECEIVED)
    return Claim(payment.transaction_id, digest, origin_hour, origin_day, hour, day,
                 sequence, late, since)


def account_of(past: Past) -> Account:
    """An account that holds what is known of it from elsewhere."""
    account = Account(newest=past.newest)
    account.keep(past.buckets)
    return account


def past_of(name: str, account: Account) -> Past:
    """What an account holds."""
    return Past(name, account.newest, account.buckets())


def encode(newest: int, buckets: dict[int, Sums]) -> bytes:
    """The form in which Redis and DynamoDB keep an account: `newest` as a double, then `BUCKET`s,
    oldest first.
    """
    encoded = [_NEWEST.pack(newest)]
    for number in sorted(buckets):
        sent_count, sent_cents, received_count, received_cents = split(buckets[number])
        encoded.append(_BUCKET.pack(number, sent_count, *divmod(sent_cents, LIMB),
                                    received_count, *divmod(received_cents, LIMB)))
    return b"".join(encoded)


def decode(name: str, content: bytes) -> Past:
    """What was encoded, here or by Redis, where a rest may exceed a `LIMB`."""
    [newest] = _NEWEST.unpack_from(content)
    return Past(name, int(newest), {number: sums_in_limbs(*sums) for number, *sums
                                    in _BUCKET.iter_unpack(content[_NEWEST.size:])})


def sums_in_limbs(sent_count: int, sent_limbs: float, sent_rest: float,
                  received_count: int, received_limbs: float, received_rest: float) -> Sums:
    """Sums from the numbers of `SUMS_IN_LIMBS`."""
    return sums_of(sent_count, int(sent_limbs) * LIMB + int(sent_rest),
                   received_count, int(received_limbs) * LIMB + int(received_rest))
