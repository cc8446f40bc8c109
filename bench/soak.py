"""Run API and scorer at half of their limit for twenty minutes: memory and latency must stay level.

    python -m bench.soak
    python -m bench.soak --minutes 4

Both share this machine with Kafka, Redis and the clients. The limit is measured with both under
full load at the same time; then each gets half of that, the API from connections that wait as long
as an answer takes at the limit.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
import requests
from kafka import KafkaAdminClient
from prometheus_client.parser import text_string_to_metric_families

from bench.history import simulated
from bench.serving import CONNECTIONS, MIB, answers, load, settings, write_bodies
from bench.stream import Bench, committed
from bench.stream_loops import Environment
from fraud.brokers import connection
from fraud.transaction import Transaction
from stream.broker import Broker, free_port
from stream.messages import encode
from stream.settings import read_stream_settings

WINDOW = 60                     # seconds between two looks
LIMIT_SECONDS = 20
PATIENCE = 300                  # seconds, for anything that is waited for
WAITING = 200_000               # messages, while the limit is measured
LATENCY = "fraud_stream_latency_seconds"


class Programs:
    """API, scorer and Redis, each a process while the stack is open."""

    def __init__(self, stack: ExitStack, directory: Path, model: str, stream: Environment):
        redis = str(free_port())
        self._stack = stack
        self._processes: list[psutil.Popen] = []
        self.redis = self.start("redis-server", "--port", redis, "--save", "", "--dir",
                                str(directory))
        self.url = f"http://127.0.0.1:{free_port()}"
        common = {**settings(model, directory), "FRAUD_DECISION_LOG": "/dev/null",
                  "FRAUD_HISTORY": f"redis://127.0.0.1:{redis}/0"}
        self.api = self.start(sys.executable, "-m", "serve", "--port", self.url.split(":")[2],
                              **common)
        self.stream = {**common, **stream, "FRAUD_HISTORY": f"redis://127.0.0.1:{redis}/1"}
        self.scorer = self.start(sys.executable, "-m", "stream.scorer", **self.stream)
        self.metrics = f"http://127.0.0.1:{stream['FRAUD_METRICS_PORT']}/metrics"
        self.wait(lambda: answers(f"{self.url}/readyz") and answers(self.metrics))

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until a condition holds.

        Raises:
            RuntimeError: a program has ended, or it takes too long.
        """
        end = time.monotonic() + PATIENCE
        while not until():
            if time.monotonic() > end or any(
                    process.poll() is not None for process in self._processes):
                raise RuntimeError("a program has ended, or does not become ready")
            time.sleep(0.2)

    def start(self, *command: str, **variables: str) -> psutil.Popen:
        process = psutil.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        self._processes.append(process)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return process


class Minute(NamedTuple):
    """The figures of a minute: payments a second, latency in ms, and at its end memory in MiB."""

    api: float
    api_p50: float
    api_p99: float
    api_memory: float
    stream: float
    stream_p99: float           # upper bound of its bucket
    lag: float                  # messages
    scorer_memory: float
    redis_memory: float


HEADINGS = ("API, payments a second", "p50, ms", "p99, ms", "API memory, MiB",
            "scorer, payments a second", "99 % within, ms", "lag", "scorer memory, MiB",
            "Redis, MiB")


def limits(programs: Programs, bodies: Path) -> tuple[float, float]:
    """Return the payments a second of API and scorer, both under full load."""
    chosen = read_stream_settings(programs.stream)
    with KafkaAdminClient(**connection(chosen)) as admin:
        before, began = committed(admin, chosen.stream_group), time.perf_counter()
        api = load(f"{programs.url}/v1/score", bodies, LIMIT_SECONDS)["speed"]
        scored = committed(admin, chosen.stream_group) - before
        stream = scored / (time.perf_counter() - began)
        programs.wait(lambda: committed(admin, chosen.stream_group) >= WAITING)
    return api, stream


