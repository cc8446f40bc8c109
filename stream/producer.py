"""Replay payments into the topic transactions, as a demo or a load.

    python stream/producer.py                               a simulated month, at full speed
    python stream/producer.py paysim.csv --rate 1000 --limit 100000
    python stream/producer.py data/transactions.parquet --speedup 3600 --shift-to-now
    python stream/producer.py --corrupt 0.01                with broken messages of every kind

Takes what training takes: PaySim's CSV, or a CSV or Parquet file with the columns of a payment.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":          # a script sees its own folder; what it imports is beside that
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError
from tqdm import tqdm

from fraud.history import BUCKET_MS
from fraud.settings import SettingsError
from fraud.training import clean, simulate
from fraud.training.dataset import Prepared, prepare
from fraud.training.errors import TrainingError
from fraud.transaction import Transaction
from stream import clients
from stream.messages import encode
from stream.settings import read

ROWS = 100_000                  # of a simulation
READ_ROWS = 10_000
LATE_SECONDS = 0.01             # the least that is slept: many messages share a sleep
FLUSH_SECONDS = 60
AHEAD = "event-time-ahead"      # nothing is, where FRAUD_CLOCK is that of the events
Message = tuple[bytes | None, bytes | None]      # key and value


class Sent(NamedTuple):
    """What became of a replay."""

    messages: int
    broken: Counter[str]
    failed: int
    seconds: float


def _changed(**changes) -> Callable[[Transaction], Message]:
    def broken(payment: Transaction) -> Message:
        return payment.origin.encode(), encode(msgspec.structs.replace(payment, **changes))
    return broken


# A message of every kind that cannot be scored, made of a payment that was sent before.
BREAKS: dict[str, Callable[[Transaction], Message]] = {
    "not-json": lambda payment: (payment.origin.encode(), encode(payment)[:-1]),
    "invalid-payment": lambda payment: (
        payment.origin.encode(), encode(payment).replace(b'"amount":', b'"amount":-1')),
    "too-large": lambda payment: (payment.origin.encode(), encode(payment) + b" " * 100_000),
    "null-value": lambda payment: (payment.origin.encode(), None),
    "bad-key": lambda payment: (b"somebody", encode(payment)),
    "id-reused": _changed(amount_cents=1),
    AHEAD: _changed(transaction_id="from-the-future", event_time=4_000_000_000_000),
}


def messages(payments: Iterable[Transaction], corrupt: float, kinds: Sequence[str],
             dice: random.Random) -> Iterator[tuple[int, str | None, Message]]:
    """Event time, what is broken, and the message. Broken ones stand beside the payments.

    Args:
        corrupt: broken messages for each payment, 0 to 1.
        kinds: of `BREAKS`.
    """
    for payment in payments:
        yield payment.event_time, None, (payment.origin.encode(), encode(payment))
        if dice.random() < corrupt:
            kind = dice.choice(kinds)
            yield payment.event_time, kind, BREAKS[kind](payment)


def due(number: int, since_first_ms: int, rate: float | None, speedup: float | None) -> float:
    """Seconds after the start at which a message is to be sent.

    Args:
        number: of messages before it.
        since_first_ms: from the event time of the first payment to its own.
    """
    if rate:
        return number / rate
    return since_first_ms / 1000 / speedup if speedup else 0.0


def send(producer: KafkaProducer, topic: str, items: Iterable, options: argparse.Namespace,
         progress: tqdm) -> Sent:
    """Send messages when they are due; Ctrl-C ends it in order."""
    count, failures, broken = 0, [], Counter()
    first_time, began = None, time.perf_counter()
    try:
        for event_time, kind, (key, value) in items:
            first_time = event_time if first_time is None else first_time
            wait = began + due(count, event_time - first_time, options.rate,
                               options.speedup) - time.perf_counter()
            if wait > LATE_SECONDS:
                time.sleep(wait)
            producer.send(topic, value, key).add_errback(failures.append)
            count += 1
            broken.update([kind] if kind else [])
            progress.update()
    except KeyboardInterrupt:
        pass
    producer.flush(FLUSH_SECONDS)
    return Sent(count, broken, len(failures), time.perf_counter() - began)


def payments_of(prepared: Prepared, limit: int | None, shift_ms: int) -> Iterator[Transaction]:
    """Payments of a clean file in event order, their event times shifted."""
    left = limit if limit is not None else prepared.sampled_rows
    for batch in clean.batches(prepared.transactions, READ_ROWS):
        for payment in batch[:left]:
            yield msgspec.structs.replace(payment, event_time=payment.event_time + shift_ms)
        left -= len(batch)
        if left <= 0:
            return


def shift_to(now_ms: int, last_time: int) -> int:
    """What brings the last event time closest before now, in whole hours: buckets stay whole."""
    return (now_ms - last_time) // BUCKET_MS * BUCKET_MS


def _prepared(options: argparse.Namespace, directory: Path) -> Prepared:
    path = options.path
    if path is None:
        path = str(directory / "simulated.parquet")
        simulate.create(options.rows, options.seed, Path(path))
    return prepare(path, directory / "clean")


def _replay(options: argparse.Namespace) -> Sent:
    settings = read(os.environ)
    with tempfile.TemporaryDirectory() as directory:
        prepared = _prepared(options, Path(directory))
        shift = shift_to(time.time_ns() // 1_000_000, prepared.last_time)
        payments = payments_of(prepared, options.limit, shift if options.shift_to_now else 0)
        kinds = [kind for kind in BREAKS if kind != AHEAD or options.shift_to_now]
        items = messages(payments, options.corrupt, kinds, random.Random(options.seed))
        total = min(options.limit or prepared.sampled_rows, prepared.sampled_rows)
        with clients.producer(settings, linger_ms=5) as producer, tqdm(
                total=total, unit="message", disable=None, mininterval=0.5) as progress:
            return send(producer, settings.topic_transactions, items, options, progress)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python stream/producer.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="payments (default: a simulation)")
    parser.add_argument("--rows", type=int, default=ROWS,
                        help="payments to simulate where no path is given (default %(default)s)")
    parser.add_argument("--seed", type=int, default=7,
                        help="of the simulation and of what is broken (default %(default)s)")
    parser.add_argument("--limit", type=int, help="payments to send at most")
    parser.add_argument("--corrupt", type=float, default=0.0, metavar="SHARE",
                        help="broken messages for each payment, 0 to 1; those from the future only "
                        "with --shift-to-now")
    parser.add_argument("--shift-to-now", action="store_true",
                        help="move event times by whole hours, so that the last one is just past")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=float, help="messages a second (default: as many as it can)")
    pace.add_argument("--speedup", type=float, help="times as fast as the payments happened")
    return parser


def main(arguments: list[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    try:
        sent = _replay(options)
    except (TrainingError, SettingsError) as error:
        sys.exit(f"error: {error}")
    except KafkaError as error:
        sys.exit(f"error: Kafka: {error}; is KAFKA_BOOTSTRAP_SERVERS right, and were the topics "
                 "made (python -m stream.topics)?")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(sent.broken.items()))
    print(f"{sent.messages:,} messages sent in {sent.seconds:.1f} s, "
          f"{sent.messages / sent.seconds:,.0f} a second"
          + (f"; {sent.broken.total()} of them broken: {kinds}" if kinds else ""))
    if sent.failed:
        sys.exit(f"error: {sent.failed} messages were not taken by the broker")


if __name__ == "__main__":
    main()
