"""The history of one account: the unit that stores keep, and count with."""

from __future__ import annotations

import msgspec

from fraud.clock import DAY_MS, HOUR_MS
from fraud.history import NO_TOTALS, AccountSnapshot, AccountTotals, Claim
from fraud.packing import CENTS_SHIFT, RECEIVED_SHIFT, PackedSums
from fraud.stores.buckets import (
    Contacts, DailySums, HourlySums, frauds_before, frauds_by_day, pack_frauds)
from fraud.transaction import Transaction
from fraud.windows import MONTH_DAYS, contact_bit


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
