"""Measure the cost of a challenger in shadow: payments a second of processor time.

    python -m bench.shadow --model models

The champion is its own challenger. API workers and scorers of the stream, with and without it, take
turns; histories are full and in memory. Processor time of the server, not the clock, is compared,
so that what else the machine does matters less. wrk sends to the API on 8 connections.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import psutil
import requests
from kafka import KafkaAdminClient

from bench.history import simulated
from bench.serving import KEY, answers, as_sent, load, write_lines
from bench.stream import Bench, committed
from fraud.brokers import connection
from fraud.bundle import CHALLENGER_FILE, POINTER_FILE
from fraud.stores.memory import write_file
from fraud.transaction import Transaction
from stream.broker import Broker, free_port
from stream.messages import encode
from stream.settings import read_stream_settings

WARM = 2_000            # payments that are not timed
Sides = dict[str, dict[str, float]]     # figures of a round: alone, shadow


@contextmanager
def running(*command: str, **environment: str) -> Iterator[psutil.Popen]:
    """A program of this project, until the block ends."""
    process = psutil.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL,
                           env={**os.environ, "FRAUD_LOG_LEVEL": "error",
                                "FRAUD_ACCOUNT_KEY": "bench", **environment})
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _check(process: psutil.Popen) -> None:
    if process.poll() is not None:
        sys.exit("error: the program has ended; its error is above")


def processor_seconds(process: psutil.Popen) -> float:
    """Return the seconds of user and system that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def check_scored(url: str, model: str) -> None:
    """End the program if a challenger was dropped: the rest would have cost nothing."""
    if Path(model, CHALLENGER_FILE).exists() and re.search(
            r"^fraud_shadow_dropped_total.* [1-9]", requests.get(url, timeout=10).text, re.M):
        sys.exit("error: the challenger was dropped as slow; measure when the machine is less busy")


def api_round(model: str, directory: Path, seconds: int) -> dict[str, float]:
    """Return payments a processor second, and p99 in ms, of one worker."""
    port = str(free_port())
    with running("serve", "--port", port, FRAUD_MODEL=model, FRAUD_CLOCK="event",
                 FRAUD_HISTORY=f"memory://{directory}/history", FRAUD_DECISION_LOG="/dev/null",
                 FRAUD_API_KEYS=sha256(KEY.encode()).hexdigest()) as server:
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            _check(server)
            time.sleep(0.05)
        url = f"http://127.0.0.1:{port}/v1/score"
        load(url, directory / "bodies", 1)
        before = processor_seconds(server)
        measured = load(url, directory / "bodies", seconds, first=WARM)
        used = processor_seconds(server) - before
        check_scored(f"http://127.0.0.1:{port}/metrics", model)
    return {"speed": measured["requests"] / used, "p99": measured["p99"]}


def stream_round(bench: Bench, model: str, directory: Path) -> dict[str, float]:
    """Return payments a processor second of one scorer."""
    count = len(bench.payments)
    variables = bench.filled(count, FRAUD_MODEL=model, FRAUD_DECISION_LOG="/dev/null",
                             FRAUD_HISTORY=f"memory://{directory}/history")
    settings = read_stream_settings(variables)
    with running("stream.scorer", "--demo", **variables) as scorer, KafkaAdminClient(
            **connection(settings)) as admin:
        began, at_begin = 0.0, 0
        while (done := committed(admin, settings.stream_group)) < count:
            if not at_begin and done >= WARM:
                began, at_begin = processor_seconds(scorer), done
            _check(scorer)
            time.sleep(0.05)
        used = processor_seconds(scorer) - began
        check_scored(f"http://127.0.0.1:{settings.metrics_port}/metrics", model)
    return {"speed": (count - at_begin) / used}


def compare(title: str, rounds: int, models: dict[str, str],
            measure: Callable[[str], dict[str, float]]) -> None:
    """Print a row: the median of each side, and the ratio of each round."""
    results: list[Sides] = [{side: measure(model) for side, model in models.items()}
                            for _ in range(rounds)]
    speeds = [statistics.median(sides[side]["speed"] for sides in results) for side in models]
    ratios = sorted(sides["shadow"]["speed"] / sides["alone"]["speed"] for sides in results)
    cells = [f"{speed:,.0f}" for speed in speeds]
    print(f"| {title} | {' | '.join(cells)} | {statistics.median(ratios):.2f} "
          f"({ratios[0]:.2f} to {ratios[-1]:.2f}) | >= 0.85 |", flush=True)
    if "p99" in results[0]["alone"]:
        late = sorted(sides["shadow"]["p99"] / sides["alone"]["p99"] for sides in results)
        print(f"| its p99, times | | | {statistics.median(late):.2f} ({late[0]:.2f} to "
              f"{late[-1]:.2f}) | <= 1.25 |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.shadow", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", metavar="PATH", default="models",
                        help="a folder with champion.json (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="turns (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=5,
                        help="of each API round (default %(default)s)")
    parser.add_argument("--payments", type=int, default=50_000,
                        help="of each stream round (default %(default)s)")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("error: wrk is missing; install it: apt-get install wrk")
    payments = [*map(msgspec.msgpack.Decoder(Transaction).decode, simulated(options.payments))]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}\n")
    print("| payments a processor second | alone | with a challenger | ratio, median (all) "
          "| wanted |\n| --- | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        directory, models = Path(name), {}
        for side in ("alone", "shadow"):
            models[side] = str(shutil.copytree(options.model, directory / side))
        shutil.copy(directory / "shadow" / POINTER_FILE, directory / "shadow" / CHALLENGER_FILE)
        write_lines(directory / "bodies", list(map(as_sent, payments)))
        write_file(directory / "history", [], since=0, until=payments[0].event_time)
        compare("API, one worker", options.rounds, models,
                lambda model: api_round(model, directory, options.seconds))
        broker = Broker(directory / "kafka")
        try:
            bench = Bench(broker, [(payment.origin.encode(), encode(payment))
                                   for payment in payments], models["alone"])
            compare("stream, one scorer", options.rounds, models,
                    lambda model: stream_round(bench, model, directory))
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
