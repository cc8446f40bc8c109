"""Closed buckets and known frauds of an account, packed: 28 bytes an hour, 34 a day."""

from __future__ import annotations

import struct
from collections.abc import Collection

from fraud.packing import LARGEST, PACKED_BYTES, PackedSums, pack, unpack
from fraud.windows import MONTH_DAYS, WEEK_DAYS

HOUR = struct.Struct(f"<I{PACKED_BYTES}s")      # hour, sums
DAY = struct.Struct(f"<H{PACKED_BYTES}sQ")      # day, sums, sketch of counterparties
FRAUDS = struct.Struct("<III")                  # day, sent, received

# Bits that are set in sums of `LARGEST` cents or more.
FULL = pack(0, 2 ** 64 - LARGEST, 0, 2 ** 64 - LARGEST)

Day = tuple[PackedSums, int]                    # sums and sketch


def capped(sums: PackedSums) -> PackedSums:
    """Return the sums of a bucket, cents capped at `LARGEST`."""
    if not sums & FULL:
        return sums
    sent_count, sent_cents, received_count, received_cents = unpack(sums)
    return pack(sent_count, min(sent_cents, LARGEST), received_count, min(received_cents, LARGEST))


def pack_hour(hour: int, sums: PackedSums) -> bytes:
    """Return an hourly bucket as bytes."""
    return HOUR.pack(hour, sums.to_bytes(PACKED_BYTES, "little"))


def pack_day(day: int, sums: PackedSums, sketch: int) -> bytes:
    """Return a daily bucket as bytes."""
    return DAY.pack(day, sums.to_bytes(PACKED_BYTES, "little"), sketch)


def replaced(packed: bytes, kept: Collection[int], bucket: int, entry: bytes) -> bytes:
    """Return packed buckets with the entry of one of them new or replaced.

    Args:
        kept: the numbers of the packed buckets, in their order.
    """
    first = sum(number < bucket for number in kept) * len(entry)
    return packed[:first] + entry + packed[first + (bucket in kept) * len(entry):]


def hours_of(packed: bytes) -> dict[int, PackedSums]:
    """Return hourly buckets by number, in their order."""
    return {hour: int.from_bytes(sums, "little") for hour, sums in HOUR.iter_unpack(packed)}


def days_of(packed: bytes) -> dict[int, Day]:
    """Return daily buckets by number, in their order."""
    return {day: (int.from_bytes(sums, "little"), sketch)
            for day, sums, sketch in DAY.iter_unpack(packed)}


def sum_of_hours(hours: dict[int, PackedSums], last: int, length: int) -> PackedSums:
    """Return the sums of a window of so many hours, up to the last one."""
    return sum(sums for hour, sums in hours.items() if last - length < hour <= last)


def sum_of_days(days: dict[int, Day], last: int, length: int) -> Day:
    """Return sums and sketch of a window of so many days, up to the last one."""
    total = sketch = 0
    for day, (sums, contacts) in days.items():
        if last - length < day <= last:
            total, sketch = total + sums, sketch | contacts
    return total, sketch


def frauds_by_day(packed: bytes) -> dict[int, tuple[int, int]]:
    """Return the frauds sent and received by the day on which they became known."""
    return {day: (sent, received) for day, sent, received in FRAUDS.iter_unpack(packed)}


def pack_frauds(frauds: dict[int, tuple[int, int]]) -> bytes:
    """Return frauds as bytes, as far as they are in the month of the newest day."""
    return b"".join(FRAUDS.pack(day, *frauds[day]) for day in sorted(frauds)
                    if day > max(frauds) - MONTH_DAYS)


def frauds_before(packed: bytes, day: int) -> tuple[int, int, int, int]:
    """Return the frauds, sent and received, that became known in the week and the month of a day.
    """
    week_sent = week_received = month_sent = month_received = 0
    for known, sent, received in FRAUDS.iter_unpack(packed):
        if day - MONTH_DAYS < known <= day:
            month_sent, month_received = month_sent + sent, month_received + received
            if known > day - WEEK_DAYS:
                week_sent, week_received = week_sent + sent, week_received + received
    return week_sent, week_received, month_sent, month_received
