"""A whole stream on this machine: broker, Redis, topics, scorer, producer, and live decisions.

    python -m stream.demo --seconds 60

Needs a champion in FRAUD_MODEL (default models) and Java 17 or newer; without a redis-server,
history is in memory. All processes end with the demo; its decision log stays in the folder --out.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

from kafka import KafkaAdminClient, KafkaConsumer
from rich.console import Console
from rich.live import Live

from fraud.brokers import connection
from fraud.champion import Champion
from fraud.command_line import Arguments, command, parser
from fraud.errors import FraudError
from stream import topics
from stream.broker import Broker, free_port
from stream.demo_view import View
from stream.settings import StreamSettings, read_stream_settings

PRODUCER = Path(__file__).with_name("producer.py")
LATENCY = "fraud_stream_latency_seconds"
FIRST_DECISION_SECONDS = 120    # limit on the time until the first one
LOG_TAIL = 2_000                # characters of a failed program's log


class DemoError(FraudError):
    """The demo cannot go on. The message holds the end of a program's log."""


@contextmanager
def _program(*arguments: str, log: Path, variables: dict[str, str]
             ) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process in the block; its output goes to a file."""
    with open(log, "wb") as file:
        process = subprocess.Popen(arguments, stdout=file, stderr=file,
                                   env={**os.environ, **variables})
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _watch(settings: StreamSettings, view: View, seconds: float,
           programs: dict[Path, subprocess.Popen[bytes]]) -> None:
    """Show decisions for some seconds, counted from the first one.

    Raises:
        DemoError: a program failed, or no decision came.
    """
    started, first = time.monotonic(), None
    reader = KafkaConsumer(settings.topic_transactions, settings.topic_decisions,
                           settings.topic_dead_letters, **connection(settings),
                           isolation_level="read_committed", auto_offset_reset="earliest")
    with reader, Live(console=Console(), refresh_per_second=4) as live:
        while first is None or time.monotonic() < first + seconds:
            now = time.monotonic()
            _read(reader, settings, view, now)
            view.milliseconds = _latency(settings) or view.milliseconds
            live.update(view.render(now))
            _check_programs(programs)
            if first is None and view.decisions:
                first = now
            if first is None and now > started + FIRST_DECISION_SECONDS:
                raise DemoError(f"no decision came within {FIRST_DECISION_SECONDS} s\n"
                                + "\n".join(map(_tail, programs)))


def _read(reader: KafkaConsumer, settings: StreamSettings, view: View, now: float) -> None:
    polled = reader.poll(250)
    for topic in (settings.topic_transactions, settings.topic_decisions,
                  settings.topic_dead_letters):         # a payment before its decision
        for partition in (partition for partition in polled if partition.topic == topic):
            for record in polled[partition]:
                if topic == settings.topic_transactions:
                    view.add_payment(record)
                elif topic == settings.topic_decisions:
                    view.add_decision(record, now)
                else:
                    view.add_dead_letter(record)


def _check_programs(programs: dict[Path, subprocess.Popen[bytes]]) -> None:
    for log, process in programs.items():
        if process.poll():
            raise DemoError(f"{log.stem} ended with {process.returncode}:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text()[-LOG_TAIL:]


def _latency(settings: StreamSettings) -> float | None:
    """Return the scorer's mean of milliseconds from message to committed decision."""
    try:
        with urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics", timeout=1) as response:
            samples = dict(line.rsplit(" ", 1) for line in response.read().decode().splitlines()
                           if line.startswith((f"{LATENCY}_sum", f"{LATENCY}_count")))
        return 1000 * float(samples[f"{LATENCY}_sum"]) / float(samples[f"{LATENCY}_count"])
    except (OSError, KeyError, ZeroDivisionError):
        return None                     # the scorer is starting


def demo(options: argparse.Namespace) -> None:
    """Run everything until the time is over, or Ctrl-C.

    Raises:
        BrokerError, BundleError, DemoError, SettingsError: something is missing or failed.
    """
    Champion(read_stream_settings(os.environ).model)    # raises before anything is started
    decisions = _decision_log(options.out)
    view = View()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fraud-demo-")))
        print("starting Kafka (the first time it is downloaded: 43 MB)", flush=True)
        broker = Broker(directory / "kafka")
        stack.callback(broker.stop)
        variables = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "FRAUD_CLOCK": "event",
                     "FRAUD_HISTORY": _history(stack, directory),
                     "FRAUD_ACCOUNT_KEY": secrets.token_hex(),
                     "FRAUD_METRICS_PORT": str(free_port()),
                     "FRAUD_DECISION_LOG": str(decisions)}
        settings = read_stream_settings({**os.environ, **variables})
        with KafkaAdminClient(**connection(settings)) as admin:
            topics.create(admin, topics.wanted(settings, topics.PARTITIONS, 1))
        scorer, producer = directory / "scorer.log", directory / "producer.log"
        programs = {
            scorer: stack.enter_context(_program(
                sys.executable, "-m", "stream.scorer", "--demo", log=scorer, variables=variables)),
            producer: stack.enter_context(_program(
                sys.executable, str(PRODUCER), *options.producer, log=producer,
                variables=variables))}
        try:
            _watch(settings, view, options.seconds, programs)
        except KeyboardInterrupt:
            print()                     # the summary below a ^C
    print(f"{view.summary()}\nThe decision log is {decisions}: make report DECISIONS={decisions}")


def _decision_log(directory: Path) -> Path:
    """Return the path of an empty decision log; an earlier demo's is replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "decisions.jsonl"
    path.unlink(missing_ok=True)
    return path


def _history(stack: ExitStack, directory: Path) -> str:
    """Return the URL of a Redis that is started here, or of memory."""
    if not shutil.which("redis-server"):
        print("redis-server is not installed: history is in memory")
        return "memory://"
    port = str(free_port())
    stack.enter_context(_program("redis-server", "--port", port, "--save", "", "--dir",
                                 str(directory), log=directory / "redis.log", variables={}))
    return f"redis://127.0.0.1:{port}/0"


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m stream.demo", __doc__)
    options.add_argument("--seconds", type=float, default=120,
                         help="how long it runs from the first decision (default %(default)s)")
    options.add_argument("--out", type=Path, default=Path("data/demo"),
                         help="folder of the decision log (default %(default)s)")
    options.add_argument("producer", nargs="*", default=["--rate", "500", "--corrupt", "0.01"],
                         help="after --: options of stream/producer.py "
                              "(default --rate 500 --corrupt 0.01)")
    demo(options.parse_args(arguments))


if __name__ == "__main__":
    main()
