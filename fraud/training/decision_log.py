"""The decision log: JSON lines of `fraud.scorer.Decision`, as API and stream write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import msgspec
from tqdm import tqdm

from fraud.history import DAY_BUCKETS, HOUR_BUCKETS, bucket_of
from fraud.scorer import Decision
from fraud.training.errors import TrainingError
from fraud.training.files import reason

Kind = TypeVar("Kind", bound=msgspec.Struct)


def decisions(paths: Iterable[str], kind: type[Kind] = Decision) -> Iterator[Kind]:
    """All lines of some files; a last line that a crash cut off is left out.

    Args:
        kind: `Decision`, or a struct with those of its fields that are wanted.

    A payment has several lines where several processes decided it at once, or where its store was
    away at first.

    Raises:
        TrainingError: a file cannot be read, or a line is no decision.
    """
    decode = msgspec.json.Decoder(kind).decode
    for path in paths:
        try:
            with open(path, "rb") as lines:
                for number, line in enumerate(tqdm(
                        lines, path, unit="line", disable=None, delay=5, leave=False), 1):
                    if line.endswith(b"\n"):
                        yield _decision(decode, path, number, line)
        except OSError as error:
            raise TrainingError(f"{path}: cannot be read ({reason(error)}); "
                                "name the file that FRAUD_DECISION_LOG names") from None


def recounted(payments: Iterable) -> Iterator[list[int]]:
    """What came before each payment, in the order given, by the definition in `fraud.history`.

    Deliberately slow and simple: what stores are held against.

    Args:
        payments: decisions or transactions; decisions name accounts by their HMAC.

    Gives sixteen counts in the order of `fraud.history.NAMES`.
    """
    kept: dict[str, dict[int, list[int]]] = defaultdict(dict)
    for payment in payments:
        bucket = bucket_of(payment.event_time)
        counts = []
        for account in (payment.origin, payment.destination):
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
            sums = kept[account].setdefault(bucket, [0, 0, 0, 0])
            sums[direction] += 1
            sums[direction + 1] += payment.amount_cents
        yield counts


def _decision(decode: Callable[[bytes], Kind], path: str, number: int, line: bytes) -> Kind:
    try:
        return decode(line)
    except msgspec.DecodeError as error:
        raise TrainingError(f"{path}: line {number} is no decision ({error}); "
                            "name a decision log, not the server's own log") from None
