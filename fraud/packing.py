"""Counts and sums of payments, packed into one integer for speed.

One addition counts a payment, one subtraction forgets a bucket. From the lowest bit: count (32
bits) and cents (64 bits) of sent payments, then the same of received ones. No field overflows: the
cents of a bucket end at `LARGEST`, of which 64 bits hold the sum of 2,047 buckets; 32 bits hold the
payments of a month at 1,600 a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PackedSums = int

CENTS_SHIFT = 32                # bits from a count to its cents
RECEIVED_SHIFT = 96             # bits from sent payments to received ones
PACKED_BYTES = 24
LARGEST = 2 ** 53               # cents that a double holds; larger sums count as this many

_COUNT_MASK = (1 << CENTS_SHIFT) - 1
_SENT_MASK = (1 << RECEIVED_SHIFT) - 1
_FIELDS = np.dtype([("count", "<u4"), ("cents", "<u8")])


def pack(sent_count: int, sent_cents: int, received_count: int, received_cents: int) -> PackedSums:
    """Join four numbers into one."""
    return (sent_count | sent_cents << CENTS_SHIFT
            | (received_count | received_cents << CENTS_SHIFT) << RECEIVED_SHIFT)


def unpack(packed: PackedSums) -> tuple[int, int, int, int]:
    """Return the numbers that `pack` joined."""
    sent, received = packed & _SENT_MASK, packed >> RECEIVED_SHIFT
    return (sent & _COUNT_MASK, sent >> CENTS_SHIFT,
            received & _COUNT_MASK, received >> CENTS_SHIFT)


def unpack_many(packed: Sequence[PackedSums]) -> np.ndarray:
    """Return the numbers that `pack` joined, cents capped at `LARGEST`.

    Returns:
        int64, shape (packed, 2, 2): sent and received; count and cents.
    """
    raw = b"".join([sums.to_bytes(PACKED_BYTES, "little") for sums in packed])
    fields = np.frombuffer(raw, _FIELDS).reshape(len(packed), 2)
    cents = np.minimum(fields["cents"], LARGEST)
    return np.stack([fields["count"], cents], axis=-1).astype(np.int64)
