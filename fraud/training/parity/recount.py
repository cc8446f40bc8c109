"""The recount oracle: history counted again from payments and labels, slowly and simply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from fraud.history import KnownFraud
from fraud.packing import LARGEST
from fraud.windows import (
    COUNT_NAMES, DAY_HOURS, HOUR_HOURS, MONTH_DAYS, WEEK_DAYS, contact_bit, day_of, hour_of)

WINDOWS = {"hour": HOUR_HOURS, "day": DAY_HOURS, "week": WEEK_DAYS, "month": MONTH_DAYS}
SENT, RECEIVED = 0, 1


@dataclass
class _Account:
    """The kept history of an account: by bucket, payments as (direction, cents, counterparty)."""

    hours: dict[int, list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    days: dict[int, list[tuple[int, int, int]]] = field(default_factory=lambda: defaultdict(list))
    last: list[int] = field(default_factory=lambda: [0, 0])
    frauds: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


def recounted(events: Iterable[Any]) -> Iterator[list[int]]:
    """Give the counts before each payment, in the given order, as `fraud.history` defines them.

    Deliberately slow and simple: the reference for stores.

    Args:
        events: decisions, transactions or `KnownFraud`s; decisions name accounts by pseudonyms.

    Gives the counts of each payment, in the order of `fraud.windows.COUNT_NAMES`.
    """
    accounts: dict[str, _Account] = defaultdict(_Account)
    for event in events:
        parties = [(direction, name, other)
                   for direction, name, other in ((SENT, event.origin, event.destination),
                                                  (RECEIVED, event.destination, event.origin))
                   if name is not None]
        if isinstance(event, KnownFraud):
            for direction, name, _ in parties:
                _add(accounts[name].frauds, day_of(event.label_time), direction, MONTH_DAYS)
            continue
        names = dict.fromkeys(COUNT_NAMES, 0)
        for direction, name, other in parties:
            side = "origin" if direction == SENT else "destination"
            names |= _before(accounts[name], side, event.event_time, _bit(other))
        for direction, name, other in parties:
            account, payment = accounts[name], (direction, event.amount_cents, _bit(other))
            _add(account.hours, hour_of(event.event_time), payment, DAY_HOURS)
            _add(account.days, day_of(event.event_time), payment, MONTH_DAYS)
            account.last[direction] = max(account.last[direction], event.event_time)
        yield list(names.values())


def _bit(account: str | None) -> int:
    return contact_bit(account) if account is not None else 0


def _add(buckets: dict[int, list], bucket: int, item: Any, kept: int) -> None:
    """Add to a bucket, and forget the buckets that are not among those kept up to the newest."""
    buckets[bucket].append(item)
    for old in [number for number in buckets if number <= max(buckets) - kept]:
        del buckets[old]


def _before(account: _Account, side: str, event_time: int, other: int) -> dict[str, int]:
    hour, day = hour_of(event_time), day_of(event_time)
    counts: dict[str, int] = {}
    for window, length in WINDOWS.items():
        by_hour = window in ("hour", "day")
        inside = _inside(account.hours if by_hour else account.days,
                         hour if by_hour else day, length)
        for direction, name in ((SENT, "sent"), (RECEIVED, "received")):
            cents = [amount for sent_or_received, amount, _ in inside
                     if sent_or_received == direction]
            counts[f"{side}_{name}_count_{window}"] = len(cents)
            counts[f"{side}_{name}_cents_{window}"] = min(sum(cents), LARGEST)
        if not by_hour:
            bits = {bit for _, _, bit in inside if bit}
            counts[f"{side}_contacts_{window}"] = len(bits)
            known = _inside(account.frauds, day, length)
            counts[f"{side}_frauds_sent_{window}"] = known.count(SENT)
            counts[f"{side}_frauds_received_{window}"] = known.count(RECEIVED)
    for direction, name in ((SENT, "sent"), (RECEIVED, "received")):
        last = account.last[direction]
        is_in_month = day_of(last) > day - MONTH_DAYS and last <= event_time
        counts[f"{side}_{name}_last"] = last if is_in_month else 0
    days = [number for number in account.days if day - MONTH_DAYS < number <= day]
    counts[f"{side}_first_day"] = min(days, default=0)
    counts[f"{side}_knows_other"] = int(other in bits)
    return counts


def _inside(buckets: dict[int, list], bucket: int, length: int) -> list:
    return [item for number, items in buckets.items() if bucket - length < number <= bucket
            for item in items]
