"""Measure the stream: payments a second exactly once, and the time from message to decision.

    python -m bench.stream --model models

Broker, scorer and reader share the cores of this machine. Two loops are measured for comparison:
one only consumes and produces, in the same transactions; the other asks the API for each message.
On a busy machine all are slower.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import RetriableError
from kafka.record import util

from bench.history import percentile, redis_server, row, simulated
from bench.stream_loops import RATE, Environment, bare, loop, one_by_one, produce_at_rate
from fraud.brokers import connection
from fraud.transaction import Transaction
from stream import clients, topics
from stream.broker import Broker, free_port
from stream.messages import encode
from stream.settings import StreamSettings, read_stream_settings

MESSAGES = 100_000
HTTP_MESSAGES = 3_000
RATE_SECONDS = 30
WARM_MESSAGES = 5_000           # are not timed


class Bench:
    """A broker, payments, and a separate topic for each measurement."""

    def __init__(self, broker: Broker, payments: list[tuple[bytes, bytes]], model: str):
        self.payments, self._broker, self._model, self._number = payments, broker, model, 0

    def environment(self, **settings: str) -> Environment:
        """Return the variables of a scorer with fresh topics."""
        self._number += 1
        return {"KAFKA_BOOTSTRAP_SERVERS": self._broker.address, "FRAUD_MODEL": self._model,
                "FRAUD_STREAM_GROUP": f"group-{self._number}", "FRAUD_CLOCK": "event",
                "FRAUD_TOPIC_TRANSACTIONS": f"transactions-{self._number}",
                "FRAUD_TOPIC_DECISIONS": f"decisions-{self._number}",
                "FRAUD_TOPIC_DEAD_LETTERS": f"dead-{self._number}",
                "FRAUD_METRICS_PORT": str(free_port()), "FRAUD_LOG_LEVEL": "error",
                "FRAUD_ACCOUNT_KEY": "bench", **settings}

    def filled(self, count: int, **settings: str) -> Environment:
        """Return the variables of a scorer whose topic holds messages."""
        variables = self.environment(**settings)
        chosen = create_topics(variables)
        producer = clients.producer(chosen)
        for key, value in self.payments[:count]:
            producer.send(chosen.topic_transactions, value, key)
        producer.flush()
        producer.close()
        return variables


def create_topics(variables: Environment) -> StreamSettings:
    settings = read_stream_settings(variables)
    with KafkaAdminClient(**connection(settings)) as admin:
        topics.create(admin, topics.wanted(settings, topics.PARTITIONS, 1))
    return settings


@contextmanager
def program(*arguments: str, variables: Environment) -> Iterator[None]:
    """Run a program of this project."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL,
                               env={**os.environ, **variables})
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def speed(settings: StreamSettings, count: int, warm: int) -> float:
    """Return the messages committed a second, from `warm` of them to `count`."""
    began, at_begin = 0.0, 0
    with KafkaAdminClient(**connection(settings)) as admin:
        while True:
            done, now = committed(admin, settings.stream_group), time.perf_counter()
            if done >= count:
                return (done - at_begin) / (now - began)
            if not began and done >= warm:
                began, at_begin = now, done
            time.sleep(0.1)


def committed(admin: KafkaAdminClient, group: str) -> int:
    """Return the sum of the offsets that a group has committed: its topic began at 0."""
    try:
        offsets = admin.list_group_offsets([group])[group]
    except RetriableError:              # no group has a coordinator yet
        return 0
    return sum(max(offset.offset, 0) for offset in offsets.values())


