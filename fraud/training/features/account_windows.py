"""History of many accounts at once, in numpy: what a store counts one by one, in event order.

Entries are sorted by account and, within it, in event order; windows are then ranges of rows. A sum
over a window is a difference of two cumulative sums. A sketch has as many bits set as there are
earlier entries in the window that are the last ones so far with their bit; each of them counts for
a range of later rows, and the sum of these ranges is a cumulative sum as well.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fraud.packing import LARGEST
from fraud.windows import (
    DAY_HOURS, HOUR_HOURS, MONTH_DAYS, SIDE_NAMES, SKETCH_BITS, WEEK_DAYS, day_of, hour_of)

# Cents are summed in two parts: neither sum of up to 2**31 entries leaves int64.
LOW_BITS = 31
LOW_MASK = (1 << LOW_BITS) - 1


class Entries(NamedTuple):
    """Payments and labels, an entry for each of their accounts: arrays of one length."""

    account: np.ndarray         # int64: a code
    time: np.ndarray            # int64, ms since the epoch: event_time, or label_time of a label
    position: np.ndarray        # int64, of the payment in event order; below 0 for a label
    cents: np.ndarray           # int64
    sent: np.ndarray            # bool: the account sent the payment
    received: np.ndarray
    other: np.ndarray           # int64: bit of the counterparty, 0 to 63; below 0 if there is none

    def take(self, rows: np.ndarray) -> Entries:
        """Return some of the entries."""
        return Entries(*(column[rows] for column in self))


def event_order(entries: Entries) -> np.ndarray:
    """Return the rows in order: by account, then in event order, labels first at their moment."""
    return np.lexsort((entries.position, entries.time, entries.account))


def side_counts(entries: Entries) -> np.ndarray:
    """Return the history before each entry: int64, shape (len(SIDE_NAMES), entries).

    Args:
        entries: in `event_order`.
    """
    is_payment = entries.position >= 0
    rows = np.arange(len(entries.time))
    first = _first_rows(entries.account)
    hour, day = hour_of(entries.time), day_of(entries.time)
    starts = {"hour": _window_start(first, hour, HOUR_HOURS),
              "day": _window_start(first, hour, DAY_HOURS),
              "week": _window_start(first, day, WEEK_DAYS),
              "month": _window_start(first, day, MONTH_DAYS)}
    counts: dict[str, np.ndarray] = {}
    for direction, flags in (("sent", entries.sent), ("received", entries.received)):
        paid = flags & is_payment
        number = _cumulated(paid.astype(np.int64))
        cents = np.where(paid, entries.cents, 0)
        low, high = _cumulated(cents & LOW_MASK), _cumulated(cents >> LOW_BITS)
        for window, start in starts.items():
            counts[f"{direction}_count_{window}"] = number[rows] - number[start]
            counts[f"{direction}_cents_{window}"] = capped_sum(
                low[rows] - low[start], high[rows] - high[start])
        last = _previous(paid, first)
        time = np.where(last >= 0, entries.time[last], 0)
        counts[f"{direction}_last"] = np.where(last >= starts["month"], time, 0)
        known = _cumulated((flags & ~is_payment).astype(np.int64))
        for window in ("week", "month"):
            counts[f"frauds_{direction}_{window}"] = known[rows] - known[starts[window]]
    upcoming = _next(is_payment)[starts["month"]]
    counts["first_day"] = np.where(upcoming < rows, day[np.minimum(upcoming, rows)], 0)
    previous, following = _same_bit(entries)
    for window in ("week", "month"):
        counts[f"contacts_{window}"] = _distinct(entries.other >= 0, following, first, day,
                                                 WEEK_DAYS if window == "week" else MONTH_DAYS)
    counts["knows_other"] = (previous >= starts["month"]).astype(np.int64)
    return np.stack([counts[name] for name in SIDE_NAMES])


def capped_sum(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return low + high * 2**LOW_BITS, and `LARGEST` where it is more, also beyond int64."""
    high = high + (low >> LOW_BITS)
    total = np.minimum((high << LOW_BITS) + (low & LOW_MASK), LARGEST)
    return np.where(high > LARGEST >> LOW_BITS, LARGEST, total)


def _cumulated(values: np.ndarray) -> np.ndarray:
    """Return the sums of the values before each row, and of all at the end."""
    return np.concatenate([[0], np.cumsum(values)])


def _first_rows(account: np.ndarray) -> np.ndarray:
    """Return the first row of each row's account."""
    is_first = np.concatenate([[True], account[1:] != account[:-1]])[:len(account)]
    return np.maximum.accumulate(np.where(is_first, np.arange(len(account)), 0))


def _window_start(first: np.ndarray, bucket: np.ndarray, length: int) -> np.ndarray:
    """Return the first row of each row's window of so many buckets."""
    key = _key(first, bucket)
    return np.searchsorted(key, _key(first, bucket - length), side="right")


def _window_end(first: np.ndarray, bucket: np.ndarray, length: int) -> np.ndarray:
    """Return the first row of each row's account whose window no longer holds the row."""
    key = _key(first, bucket)
    return np.searchsorted(key, _key(first, bucket + length), side="left")


def _key(first: np.ndarray, bucket: np.ndarray) -> np.ndarray:
    """Return keys in the order of account and bucket: hours before the year 2900 fit 23 bits."""
    return (first << 23) + bucket


def _previous(flags: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return the last flagged row of the account before each row, -1 if there is none."""
    flagged = np.maximum.accumulate(np.where(flags, np.arange(len(flags)), -1))
    before = np.concatenate([[-1], flagged[:-1]])[:len(flags)]
    return np.where(before >= first, before, -1)


def _next(flags: np.ndarray) -> np.ndarray:
    """Return the first flagged row from each row on, and from the end on; the end if none is."""
    end = len(flags)
    rows = np.append(np.where(flags, np.arange(end), end), end)
    return np.minimum.accumulate(rows[::-1])[::-1]


def _same_bit(entries: Entries) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows before and after each with its account and bit: -1, or the end, if none."""
    end = len(entries.time)
    previous, following = np.full(end, -1), np.full(end, end)
    has_bit = np.flatnonzero(entries.other >= 0)
    key = entries.account[has_bit] * SKETCH_BITS + entries.other[has_bit]
    grouped = has_bit[np.argsort(key, kind="stable")]
    same = np.diff(np.sort(key)) == 0
    following[grouped[:-1][same]] = grouped[1:][same]
    previous[grouped[1:][same]] = grouped[:-1][same]
    return previous, following


def _distinct(has_bit: np.ndarray, following: np.ndarray, first: np.ndarray, day: np.ndarray,
              length: int) -> np.ndarray:
    """Return the number of bits among the earlier entries in each row's window of days."""
    rows = np.arange(len(day))
    # A row counts for those after it, up to the next one with its bit, while their window holds it.
    ends = np.minimum(following + 1, np.minimum(_window_end(first, day, length), len(day)))
    counted = has_bit & (ends > rows + 1)
    changes = np.zeros(len(day) + 1, np.int64)
    np.add.at(changes, rows[counted] + 1, 1)
    np.add.at(changes, ends[counted], -1)
    return np.cumsum(changes)[:-1]
