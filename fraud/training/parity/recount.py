"""The recount oracle: history counted again from payments, slowly and simply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from fraud.history import DAY_BUCKETS, HOUR_BUCKETS, bucket_of


def recounted(payments: Iterable) -> Iterator[list[int]]:
    """Give the counts before each payment, in the given order, as `fraud.history` defines them.

    Deliberately slow and simple: the reference for stores.

    Args:
        payments: decisions or transactions; decisions name accounts by their pseudonyms.

    Gives sixteen counts for each payment, in the order of `fraud.history.NAMES`.
    """
    kept: dict[str, dict[int, list[int]]] = defaultdict(dict)
    for payment in payments:
        bucket = bucket_of(payment.event_time)
        counts = []
        for account in (payment.origin, payment.destination):
            if account is None:
                counts += [0] * 8
                continue
            buckets = kept[account]
            newest = max([bucket, *buckets])
            for number in [number for number in buckets if number <= newest - DAY_BUCKETS]:
                del buckets[number]
            for direction in (0, 2):
                for length in (HOUR_BUCKETS, DAY_BUCKETS):
                    inside = [sums for number, sums in buckets.items()
                              if bucket - length < number <= bucket]
                    counts += [sum(sums[direction + measure] for sums in inside)
                               for measure in (0, 1)]
        for account, direction in ((payment.origin, 0), (payment.destination, 2)):
            if account is None:
                continue
            sums = kept[account].setdefault(bucket, [0, 0, 0, 0])
            sums[direction] += 1
            sums[direction + 1] += payment.amount_cents
        yield counts