def measure_speed(bench: Bench) -> None:
    def scorer(history: str, *arguments: str) -> float:
        variables = bench.filled(MESSAGES, FRAUD_HISTORY=history, FRAUD_DECISION_LOG="/dev/null")
        with program("stream.scorer", *arguments, variables=variables):
            return speed(read_stream_settings(variables), MESSAGES, WARM_MESSAGES)

    variables = bench.filled(MESSAGES)
    with loop(bare, variables):
        nothing = speed(read_stream_settings(variables), MESSAGES, WARM_MESSAGES)
    row("a loop that only consumes and produces: messages a second", f"{nothing:,.0f}")
    memory = scorer("memory://", "--demo")
    row("scorer on memory: payments a second", f"{memory:,.0f}", ">= 8,000")
    row("the same, as a share of the bare loop", f"{memory / nothing:.2f}", ">= 0.5")
    if shutil.which("redis-server"):
        with redis_server() as url:
            row("scorer on Redis: payments a second", f"{scorer(url):,.0f}")
    each = measure_one_by_one(bench)
    row("a loop that asks the API for each message: payments a second", f"{each:,.0f}")
    row("scorer on memory, times that", f"{memory / each:.0f}", ">= 50")


def measure_one_by_one(bench: Bench) -> float:
    variables, port = bench.filled(HTTP_MESSAGES), free_port()
    with program("serve", "--port", str(port),
                 variables={**variables, "FRAUD_DECISION_LOG": "/dev/null"}):
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/readyz").close()
                break
            except URLError:
                time.sleep(0.1)
        with loop(one_by_one, variables, port):
            return speed(read_stream_settings(variables), HTTP_MESSAGES, HTTP_MESSAGES // 10)


def latencies(settings: StreamSettings, count: int) -> list[float]:
    """Return the seconds from each message's timestamp to its decision, read as committed."""
    arrived: dict[tuple[bytes, bytes], float] = {}
    with KafkaConsumer(**connection(settings), isolation_level="read_committed",
                       auto_offset_reset="earliest") as reader:
        reader.assign([TopicPartition(settings.topic_decisions, number)
                       for number in range(topics.PARTITIONS)])
        while len(arrived) < count:
            for records in reader.poll(1_000).values():
                now = time.time()
                for record in records:
                    headers = dict(record.headers)
                    arrived[headers["source-partition"], headers["source-offset"]] = now
        reader.assign([TopicPartition(settings.topic_transactions, number)
                       for number in range(topics.PARTITIONS)])
        sent: dict[tuple[bytes, bytes], float] = {}
        while len(sent) < count:
            for records in reader.poll(1_000).values():
                for record in records:
                    sent[b"%d" % record.partition, b"%d" % record.offset] = record.timestamp / 1000
    return [arrived[source] - at for source, at in sorted(sent.items(), key=lambda item: item[1])]


def measure_latency(bench: Bench) -> None:
    variables = bench.environment(FRAUD_HISTORY="memory://", FRAUD_DECISION_LOG="/dev/null")
    settings = create_topics(variables)
    count = RATE * RATE_SECONDS
    with program("stream.scorer", "--demo", variables=variables):
        time.sleep(5)
        with loop(produce_at_rate, variables, bench.payments[:count]):
            seconds = latencies(settings, count)[WARM_MESSAGES:]
    for share, wanted in ((0.5, "<= 50 ms"), (0.99, "<= 100 ms")):
        row(f"message to committed decision at {RATE:,} a second, p{share * 100:.0f}",
            f"{percentile(seconds, share) * 1000:.0f} ms", wanted)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stream", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="PATH", default="models",
                        help="a bundle, as FRAUD_MODEL names it (default %(default)s)")
    options = parser.parse_args()
    decode = msgspec.msgpack.Decoder(Transaction).decode
    payments = [(payment.origin.encode(), encode(payment))
                for payment in map(decode, simulated(MESSAGES))]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, {MESSAGES:,} simulated payments\n")
    print("| figure | measured | wanted |\n| --- | ---: | ---: |")
    if util.crc32c_c is None:
        print("| (checksums are in Python: install crc32c) | | |")
    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(Path(directory))
        try:
            bench = Bench(broker, payments, options.model)
            measure_speed(bench)
            measure_latency(bench)
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
