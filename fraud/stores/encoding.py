"""The encoding of accounts and totals that Redis, DynamoDB and history files share.

An account is `HEADER`, `EARLIER`, hourly buckets, daily buckets before today, and known frauds, the
oldest first. Today is the newest day of the account. Today and the sums of the days before it have
fields, so that another payment of that day need not walk a month. A bucket holds at most `LARGEST`
cents, because Redis' Lua has only doubles: a window with a larger sum counts as `LARGEST` anyway.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import reduce
from operator import or_

from fraud.clock import DAY_MS
from fraud.history import AccountSnapshot, AccountTotals
from fraud.packing import LARGEST, PackedSums, pack, unpack
from fraud.stores.buckets import frauds_by_day, pack_frauds
from fraud.windows import MONTH_DAYS, WEEK_DAYS

VERSION = 2         # part of the keys and the file that hold this encoding

SUMS = "IQIQ"       # count and cents of sent payments; of received ones
SKETCH = "Q"
HEADER = struct.Struct("<QQQHHI" + SUMS + SKETCH)   # newest, last sent, last received; number of
# hourly buckets and of days before today; first day, 0 if there is none; today
EARLIER = struct.Struct("<" + 2 * SUMS + 2 * SKETCH)    # week and month before today
HOUR = struct.Struct("<I" + SUMS)                   # bucket number first
DAY = struct.Struct("<I" + SUMS + SKETCH)
HOURS_START = HEADER.size + EARLIER.size

# The totals of an account before a payment: sums of hour and day; from the account's own bytes last
# sent, last received, first day, today and earlier days; frauds of week and month, each sent and
# received.
TOTALS = 2 * SUMS + "QQ4xI" + SUMS + SKETCH + 2 * SUMS + 2 * SKETCH + "IIII"
TOTALS_FIELDS = len(struct.unpack("<" + TOTALS, bytes(struct.calcsize("<" + TOTALS))))


def encode(snapshot: AccountSnapshot) -> bytes:
    """Return the bytes of an account."""
    hours, contacts = snapshot.hours, snapshot.contacts
    days = {day: _fields(sums) for day, sums in sorted(snapshot.days.items())}
    today = max(days, default=0)
    earlier = [day for day in days if day != today]
    header = HEADER.pack(
        snapshot.newest, snapshot.last_sent, snapshot.last_received, len(hours), len(earlier),
        min(days, default=0), *days.get(today, (0, 0, 0, 0)), contacts.get(today, 0))
    windows = [[day for day in earlier if day > today - length]
               for length in (WEEK_DAYS, MONTH_DAYS)]
    sums = [sum(days[day][field] for day in window) for window in windows for field in range(4)]
    sketches = [reduce(or_, (contacts[day] for day in window), 0) for window in windows]
    return b"".join([
        header, EARLIER.pack(*sums, *sketches),
        *(HOUR.pack(hour, *_fields(hours[hour])) for hour in sorted(hours)),
        *(DAY.pack(day, *days[day], contacts[day]) for day in earlier),
        pack_frauds(snapshot.frauds)])


def decode(name: str, content: bytes) -> AccountSnapshot:
    """Return the account of these bytes."""
    (newest, last_sent, last_received, hours, earlier, first_day, *today_sums, today_sketch
     ) = HEADER.unpack_from(content)
    days_start = HOURS_START + hours * HOUR.size
    frauds_start = days_start + earlier * DAY.size
    by_hour = {hour: pack(*sums)
               for hour, *sums in HOUR.iter_unpack(content[HOURS_START:days_start])}
    days: dict[int, PackedSums] = {}
    contacts: dict[int, int] = {}
    for day, *sums, sketch in DAY.iter_unpack(content[days_start:frauds_start]):
        days[day], contacts[day] = pack(*sums), sketch
    if first_day:
        days[newest // DAY_MS], contacts[newest // DAY_MS] = pack(*today_sums), today_sketch
    return AccountSnapshot(name, newest, last_sent, last_received, by_hour, days, contacts,
                           frauds_by_day(content[frauds_start:]))


def pack_totals(totals: AccountTotals) -> list[int]:
    """Return the numbers of `TOTALS`."""
    hour, day, week, month = (
        _fields(sums) for sums in (totals.hour, totals.day, totals.week, totals.month))
    return [*hour, *day, totals.last_sent, totals.last_received, totals.first_day,
            0, 0, 0, 0, 0, *week, *month, totals.contacts_week, totals.contacts_month,
            totals.frauds_sent_week, totals.frauds_received_week,
            totals.frauds_sent_month, totals.frauds_received_month]


def totals_of(numbers: Sequence[int], event_time: int) -> AccountTotals:
    """Return the totals before a payment of this event_time from the numbers of `TOTALS`."""
    hour, day, today, week, month = (
        pack(*numbers[first:first + 4]) for first in (0, 4, 11, 16, 20))
    last_sent, last_received, first_day = numbers[8:11]
    contacts, (contacts_week, contacts_month) = numbers[15], numbers[24:26]
    month_start = (event_time // DAY_MS - MONTH_DAYS + 1) * DAY_MS
    return AccountTotals(
        hour, day, today + week, today + month,
        last_sent if month_start <= last_sent <= event_time else 0,
        last_received if month_start <= last_received <= event_time else 0,
        first_day, contacts | contacts_week, contacts | contacts_month, *numbers[26:])


def _fields(packed: PackedSums) -> tuple[int, int, int, int]:
    sent_count, sent_cents, received_count, received_cents = unpack(packed)
    return sent_count, min(sent_cents, LARGEST), received_count, min(received_cents, LARGEST)
