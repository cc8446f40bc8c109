"""Measure the stores of history and the scorer: how fast, how late at worst, how much memory.

    python -m bench.history                              memory, and Redis if redis-server is there
    python -m bench.history --model models               the scorer too

Payments are simulated. Every speed is the median of some rounds, each with an empty store; on a
machine that does something else at the same time it is lower.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec

from fraud.champion import Champion
from fraud.clock import HOUR_MS
from fraud.history import Claim, Store
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.stores.memory import MemoryStore
from fraud.training.data import clean
from fraud.training.data.dataset import prepare
from fraud.training.simulate import simulator
from fraud.transaction import Transaction
from fraud.windows import DAY_HOURS, MONTH_DAYS

ROUNDS = 5
BATCH = 100
ANSWER = b"x" * 255         # as long as an approval with an id of 36 characters
BUSY_ACCOUNTS = 2_000


def simulated(rows: int) -> list[bytes]:
    """Payments in event order, encoded: each use decodes its own, as a server does."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "payments.parquet"
        simulator.write(simulator.simulate(rows, seed=7), path)
        prepared = prepare(str(path), Path(directory))
        return [msgspec.msgpack.encode(payment)
                for batch in clean.batches(prepared.transactions, 10_000) for payment in batch]


def batches(payments: list[bytes], size: int) -> Iterator[list[Transaction]]:
    decode = msgspec.msgpack.Decoder(Transaction).decode
    for start in range(0, len(payments), size):
        yield [decode(payment) for payment in payments[start:start + size]]


def claims_per_second(store: Store, payments: list[bytes], size: int) -> float:
    """Return the claims in a second of claiming; answers are given, but not timed."""
    seconds = 0.0
    for batch in batches(payments, size):
        began = time.perf_counter()
        claims = store.claim(batch, batch[0].event_time)
        seconds += time.perf_counter() - began
        store.finish(cast("list[Claim]", claims), [ANSWER] * len(claims))
    return len(payments) / seconds


def trips(store: Store, payments: list[bytes], size: int) -> list[float]:
    """Seconds of claiming and finishing each batch."""
    seconds = []
    for batch in batches(payments, size):
        began = time.perf_counter()
        claims = store.claim(batch, batch[0].event_time)
        store.finish(cast("list[Claim]", claims), [ANSWER] * len(claims))
        seconds.append(time.perf_counter() - began)
    return seconds


def scores(scorer: Scorer, payments: list[bytes], size: int) -> list[float]:
    """Seconds of scoring each batch."""
    seconds = []
    for batch in batches(payments, size):
        began = time.perf_counter()
        scorer.score(batch)
        seconds.append(time.perf_counter() - began)
    return seconds


def account_bytes(payments: Iterator[list[Transaction]]) -> float:
    """Memory of an account that is active, without that of ids."""
    gc.collect()
    tracemalloc.start()
    store = MemoryStore(id_ttl_ms=1, max_ids=1_000, max_accounts=10_000_000)
    for batch in payments:
        store.claim(batch, batch[0].event_time)
    store.claim(batch[:1], batch[0].event_time + 1)         # forgets the ids
    del batch
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / (len(store._accounts) + len(store._old))


def busy() -> Iterator[list[Transaction]]:
    """Accounts that send and receive on every day of a month, and in every hour of its last day."""
    last_day = DAY_HOURS * (MONTH_DAYS - 1)
    for hour in (*range(0, last_day, DAY_HOURS), *range(last_day, last_day + DAY_HOURS)):
        yield [Transaction(f"{hour}-{account}", simulator.START + hour * HOUR_MS + account,
                           "TRANSFER", 123_456_789, f"C{account:010}",
                           f"C{(account + 1) % BUSY_ACCOUNTS:010}", 0, 0)
               for account in range(BUSY_ACCOUNTS)]


@contextmanager
def redis_server() -> Iterator[str]:
    """Start a Redis; gives its URL."""
    with socket.socket() as free, tempfile.TemporaryDirectory() as directory:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        server = subprocess.Popen(
            ["redis-server", "--port", port, "--dir", directory, "--save", ""],
            stdout=subprocess.DEVNULL)
        time.sleep(1)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def row(figure: str, measured: str, wanted: str = "") -> None:
    print(f"| {figure} | {measured} | {wanted} |", flush=True)


def measure_memory(payments: list[bytes]) -> None:
    for size, wanted in ((BATCH, "100,000"), (1, "60,000")):
        speed = statistics.median(
            claims_per_second(open_store(Settings()), payments, size) for _ in range(ROUNDS))
        row(f"memory: claims a second, {size} at a time", f"{speed:,.0f}", f">= {wanted}")
    row("memory: bytes of an active account, of the simulation",
        f"{account_bytes(batches(payments, BATCH)):,.0f}", "<= 1,536")
    row("memory: bytes of an account with payments in all of its buckets",
        f"{account_bytes(busy()):,.0f}")


def measure_redis(payments: list[bytes]) -> None:
    import redis

    with redis_server() as url:
        client = redis.Redis.from_url(url)
        pings = [timed(client.ping) for _ in range(2_000)]
        single, speeds = [], []
        for _ in range(ROUNDS):
            for size in (1, BATCH):
                client.flushdb()
                store = open_store(Settings(history=url, history_deadline_ms=5_000.0))
                some = payments[:5_000 if size == 1 else 30_000]
                seconds = trips(store, some, size)[20:]
                store.close()
                if size == 1:
                    single.append(seconds)
                else:
                    speeds.append(len(seconds) * size / sum(seconds))
    half, last = (statistics.median(percentile(seconds, share) for seconds in single) * 1000
                  for share in (0.5, 0.99))
    row("Redis: claim and finish of one payment, p50", f"{half:.2f} ms")
    row("Redis: claim and finish of one payment, p99", f"{last:.2f} ms", "<= 1 ms")
    row("Redis: the same p50, in round trips of PING",
        f"{half / percentile(pings, 0.5) / 1000:.1f}")
    row(f"Redis: payments a second, {BATCH} at a time", f"{statistics.median(speeds):,.0f}",
        ">= 15,000")


def measure_scorer(payments: list[bytes], model: str) -> None:
    bundle = Champion(model).bundle
    single, speeds = [], []
    for _ in range(ROUNDS):
        for size in (1, BATCH):
            store = open_store(Settings())
            store.fill([], 0, simulator.START)
            scorer = Scorer(store, bundle, Settings(clock="event"), fallback_on_store_error=False)
            seconds = scores(scorer, payments[:20_000], size)[20:]
            if size == 1:
                single.append(seconds)
            else:
                speeds.append(len(seconds) * size / sum(seconds))
    half, last = (statistics.median(percentile(seconds, share) for seconds in single) * 1000
                  for share in (0.5, 0.99))
    row("scorer on memory: one payment, p50", f"{half:.3f} ms")
    row("scorer on memory: one payment, p99", f"{last:.3f} ms", "<= 1 ms")
    row(f"scorer on memory: payments a second, {BATCH} at a time",
        f"{statistics.median(speeds):,.0f}")


def timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000,
                        help="payments to simulate (default %(default)s)")
    parser.add_argument("--model", metavar="PATH", help="a bundle, as FRAUD_MODEL names it")
    options = parser.parse_args()
    payments = simulated(options.rows)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}, {options.rows:,} simulated payments\n")
    print("| what | measured | wanted |\n| --- | ---: | ---: |")
    measure_memory(payments)
    if shutil.which("redis-server"):
        measure_redis(payments)
    if options.model:
        measure_scorer(payments, options.model)


if __name__ == "__main__":
    main()
