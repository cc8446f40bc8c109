"""Buckets of one account: sums and sketches by hour or day, up to the newest bucket.

The newest bucket and the totals of windows are separate fields, so that a payment in the newest
bucket costs the same however long the history is; closed buckets are packed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import ClassVar

import msgspec

from fraud.packing import PACKED_BYTES, PackedSums
from fraud.windows import DAY_HOURS, HOUR_HOURS, MONTH_DAYS, WEEK_DAYS

_SUMS = struct.Struct(f"<I{PACKED_BYTES}s")     # bucket number, sums
_SKETCH = struct.Struct("<IQ")                  # day, sketch
_FRAUDS = struct.Struct("<III")                 # day, sent, received


class Sums(msgspec.Struct, gc=False):
    """Sums by bucket, in a short and in a long window."""

    SHORT: ClassVar[int]            # buckets of the windows; all buckets of the long one are kept
    LONG: ClassVar[int]

    newest: int = 0                 # number of the newest bucket
    last: PackedSums = 0            # its sums
    recent: PackedSums = 0          # of the buckets before it in its short window
    total: PackedSums = 0           # of all kept buckets
    closed: bytes = b""             # all kept buckets but the newest, oldest first

    def count(self, bucket: int, sums: PackedSums) -> tuple[PackedSums, PackedSums]:
        """Count a payment of a bucket, and return the sums of both windows before it."""
        if bucket < self.newest:
            return self._count_late(bucket, sums)
        if bucket > self.newest:
            self._open(bucket)
        last, total = self.last, self.total
        self.last, self.total = last + sums, total + sums
        return last + self.recent, total

    def by_bucket(self) -> dict[int, PackedSums]:
        """Return the kept buckets by number, oldest first."""
        kept = {number: int.from_bytes(sums, "little")
                for number, sums in _SUMS.iter_unpack(self.closed)}
        return {**kept, self.newest: self.last} if self.total else {}

    def keep(self, buckets: dict[int, PackedSums]) -> None:
        """Replace all by these buckets, as far as they are in the newest one's long window."""
        if not buckets:
            return
        self.newest = max(buckets)
        kept = {number: buckets[number] for number in sorted(buckets)
                if number > self.newest - self.LONG}
        self.total = sum(kept.values())
        self.last = kept.pop(self.newest)
        self.recent = _sum(kept, self.newest - self.SHORT, self.newest)
        self.closed = b"".join(_SUMS.pack(number, sums.to_bytes(PACKED_BYTES, "little"))
                               for number, sums in kept.items())

    def _open(self, bucket: int) -> None:
        """Make a later bucket the newest, and forget the buckets that leave its long window."""
        passed, former, last = bucket - self.newest, self.newest, self.last
        self.newest, self.last = bucket, 0
        if passed >= self.LONG:
            if self.total:              # else the account is new
                self.recent = self.total = 0
                self.closed = b""
            return
        closed = self.closed + _SUMS.pack(former, last.to_bytes(PACKED_BYTES, "little"))
        start = 0
        number, sums = _SUMS.unpack_from(closed)
        while number <= bucket - self.LONG:         # ends at the latest at the former newest one
            self.total -= int.from_bytes(sums, "little")
            start += _SUMS.size
            number, sums = _SUMS.unpack_from(closed, start)
        self.closed = closed[start:] if start else closed
        self.recent = self._recent(last) if passed < self.SHORT else 0

    def _recent(self, last: PackedSums) -> PackedSums:
        """Return the sums of the closed buckets in the short window of the newest one.

        Args:
            last: of the last closed bucket, which is in it.
        """
        recent, start = last, len(self.closed) - 2 * _SUMS.size
        while start >= 0:
            number, sums = _SUMS.unpack_from(self.closed, start)
            if number <= self.newest - self.SHORT:
                break
            recent += int.from_bytes(sums, "little")
            start -= _SUMS.size
        return recent

    def _count_late(self, bucket: int, sums: PackedSums) -> tuple[PackedSums, PackedSums]:
        kept = self.by_bucket()
        short, long = (_sum(kept, bucket - length, bucket) for length in (self.SHORT, self.LONG))
        self.keep({**kept, bucket: kept.get(bucket, 0) + sums})
        return short, long


class HourlySums(Sums):
    """Sums by hour: the hour and the day."""

    SHORT, LONG = HOUR_HOURS, DAY_HOURS


class DailySums(Sums):
    """Sums by day: the week and the month."""

    SHORT, LONG = WEEK_DAYS, MONTH_DAYS


