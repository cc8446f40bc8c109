"""The history of one account: the unit that stores keep, and count with outside of Redis.

The newest buckets and the sums of those before them are fields, so that another payment in them
costs the same however long the history is; closed buckets are packed.
"""

from __future__ import annotations

import msgspec

from fraud.clock import DAY_MS, HOUR_MS
from fraud.history import NO_TOTALS, AccountSnapshot, AccountTotals, Claim
from fraud.packing import CENTS_SHIFT, RECEIVED_SHIFT, PackedSums
from fraud.stores.buckets import (
    DAY, FULL, HOUR, Day, capped, days_of, frauds_before, frauds_by_day, hours_of, pack_day,
    pack_frauds, pack_hour, replaced, sum_of_days, sum_of_hours)
from fraud.transaction import Transaction
from fraud.windows import DAY_HOURS, HOUR_HOURS, MONTH_DAYS, WEEK_DAYS, contact_bit


class Account(msgspec.Struct, gc=False):
    """The history of one account. "Before" is before the newest bucket, in its window."""

    newest: int = 0                 # its latest event_time
    last_sent: int = 0              # latest event_time of what it sent, 0 if nothing
    last_received: int = 0
    hour: PackedSums = 0            # of the newest hour
    hour_before: PackedSums = 0
    day_before: PackedSums = 0
    today: PackedSums = 0           # of the newest day
    week_before: PackedSums = 0
    month_before: PackedSums = 0
    contacts: int = 0               # sketch of today's counterparties
    contacts_week: int = 0          # before today
    contacts_month: int = 0
    first_day: int = 0              # oldest day that is kept, 0 if there is none
    hours: bytes = b""              # closed buckets, the oldest first: `fraud.stores.buckets`
    days: bytes = b""
    frauds: bytes = b""             # known frauds, likewise

    def count(self, event_time: int, sums: PackedSums, bit: int, is_sent: bool,
              is_received: bool) -> AccountTotals:
        """Count a payment, and return the totals before it.

        Args:
            bit: the sketch of the other account, 0 if there is none.
        """
        newest, last_sent, last_received = self.newest, self.last_sent, self.last_received
        hour, day = event_time // HOUR_MS, event_time // DAY_MS
        if is_sent and event_time > last_sent:
            self.last_sent = event_time
        if is_received and event_time > last_received:
            self.last_received = event_time
        if event_time > newest:
            if hour > newest // HOUR_MS:
                self._open_hour(hour)
                if day > newest // DAY_MS:
                    self._open_day(day)
            self.newest = event_time
        if hour < newest // HOUR_MS:
            windows = self._count_late(hour, day, sums, bit)
        else:
            of_hour, today, contacts = self.hour, self.today, self.contacts
            windows = (of_hour + self.hour_before, of_hour + self.day_before,
                       today + self.week_before, today + self.month_before, self.first_day,
                       contacts | self.contacts_week, contacts | self.contacts_month)
            self.hour, self.today, self.contacts = of_hour + sums, today + sums, contacts | bit
            if self.today & FULL:       # else neither is the hour
                self.hour, self.today = capped(self.hour), capped(self.today)
            if not self.first_day:
                self.first_day = day
        of_hour, of_day, of_week, of_month, first_day, contacts_week, contacts_month = windows
        month_start = (day - MONTH_DAYS + 1) * DAY_MS
        return AccountTotals(
            of_hour, of_day, of_week, of_month,
            last_sent if month_start <= last_sent <= event_time else 0,
            last_received if month_start <= last_received <= event_time else 0,
            first_day, contacts_week, contacts_month,
            *(frauds_before(self.frauds, day) if self.frauds else (0, 0, 0, 0)))

    def label(self, label_time: int, sent: int, received: int) -> None:
        """Count a fraud that became known, sent or received."""
        day, frauds = label_time // DAY_MS, frauds_by_day(self.frauds)
        known = frauds.get(day, (0, 0))
        self.frauds = pack_frauds({**frauds, day: (known[0] + sent, known[1] + received)})

    def by_hour(self) -> dict[int, PackedSums]:
        """Return the kept hourly buckets, oldest first."""
        return hours_of(self.hours) | {self.newest // HOUR_MS: self.hour} if self.first_day else {}

    def by_day(self) -> dict[int, Day]:
        """Return the kept daily buckets, oldest first."""
        today = (self.today, self.contacts)
        return days_of(self.days) | {self.newest // DAY_MS: today} if self.first_day else {}

    def keep(self, hours: dict[int, PackedSums], days: dict[int, Day]) -> None:
        """Replace all buckets by these, as far as they are in the windows of the newest ones."""
        hour, day = self.newest // HOUR_MS, self.newest // DAY_MS
        closed_hours = {number: capped(hours[number]) for number in sorted(hours)
                        if number > hour - DAY_HOURS}
        closed_days = {number: (capped(days[number][0]), days[number][1])
                       for number in sorted(days) if number > day - MONTH_DAYS}
        self.first_day = min(closed_days, default=0)
        self.hour = closed_hours.pop(hour, 0)
        self.today, self.contacts = closed_days.pop(day, (0, 0))
        self.hour_before = sum_of_hours(closed_hours, hour, HOUR_HOURS)
        self.day_before = sum_of_hours(closed_hours, hour, DAY_HOURS)
        self.week_before, self.contacts_week = sum_of_days(closed_days, day, WEEK_DAYS)
        self.month_before, self.contacts_month = sum_of_days(closed_days, day, MONTH_DAYS)
        self.hours = b"".join(pack_hour(number, sums) for number, sums in closed_hours.items())
        self.days = b"".join(pack_day(number, *sums) for number, sums in closed_days.items())

    def _open_hour(self, hour: int) -> None:
        """Make a later hour the newest, and forget the hours that leave its day."""
        former = self.newest // HOUR_MS
        last, self.hour = self.hour, 0
        if hour - former >= DAY_HOURS:
            self.hour_before = self.day_before = 0
            self.hours = b""
            return
        closed, start = self.hours + pack_hour(former, last), 0
        before = self.day_before + last
        number, sums = HOUR.unpack_from(closed)
        while number <= hour - DAY_HOURS:           # ends at the latest at the former newest one
            before -= int.from_bytes(sums, "little")
            start += HOUR.size
            number, sums = HOUR.unpack_from(closed, start)
        self.hours = closed[start:] if start else closed
        self.day_before = before
        self.hour_before = last if hour - former < HOUR_HOURS else 0    # they are two

    def _open_day(self, day: int) -> None:
        """Make a later day the newest, and forget the days that leave its month."""
        former = self.newest // DAY_MS
        last, contacts, self.today, self.contacts = self.today, self.contacts, 0, 0
        if day - former >= MONTH_DAYS:
            self.week_before = self.month_before = self.contacts_week = self.contacts_month = 0
            self.first_day, self.days = 0, b""
            return
        self.days += pack_day(former, last, contacts)
        if self.first_day > day - MONTH_DAYS:
            self.month_before += last
            self.contacts_month |= contacts
        else:
            kept = {number: sums for number, sums in days_of(self.days).items()
                    if number > day - MONTH_DAYS}
            self.month_before, self.contacts_month = sum_of_days(kept, day, MONTH_DAYS)
            self.first_day = next(iter(kept))       # at the latest the former newest one
            self.days = self.days[-len(kept) * DAY.size:]
        week = days_of(self.days[-(WEEK_DAYS - 1) * DAY.size:])
        self.week_before, self.contacts_week = sum_of_days(week, day, WEEK_DAYS)

    def _count_late(self, hour: int, day: int, sums: PackedSums, bit: int
                    ) -> tuple[PackedSums, PackedSums, PackedSums, PackedSums, int, int, int]:
        """Count a payment of an hour before the newest one, and return the windows before it."""
        hours, days = self.by_hour(), self.by_day()
        of_week, contacts_week = sum_of_days(days, day, WEEK_DAYS)
        of_month, contacts_month = sum_of_days(days, day, MONTH_DAYS)
        first_day = min((number for number in days if day - MONTH_DAYS < number <= day), default=0)
        windows = (
            sum_of_hours(hours, hour, HOUR_HOURS), sum_of_hours(hours, hour, DAY_HOURS),
            of_week, of_month, first_day, contacts_week, contacts_month)
        self._add_late_hour(hours, hour, sums)
        self._add_late_day(days, day, sums, bit)
        return windows

    def _add_late_hour(self, hours: dict[int, PackedSums], hour: int, sums: PackedSums) -> None:
        newest = self.newest // HOUR_MS
        if hour <= newest - DAY_HOURS:
            return
        former = hours.get(hour, 0)
        of_hour = capped(former + sums)
        self.day_before += of_hour - former
        if hour > newest - HOUR_HOURS:
            self.hour_before += of_hour - former
        del hours[newest]
        self.hours = replaced(self.hours, hours, hour, pack_hour(hour, of_hour))

    def _add_late_day(self, days: dict[int, Day], day: int, sums: PackedSums, bit: int) -> None:
        newest = self.newest // DAY_MS
        if day <= newest - MONTH_DAYS:
            return
        former, contacts = days.get(day, (0, 0))
        of_day, contacts = capped(former + sums), contacts | bit
        if day == newest:
            self.today, self.contacts = of_day, contacts
            return
        self.month_before += of_day - former
        self.contacts_month |= bit
        if day > newest - WEEK_DAYS:
            self.week_before += of_day - former
            self.contacts_week |= bit
        self.first_day = min(self.first_day, day)
        del days[newest]
        self.days = replaced(self.days, days, day, pack_day(day, of_day, contacts))


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
    account.keep(snapshot.hours, {day: (sums, snapshot.contacts[day])
                                  for day, sums in snapshot.days.items()})
    return account


def snapshot_of(name: str, account: Account) -> AccountSnapshot:
    """Return the snapshot of an account."""
    days = account.by_day()
    return AccountSnapshot(name, account.newest, account.last_sent, account.last_received,
                           account.by_hour(), {day: sums for day, (sums, _) in days.items()},
                           {day: contacts for day, (_, contacts) in days.items()},
                           frauds_by_day(account.frauds))