def watch(programs: Programs, bodies: Path, minutes: int, limit: float) -> list[Minute]:
    """Load the API with about half of its limit, and measure everything once a minute.

    Raises:
        RuntimeError: a request failed.
    """
    pause = round(1000 * CONNECTIONS / limit)
    measured, sent, before = [], 10 ** 7, scraped(programs.metrics)
    for _ in range(minutes * 60 // WINDOW):
        loaded = load(f"{programs.url}/v1/score", bodies, WINDOW, sent, pause)
        sent += round(loaded["requests"]) + CONNECTIONS
        now = scraped(programs.metrics)
        count, within = latency(before, now)
        measured.append(Minute(
            loaded["speed"], loaded["p50"], loaded["p99"], held(programs.api), count / WINDOW,
            within * 1000, sum(value for (name, _), value in now.items()
                               if name == "fraud_stream_lag_messages"),
            held(programs.scorer), held(programs.redis)))
        before = now
    return measured


def held(process: psutil.Popen) -> float:
    return process.memory_info().rss / MIB


def scraped(url: str) -> dict[tuple[str, tuple], float]:
    """Return the samples of a page of metrics by name and labels."""
    families = text_string_to_metric_families(requests.get(url, timeout=10).text)
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families for sample in family.samples}


def latency(before: dict, now: dict) -> tuple[float, float]:
    """Return the messages between two scrapes, and their 99th percentile in seconds."""
    counts = {float(dict(labels)["le"]): value - before.get((name, labels), 0.0)
              for (name, labels), value in now.items() if name == f"{LATENCY}_bucket"}
    total = counts[float("inf")]
    return total, min(bound for bound, count in counts.items() if count >= 0.99 * total)


def report(measured: list[Minute], api: float, stream: float) -> str:
    """Return the table of every other minute, and the change from first to last quarter."""
    lines = ["| minute | " + " | ".join(HEADINGS) + " |", "| ---: |" + " ---: |" * len(HEADINGS)]
    for minute, figures in enumerate(measured, 1):
        if minute % 2 == 0:
            lines.append(f"| {minute} | " + " | ".join(
                f"{value:,.1f}" if value < 10 else f"{value:,.0f}" for value in figures) + " |")
    quarter = max(1, len(measured) // 4)
    first, last = measured[:quarter], measured[-quarter:]
    lines.append(f"\nUnder full load, both together: API {api:,.0f}, scorer "
                 f"{stream:,.0f} payments a second. No request failed. From the first to the last "
                 "quarter:\n")
    for name, field in (("memory of the API", "api_memory"), ("of the scorer", "scorer_memory"),
                        ("p50 of the API", "api_p50"), ("p99 of the API", "api_p99")):
        ratio = (sum(getattr(figures, field) for figures in last)
                 / sum(getattr(figures, field) for figures in first))
        lines.append(f"- {name}: times {ratio:.2f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models", metavar="PATH",
                        help="as FRAUD_MODEL names it (default %(default)s)")
    parser.add_argument("--minutes", type=int, default=20, help="(default %(default)s)")
    options = parser.parse_args()
    for name in ("wrk", "redis-server"):
        if not shutil.which(name):
            sys.exit(f"error: {name} is missing; install it: apt-get install {name}")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}\n", flush=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        write_bodies(options.model, directory)
        broker = Broker(directory / "kafka")
        stack.callback(broker.stop)
        decode = msgspec.msgpack.Decoder(Transaction).decode
        bench = Bench(broker, [(payment.origin.encode(), encode(payment))
                               for payment in map(decode, simulated(WAITING))], options.model)
        programs = Programs(stack, directory, options.model, bench.filled(WAITING))
        api, stream = limits(programs, directory / "score")
        count = round(stream / 2 * (options.minutes + 1) * 60)
        programs.start(sys.executable, "stream/producer.py", "--rate", str(stream / 2), "--rows",
                       str(count), **programs.stream)
        started = scraped(programs.metrics)
        programs.wait(lambda: latency(started, scraped(programs.metrics))[0] > 0)
        print(report(watch(programs, directory / "score", options.minutes, api), api, stream))


if __name__ == "__main__":
    main()
