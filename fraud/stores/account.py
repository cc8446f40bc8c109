"""The history of one account: the unit that stores keep, and count with."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from fraud.clock import DAY_MS, HOUR_MS
from fraud.history import NO_TOTALS, AccountSnapshot, AccountTotals, Claim
from fraud.packing import CENTS_SHIFT, RECEIVED_SHIFT, PackedSums, pack, unpack
from fraud.stores.buckets import (
    Contacts, DailySums, HourlySums, frauds_before, frauds_by_day, pack_frauds)
from fraud.transaction import Transaction
from fraud.windows import MONTH_DAYS, contact_bit

# Redis' Lua has only doubles, in which the sum of 91 of the largest payments would not be exact. In
# the encoding that Redis reads, cents are therefore two numbers, the number of `LIMB`s and the
# remainder, each with its own sum: exact for 900 million of the largest payments.
LIMB = 10 ** 7

# The encoding: header, hourly buckets, daily buckets, known frauds; each section oldest first.
HEADER = "<dddHH"               # newest, last sent, last received; number of hours and of days
SUMS_IN_LIMBS = "IddIdd"        # count, limbs and remainder of sent payments; of received ones
HOUR = "<I" + SUMS_IN_LIMBS     # bucket number first
DAY = "<I" + SUMS_IN_LIMBS + "II"       # and the sketch, its low half first
FRAUDS = "<III"                 # day, sent, received
# The totals of an account before a payment: sums of the windows; last sent and last received; first
# day; sketches of week and month, each its low half first; frauds of week and month, each sent and
# received.
TOTALS = 4 * SUMS_IN_LIMBS + "ddIIIIIIIII"
TOTALS_FIELDS = len(TOTALS)
_SUMS_FIELDS = len(SUMS_IN_LIMBS)
_HEADER, _HOUR, _DAY = struct.Struct(HEADER), struct.Struct(HOUR), struct.Struct(DAY)
_HALF = 2 ** 32


class Account(msgspec.Struct, gc=False):
    """The history of one account."""

    newest: int = 0                 # its latest event_time
    last_sent: int = 0              # latest event_time of what it sent, 0 if nothing
    last_received: int = 0
    hours: HourlySums = msgspec.field(default_factory=HourlySums)
    days: DailySums = msgspec.field(default_factory=DailySums)
    contacts: Contacts = msgspec.field(default_factory=Contacts)
    frauds: bytes = b""             # `fraud.stores.buckets.pack_frauds`

    def count(self, event_time: int, sums: PackedSums, bit: int, is_sent: bool,
              is_received: bool) -> AccountTotals:
        """Count a payment, and return the totals before it.

        Args:
            sums: of the payment.
            bit: the sketch of the other account, 0 if there is none.
        """
        day = event_time // DAY_MS
        hour_sums, day_sums = self.hours.count(event_time // HOUR_MS, sums)
        week_sums, month_sums = self.days.count(day, sums)
        first_day, contacts_week, contacts_month = self.contacts.add(day, bit)
        last_sent, last_received = self.last_sent, self.last_received
        month_start = (day - MONTH_DAYS + 1) * DAY_MS
        if event_time > self.newest:
            self.newest = event_time
        if is_sent and event_time > last_sent:
            self.last_sent = event_time
        if is_received and event_time > last_received:
            self.last_received = event_time
        return AccountTotals(
            hour_sums, day_sums, week_sums, month_sums,
            last_sent if month_start <= last_sent <= event_time else 0,
            last_received if month_start <= last_received <= event_time else 0,
            first_day, contacts_week, contacts_month,
            *(frauds_before(self.frauds, day) if self.frauds else (0, 0, 0, 0)))

    def label(self, label_time: int, sent: int, received: int) -> None:
        """Count a fraud that became known, sent or received."""
        day, frauds = label_time // DAY_MS, frauds_by_day(self.frauds)
        known = frauds.get(day, (0, 0))
        self.frauds = pack_frauds({**frauds, day: (known[0] + sent, known[1] + received)})


def claim(origin: Account, destination: Account | None, payment: Transaction, digest: bytes,
          store_sequence: int | None, since: int) -> Claim:
    """Count a payment on its accounts, and return its claim. No destination, no counts of it."""
    event_time = payment.event_time
    sent = 1 | payment.amount_cents << CENTS_SHIFT      # `pack(1, amount_cents, 0, 0)`, but faster
    received = sent << RECEIVED_SHIFT
    late = event_time < origin.newest or (
        destination is not None and event_time < destination.newest)
    bits = origin_bit, destination_bit = contact_bits(payment)
    if destination is None:
        before, after = origin.count(event_time, sent, 0, True, False), NO_TOTALS
    elif origin is destination:
        before = after = origin.count(event_time, sent | received, origin_bit, True, True)
    else:
        before = origin.count(event_time, sent, destination_bit, True, False)
        after = destination.count(event_time, received, origin_bit, False, True)
    return claim_of(payment, digest, before, after, bits, store_sequence, late, since)


def claim_of(payment: Transaction, digest: bytes, origin: AccountTotals,
             destination: AccountTotals, bits: tuple[int, int], store_sequence: int | None,
             late: bool, since: int) -> Claim:
    """Return the claim of a payment with the totals before it, and its `contact_bits`."""
    origin_bit, destination_bit = bits
    return Claim(payment.transaction_id, digest, origin, destination,
                 bool(origin.contacts_month & destination_bit),
                 bool(destination.contacts_month & origin_bit), store_sequence, late, since)


def contact_bits(payment: Transaction) -> tuple[int, int]:
    """Return the sketches of origin and destination, as counterparties; 0 for none."""
    destination = payment.destination
    if destination is None:
        return 0, 0
    return contact_bit(payment.origin), contact_bit(destination)


def account_of(snapshot: AccountSnapshot) -> Account:
    """Return the account of a snapshot."""
    account = Account(snapshot.newest, snapshot.last_sent, snapshot.last_received,
                      frauds=pack_frauds(snapshot.frauds))
    account.hours.keep(snapshot.hours)
    account.days.keep(snapshot.days)
    account.contacts.keep(snapshot.contacts)
    return account


def snapshot_of(name: str, account: Account) -> AccountSnapshot:
    """Return the snapshot of an account."""
    return AccountSnapshot(name, account.newest, account.last_sent, account.last_received,
                           account.hours.by_bucket(), account.days.by_bucket(),
                           account.contacts.by_day(), frauds_by_day(account.frauds))


def encode(snapshot: AccountSnapshot) -> bytes:
    """Return an account as Redis, DynamoDB and history files keep it."""
    hours, days = snapshot.hours, snapshot.days
    encoded = [_HEADER.pack(snapshot.newest, snapshot.last_sent, snapshot.last_received,
                            len(hours), len(days))]
    encoded += [_HOUR.pack(hour, *_in_limbs(hours[hour])) for hour in sorted(hours)]
    for day in sorted(days):
        high, low = divmod(snapshot.contacts[day], _HALF)
        encoded.append(_DAY.pack(day, *_in_limbs(days[day]), low, high))
    return b"".join([*encoded, pack_frauds(snapshot.frauds)])


def decode(name: str, content: bytes) -> AccountSnapshot:
    """Return the account that was encoded, here or by Redis, where a remainder may exceed a `LIMB`.
    """
    newest, last_sent, last_received, hours, days = _HEADER.unpack_from(content)
    days_start = _HEADER.size + hours * _HOUR.size
    frauds_start = days_start + days * _DAY.size
    by_hour = {hour: sums_in_limbs(*sums)
               for hour, *sums in _HOUR.iter_unpack(content[_HEADER.size:days_start])}
    by_day: dict[int, PackedSums] = {}
    contacts: dict[int, int] = {}
    for day, *sums, low, high in _DAY.iter_unpack(content[days_start:frauds_start]):
        by_day[day], contacts[day] = sums_in_limbs(*sums), high * _HALF + low
    return AccountSnapshot(name, int(newest), int(last_sent), int(last_received), by_hour, by_day,
                           contacts, frauds_by_day(content[frauds_start:]))


def pack_totals(totals: AccountTotals) -> list[float]:
    """Return the numbers of `TOTALS`."""
    numbers: list[float] = []
    for sums in (totals.hour, totals.day, totals.week, totals.month):
        numbers += _in_limbs(sums)
    numbers += (totals.last_sent, totals.last_received, totals.first_day)
    for sketch in (totals.contacts_week, totals.contacts_month):
        high, low = divmod(sketch, _HALF)
        numbers += (low, high)
    return [*numbers, totals.frauds_sent_week, totals.frauds_received_week,
            totals.frauds_sent_month, totals.frauds_received_month]


def totals_of(numbers: Sequence[Any], event_time: int) -> AccountTotals:
    """Return the totals before a payment of this event_time from the numbers of `TOTALS`."""
    hour, day, week, month = (
        sums_in_limbs(*numbers[start:start + _SUMS_FIELDS])
        for start in range(0, 4 * _SUMS_FIELDS, _SUMS_FIELDS))
    (last_sent, last_received, first_day, week_low, week_high, month_low, month_high,
     *frauds) = numbers[4 * _SUMS_FIELDS:]
    month_start = (event_time // DAY_MS - MONTH_DAYS + 1) * DAY_MS
    return AccountTotals(
        hour, day, week, month,
        int(last_sent) if month_start <= last_sent <= event_time else 0,
        int(last_received) if month_start <= last_received <= event_time else 0,
        first_day, week_high * _HALF + week_low, month_high * _HALF + month_low, *frauds)


def _in_limbs(packed: PackedSums) -> tuple[int, ...]:
    sent_count, sent_cents, received_count, received_cents = unpack(packed)
    return (sent_count, *divmod(sent_cents, LIMB), received_count, *divmod(received_cents, LIMB))


def sums_in_limbs(sent_count: int, sent_limbs: float, sent_remainder: float,
                  received_count: int, received_limbs: float,
                  received_remainder: float) -> PackedSums:
    """Return packed sums from the numbers of `SUMS_IN_LIMBS`."""
    return pack(sent_count, int(sent_limbs) * LIMB + int(sent_remainder),
                received_count, int(received_limbs) * LIMB + int(received_remainder))