class Contacts(msgspec.Struct, gc=False):
    """Sketches of counterparties, by day with a payment."""

    newest: int = 0         # its newest day with a payment; 0 if there is none
    first: int = 0          # its oldest one that is kept
    last: int = 0           # sketch of the newest day
    week: int = 0           # of the days before it in its week
    month: int = 0          # and in its month
    closed: bytes = b""     # all kept days but the newest, oldest first

    def add(self, day: int, bit: int) -> tuple[int, int, int]:
        """Add a counterparty, and return first day and sketches of week and month before it."""
        if day < self.newest:
            return self._add_late(day, bit)
        if day > self.newest:
            self._open(day)
        last = self.last
        self.last = last | bit
        first, self.first = self.first, self.first or day
        return first, last | self.week, last | self.month

    def by_day(self) -> dict[int, int]:
        """Return the sketches by day, oldest first."""
        kept = dict(_SKETCH.iter_unpack(self.closed))
        return {**kept, self.newest: self.last} if self.first else {}

    def keep(self, sketches: dict[int, int]) -> None:
        """Replace all by these days, as far as they are in the newest one's month."""
        if not sketches:
            return
        self.newest = max(sketches)
        kept = {day: sketches[day] for day in sorted(sketches) if day > self.newest - MONTH_DAYS}
        self.first = min(kept)
        self.last = kept.pop(self.newest)
        self.week = _or(kept.items(), self.newest - WEEK_DAYS)
        self.month = _or(kept.items(), self.newest - MONTH_DAYS)
        self.closed = b"".join(_SKETCH.pack(*item) for item in kept.items())

    def _open(self, day: int) -> None:
        """Make a later day the newest, and forget the days that leave its month."""
        former, last = self.newest, self.last
        self.newest, self.last = day, 0
        if not self.first:              # the account is new
            return
        closed, start = self.closed + _SKETCH.pack(former, last), 0
        if self.first > day - MONTH_DAYS:
            self.month |= last
        else:
            while start < len(closed) and _SKETCH.unpack_from(closed, start)[0] <= day - MONTH_DAYS:
                start += _SKETCH.size
            closed = closed[start:]
            self.first = _SKETCH.unpack_from(closed)[0] if closed else 0
            self.month = _or(_SKETCH.iter_unpack(closed), 0)
        self.closed = closed
        self.week = _or(_SKETCH.iter_unpack(closed[-(WEEK_DAYS - 1) * _SKETCH.size:]),
                        day - WEEK_DAYS)

    def _add_late(self, day: int, bit: int) -> tuple[int, int, int]:
        kept = self.by_day()
        month = {number: sketch for number, sketch in kept.items()
                 if day - MONTH_DAYS < number <= day}
        before = (min(month, default=0), _or(month.items(), day - WEEK_DAYS),
                  _or(month.items(), day - MONTH_DAYS))
        self.keep({**kept, day: kept.get(day, 0) | bit})
        return before


def frauds_by_day(packed: bytes) -> dict[int, tuple[int, int]]:
    """Return the frauds sent and received by the day on which they became known."""
    return {day: (sent, received) for day, sent, received in _FRAUDS.iter_unpack(packed)}


def pack_frauds(frauds: dict[int, tuple[int, int]]) -> bytes:
    """Return frauds as bytes, as far as they are in the month of the newest day."""
    return b"".join(_FRAUDS.pack(day, *frauds[day]) for day in sorted(frauds)
                    if day > max(frauds) - MONTH_DAYS)


def frauds_before(packed: bytes, day: int) -> tuple[int, int, int, int]:
    """Return the frauds, sent and received, that became known in the week and the month of a day.
    """
    week_sent = week_received = month_sent = month_received = 0
    for known, sent, received in _FRAUDS.iter_unpack(packed):
        if day - MONTH_DAYS < known <= day:
            month_sent, month_received = month_sent + sent, month_received + received
            if known > day - WEEK_DAYS:
                week_sent, week_received = week_sent + sent, week_received + received
    return week_sent, week_received, month_sent, month_received


def _sum(buckets: dict[int, PackedSums], after: int, last: int) -> PackedSums:
    return sum(sums for number, sums in buckets.items() if after < number <= last)


def _or(sketches: Iterable[tuple[int, int]], after: int) -> int:
    joined = 0
    for day, sketch in sketches:
        if day > after:
            joined |= sketch
    return joined
