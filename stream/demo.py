"""The whole stream on this machine: broker, Redis, topics, scorer, producer, and what it decides.

    python -m stream.demo --seconds 60

Needs a champion in FRAUD_MODEL (default models) and Java 17; without a redis-server, history is in
memory. Everything that it starts ends with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.consumer.fetcher import ConsumerRecord
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from fraud.brokers import connection
from fraud.bundle import BundleError
from fraud.champion import Champion
from fraud.settings import SettingsError
from stream import topics
from stream.broker import Broker, BrokerError, free_port
from stream.settings import StreamSettings, read

PRODUCER = Path(__file__).with_name("producer.py")
SHOWN = 12                      # decisions in the table
RATE_SECONDS = 5                # over which the rate is measured
LATENCY = "fraud_stream_latency_seconds"


class View:
    """What is shown of the decisions and dead letters that came."""

    def __init__(self):
        self.decisions: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()
        self._notable: deque[dict] = deque(maxlen=SHOWN)
        self._times: deque[float] = deque()
        self.milliseconds = 0.0         # from message to committed decision, on average

    def add_decision(self, record: ConsumerRecord, now: float) -> None:
        answer = msgspec.json.decode(record.value)
        self.decisions[answer["decision"]] += 1
        if answer["decision"] != "approve":
            self._notable.append(answer)
        self._times.append(now)

    def add_dead_letter(self, record: ConsumerRecord) -> None:
        self.dead_letters[dict(record.headers)["reason"].decode()] += 1

    def rate(self, now: float) -> float:
        """Decisions a second, lately."""
        while self._times and self._times[0] < now - RATE_SECONDS:
            self._times.popleft()
        return len(self._times) / RATE_SECONDS

    def render(self, now: float) -> Group:
        table = Table("payment", "score", "decision", "history", "reasons", expand=True)
        for answer in self._notable:
            table.add_row(
                answer["transaction_id"], f"{answer['score']:.3f}", answer["decision"],
                answer["history"], ", ".join(reason["code"] for reason in answer["reasons"]),
                style="red" if answer["decision"] == "decline" else "yellow")
        counts = ", ".join(f"{count:,} {name}" for name, count in self.decisions.most_common())
        dead = ", ".join(f"{count} {name}" for name, count in self.dead_letters.most_common())
        return Group(table, f"{counts or 'waiting for decisions'}; {self.rate(now):,.0f} a second, "
                     f"{self.milliseconds:,.0f} ms from message to decision",
                     f"dead letters: {dead or 'none'}")


@contextmanager
def _program(*command: str, log: Path, variables: dict[str, str]
             ) -> Iterator[subprocess.Popen]:
    """A process while it is needed; what it says goes to a file."""
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file,
                                   env={**os.environ, **variables})
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _watch(settings: StreamSettings, view: View, seconds: float,
           processes: list[subprocess.Popen]) -> None:
    """Show what comes until the time is over, or a process ended that should not."""
    end = time.monotonic() + seconds
    reader = KafkaConsumer(settings.topic_decisions, settings.topic_dead_letters,
                           **connection(settings), isolation_level="read_committed",
                           auto_offset_reset="earliest")
    with reader, Live(console=Console(), refresh_per_second=4) as live:
        while (now := time.monotonic()) < end:
            for partition, records in reader.poll(250).items():
                for record in records:
                    if partition.topic == settings.topic_decisions:
                        view.add_decision(record, now)
                    else:
                        view.add_dead_letter(record)
            view.milliseconds = _latency(settings) or view.milliseconds
            live.update(view.render(now))
            if any(process.poll() for process in processes):
                return


def _latency(settings: StreamSettings) -> float | None:
    """Milliseconds from message to committed decision, on average, as the scorer measures them."""
    try:
        with urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics", timeout=1) as response:
            samples = dict(line.rsplit(" ", 1) for line in response.read().decode().splitlines()
                           if line.startswith((f"{LATENCY}_sum", f"{LATENCY}_count")))
        return 1000 * float(samples[f"{LATENCY}_sum"]) / float(samples[f"{LATENCY}_count"])
    except (OSError, KeyError, ZeroDivisionError):
        return None                     # it is starting


def demo(options: argparse.Namespace) -> int:
    """Run everything; the exit code.

    Raises:
        BrokerError, BundleError, SettingsError: something is missing.
    """
    Champion(read(os.environ).model)    # says what is missing before anything is started
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraud-demo-")))
        print("starting Kafka (the first time it is downloaded: 43 MB)", flush=True)
        broker = Broker(directory / "kafka")
        stack.callback(broker.stop)
        variables = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "FRAUD_CLOCK": "event",
                     "FRAUD_HISTORY": _history(stack, directory),
                     "FRAUD_METRICS_PORT": str(free_port()),
                     "FRAUD_DECISION_LOG": str(directory / "decisions.jsonl")}
        settings = read({**os.environ, **variables})
        with KafkaAdminClient(**connection(settings)) as admin:
            topics.create(admin, topics.wanted(settings, topics.PARTITIONS, 1))
        logs = directory / "scorer.log", directory / "producer.log"
        processes = [
            stack.enter_context(_program(sys.executable, "-m", "stream.scorer", "--demo",
                                         log=logs[0], variables=variables)),
            stack.enter_context(_program(sys.executable, str(PRODUCER), *options.producer,
                                         log=logs[1], variables=variables))]
        try:
            _watch(settings, View(), options.seconds, processes)
        except KeyboardInterrupt:
            return 0
        for process, log in zip(processes, logs):
            if process.poll():
                print(log.read_text()[-2_000:], file=sys.stderr)
                return 1
    return 0


def _history(stack: ExitStack, directory: Path) -> str:
    """The URL of a Redis of our own, or of memory."""
    if not shutil.which("redis-server"):
        print("no redis-server here: history is in memory")
        return "memory://"
    port = str(free_port())
    stack.enter_context(_program("redis-server", "--port", port, "--save", "", "--dir",
                                 str(directory), log=directory / "redis.log", variables={}))
    return f"redis://127.0.0.1:{port}/0"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stream.demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120,
                        help="how long it runs (default %(default)s)")
    parser.add_argument("producer", nargs="*", default=["--rate", "500", "--corrupt", "0.01"],
                        help="after --: what stream/producer.py is told "
                        "(default --rate 500 --corrupt 0.01)")
    try:
        sys.exit(demo(parser.parse_args(arguments)))
    except (BrokerError, BundleError, SettingsError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
