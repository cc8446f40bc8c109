"""Send payments to the topic transactions, as a demo or a load.

    python stream/producer.py                               a simulated month, at full speed
    python stream/producer.py --transactions paysim.csv --rate 1000 --limit 100000
    python stream/producer.py --transactions month.parquet --speedup 3600 --shift-to-now
    python stream/producer.py --corrupt 0.01                with broken messages of every kind

Reads the same files as training: PaySim's CSV, or CSV or Parquet with the columns of a payment.
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
from typing import Any, NamedTuple

if __name__ == "__main__":          # a script sees only its own folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError
from tqdm import tqdm

from fraud import clock
from fraud.clock import HOUR_MS
from fraud.command_line import Arguments, command, parser
from fraud.errors import FraudError
from fraud.training.data import clean
from fraud.training.data.dataset import Prepared, prepare
from fraud.training.data.options import add_flags, from_flags
from fraud.training.simulate import simulator
from fraud.transaction import Transaction
from stream import clients
from stream.messages import encode
from stream.settings import read_stream_settings

ROWS = 100_000                  # of a simulation
READ_ROWS = 10_000
LATE_SECONDS = 0.01             # shorter waits are skipped: many messages share a sleep
FLUSH_SECONDS = 60
AHEAD = "event-time-ahead"      # impossible if FRAUD_CLOCK is event
Message = tuple[bytes | None, bytes | None]      # key and value
Item = tuple[int, str | None, Message]           # event time, kind of breakage, message


class Sent(NamedTuple):
    """The result of sending."""

    messages: int
    broken: Counter[str]
    failed: int
    seconds: float


def _changed(**changes: Any) -> Callable[[Transaction], Message]:
    def broken(payment: Transaction) -> Message:
        return payment.origin.encode(), encode(msgspec.structs.replace(payment, **changes))
    return broken


# One broken message of every kind, made from a payment that was sent before.
BREAKS: dict[str, Callable[[Transaction], Message]] = {
    "not-json": lambda payment: (payment.origin.encode(), encode(payment)[:-1]),
    "invalid-payment": lambda payment: (
        payment.origin.encode(), encode(payment).replace(b'"amount":', b'"amount":-1')),
    "too-large": lambda payment: (payment.origin.encode(), encode(payment) + b" " * 100_000),
    "null-value": lambda payment: (payment.origin.encode(), None),
    "bad-key": lambda payment: (b"somebody", encode(payment)),
    "id-reused": _changed(amount_cents=1),
    "unknown-type": _changed(transaction_id="of-no-type", type="UNKNOWN"),
    AHEAD: _changed(transaction_id="from-the-future", event_time=4_000_000_000_000),
}


def messages(payments: Iterable[Transaction], corrupt: float, kinds: Sequence[str],
             dice: random.Random) -> Iterator[Item]:
    """Give event time, kind of breakage and message; broken messages are additional.

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
    """Return the seconds after the start at which a message is due.

    Args:
        number: of messages before it.
        since_first_ms: from the event time of the first payment to its own.
    """
    if rate:
        return number / rate
    return since_first_ms / 1000 / speedup if speedup else 0.0


def send(producer: KafkaProducer, topic: str, items: Iterable[Item], options: argparse.Namespace,
         progress: tqdm[Any]) -> Sent:
    """Send messages when they are due; Ctrl-C ends it gracefully."""
    count, began = 0, time.perf_counter()
    failures: list[Exception] = []
    broken: Counter[str] = Counter()
    first_time: int | None = None
    try:
        for event_time, kind, (key, value) in items:
            first_time = event_time if first_time is None else first_time
            wait = began + due(count, event_time - first_time, options.rate,
                               options.speedup) - time.perf_counter()
            if wait > LATE_SECONDS:
                time.sleep(wait)
            producer.send(topic, value, key).add_errback(failures.append)
            count += 1
            if kind:
                broken[kind] += 1
            progress.update()
    except KeyboardInterrupt:
        pass
    producer.flush(FLUSH_SECONDS)
    return Sent(count, broken, len(failures), time.perf_counter() - began)


def payments_of(prepared: Prepared, limit: int | None, shift_ms: int) -> Iterator[Transaction]:
    """Give the payments of a clean file in event order, with shifted event times."""
    left = limit if limit is not None else prepared.sampled_rows
    for batch in clean.batches(prepared.transactions, READ_ROWS):
        for payment in batch[:left]:
            yield msgspec.structs.replace(payment, event_time=payment.event_time + shift_ms)
        left -= len(batch)
        if left <= 0:
            return


def shift_to(now_ms: int, last_time: int) -> int:
    """Return the shift, in whole hours, that brings the last event time closest before now."""
    return (now_ms - last_time) // HOUR_MS * HOUR_MS


def _prepared(options: argparse.Namespace, directory: Path) -> Prepared:
    path = options.transactions
    if path is None:
        path = str(directory / "simulated.parquet")
        simulator.create(options.rows, options.seed, Path(path))
    return prepare(path, directory / "clean", from_flags(options))


def _replay(options: argparse.Namespace) -> Sent:
    settings = read_stream_settings(os.environ)
    with tempfile.TemporaryDirectory() as directory:
        prepared = _prepared(options, Path(directory))
        shift = shift_to(clock.now_ms(), prepared.last_time)
        payments = payments_of(prepared, options.limit, shift if options.shift_to_now else 0)
        kinds = [kind for kind in BREAKS if kind != AHEAD or options.shift_to_now]
        items = messages(payments, options.corrupt, kinds, random.Random(options.seed))
        total = min(options.limit or prepared.sampled_rows, prepared.sampled_rows)
        with clients.producer(settings, linger_ms=5) as producer, tqdm(
                total=total, unit="message", disable=None, mininterval=0.5) as progress:
            return send(producer, settings.topic_transactions, items, options, progress)


def _parser() -> argparse.ArgumentParser:
    options = parser("python stream/producer.py", __doc__)
    options.add_argument("--transactions", metavar="PATH",
                         help="CSV or Parquet, local or s3:// (default: a simulation)")
    add_flags(options)
    options.add_argument("--rows", type=int, default=ROWS,
                         help="payments to simulate without --transactions (default %(default)s)")
    options.add_argument("--seed", type=int, default=7,
                         help="of the simulation and the broken messages (default %(default)s)")
    options.add_argument("--limit", type=int, help="payments to send, at most")
    options.add_argument("--corrupt", type=float, default=0.0, metavar="SHARE",
                         help="broken messages for each payment, 0 to 1; those from the future "
                              "only with --shift-to-now")
    options.add_argument("--shift-to-now", action="store_true",
                         help="move event times by whole hours, so that the last is just past")
    pace = options.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=float, help="messages a second (default: full speed)")
    pace.add_argument("--speedup", type=float, help="factor relative to the event times")
    return options


class ProducerError(FraudError):
    """Messages that were not sent. The message names the brokers' error and the fix."""


@command
def main(arguments: Arguments) -> None:
    options = _parser().parse_args(arguments)
    try:
        sent = _replay(options)
    except KafkaError as error:
        raise ProducerError(f"Kafka: {error}; check KAFKA_BOOTSTRAP_SERVERS, and create the topics "
                            "with python -m stream.topics") from error
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(sent.broken.items()))
    print(f"{sent.messages:,} messages sent in {sent.seconds:.1f} s, "
          f"{sent.messages / sent.seconds:,.0f} a second"
          + (f"; {sent.broken.total()} of them broken: {kinds}" if kinds else ""))
    if sent.failed:
        raise ProducerError(f"the broker refused {sent.failed} messages; see its log")


if __name__ == "__main__":
    main()
