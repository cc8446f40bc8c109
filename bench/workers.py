"""Measure workers of the API on Redis: how they scale, and what Redis adds to a payment.

    python -m bench.workers --model models

One worker with history in memory, one and two on Redis, take turns under the load of wrk. Fewer
`CONNECTIONS` would halve the micro-batches of two workers. Workers, Redis and client share the
cores of this machine: processor time shows what each payment costs.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.history import batches, redis_server, simulated
from bench.serving import WAIT, answers, as_sent, load, settings, write_lines
from stream.broker import free_port

PAYMENTS = 50_000
CONNECTIONS = 32
MICROSECONDS = 1e6


class Server(NamedTuple):
    """A server under measurement."""

    url: str
    process: psutil.Process
    redis: psutil.Process | None


class RoundFigures(NamedTuple):
    """The measurement of one round; processor time in microseconds a payment."""

    speed: float
    workers: float
    redis: float


@contextmanager
def serving(model: str, directory: Path, history: str, workers: int) -> Iterator[Server]:
    """A server with a history of its own.

    Raises:
        RuntimeError: it is not ready in time.
    """
    port = str(free_port())
    process = psutil.Popen(
        [sys.executable, "-m", "serve", "--port", port, "--workers", str(workers)],
        env=os.environ | settings(model, directory) | {"FRAUD_HISTORY": history},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            if time.monotonic() > began + WAIT:
                raise RuntimeError(f"the server with {workers} workers is not ready")
            time.sleep(0.05)
        yield Server(f"http://127.0.0.1:{port}/v1/score", process, _listening(history))
    finally:
        process.terminate()
        process.wait()


def _listening(history: str) -> psutil.Process | None:
    """Return the Redis of a URL, a child of this process."""
    if history.startswith("memory://"):
        return None
    port = history.rpartition(":")[2].partition("/")[0]
    return next(child for child in psutil.Process().children()
                if child.name() == "redis-server" and any(port in word for word in child.cmdline()))


def processor_seconds(process: psutil.Process) -> float:
    """Return the processor time of a process and its children so far."""
    times = [part.cpu_times() for part in (process, *process.children(recursive=True))]
    return sum(part.user + part.system for part in times)


def measure(server: Server, bodies: Path, seconds: int, first: int) -> tuple[RoundFigures, int]:
    """Return a round's measurement, and the number of payments in it."""
    parts = [part for part in (server.process, server.redis) if part]
    before = [processor_seconds(part) for part in parts]
    measured = load(server.url, bodies, seconds, first, connections=CONNECTIONS)
    payments = int(measured["requests"])
    spent = [(processor_seconds(part) - start) / payments * MICROSECONDS
             for part, start in zip(parts, before, strict=True)]
    return RoundFigures(measured["speed"], spent[0], spent[1] if server.redis else 0.0), payments


def compare(servers: dict[str, Server], bodies: Path, rounds: int, seconds: int) -> None:
    """Print the table: medians of all rounds."""
    results: dict[str, list[RoundFigures]] = {name: [] for name in servers}
    sent = dict.fromkeys(servers, 0)
    for _ in range(rounds):
        for name, server in servers.items():
            measured, payments = measure(server, bodies, seconds, sent[name])
            results[name].append(measured)
            sent[name] += payments
    print("| | requests/s | times one on Redis | processor time of workers, us | of Redis, us |\n"
          "| --- | ---: | ---: | ---: | ---: |")
    for name, measures in results.items():
        ratio = statistics.median(
            measured.speed / base.speed
            for measured, base in zip(measures, results["one worker, Redis"], strict=True))
        speed, workers, redis = map(statistics.median, zip(*measures, strict=True))
        print(f"| {name} | {speed:,.0f} | {ratio:.2f} | {workers:.0f} | {redis:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models", metavar="PATH",
                        help="as FRAUD_MODEL names it (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5,
                        help="turns of all servers (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=5,
                        help="of each server a round (default %(default)s)")
    options = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}\n", flush=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        write_lines(directory / "bodies", [
            as_sent(payment) for payment in next(batches(simulated(PAYMENTS), PAYMENTS))])
        servers = {}
        for label, workers, history in (
                ("one worker, memory", 1, "memory://"),
                ("one worker, Redis", 1, stack.enter_context(redis_server())),
                ("two workers, Redis", 2, stack.enter_context(redis_server()))):
            servers[label] = stack.enter_context(serving(
                options.model, directory, history, workers))
        compare(servers, directory / "bodies", options.rounds, options.seconds)


if __name__ == "__main__":
    main()
