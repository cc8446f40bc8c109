"""Measure the API: how near it is to what its framework can do, and how far from what is common.

    python -m bench.serving                 in the directory with mlflow.db and models/

The champion with its history in memory (`score`) is compared with Sanic that only decodes and
encodes JSON (`bare`), with such an endpoint of the same app (`echo`), with FastAPI, pandas and
XGBoost (`plain`), and with `mlflow models serve` (`mlflow`). wrk is the client, with 8 connections
and a core of its own; servers have one worker on another core. Rounds take turns, so that what else
the machine does falls on all of them; what counts are the ratios. `plain` and `mlflow` are handed
features ready made: they keep no history, give no reasons and log no decisions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import msgspec
import psutil
import pyarrow.parquet as pq
import requests

from fraud.champion import Champion
from fraud.decision import Answered
from fraud.pseudonym import with_pseudonyms
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.stores.memory import write_file
from fraud.training import warm
from fraud.training.data import clean
from fraud.training.data.dataset import prepare
from fraud.training.registry import bundle_writer, tracking
from fraud.training.simulate import simulator
from fraud.transaction import Transaction
from stream.broker import free_port

CONNECTIONS = 8
BODIES = 100_000
SERVER_CORE, CLIENT_CORE = "0", "1"
WAIT = 120              # seconds for a server to be ready
KEY = "bench"
ACCOUNT_KEY = "bench"
MIB = 2 ** 20
SCRIPT = Path(__file__).with_name("load.lua")
PATHS = {"score": "/v1/score", "bare": "/echo", "echo": "/v1/echo", "plain": "/score",
         "mlflow": "/invocations"}
WANTED = {"bare": ">= 0.45", "echo": ">= 0.55"}


# What is sent.

def write_bodies(model: str, directory: Path) -> None:
    """Write what each is sent, a request a line, and the history that `score` starts with."""
    simulator.write(simulator.simulate(2 * BODIES, seed=7), directory / "all.parquet")
    table = pq.read_table(directory / "all.parquet")
    pq.write_table(table.slice(0, BODIES), directory / "before.parquet")
    pq.write_table(table.slice(BODIES), directory / "payments.parquet")
    before = prepare(str(directory / "before.parquet"), directory / "before")
    key = ACCOUNT_KEY.encode()
    month = warm.last_month(before.transactions, before.recording_since, before.last_time, key)
    write_file(directory / "history", month.snapshots(), since=0, until=month.until)
    now = prepare(str(directory / "payments.parquet"), directory / "now")
    payments = [payment for batch in clean.batches(now.transactions, BODIES)
                for payment in batch]
    bundle = Champion(model).bundle
    scorer = Scorer(open_store(Settings(history=f"memory://{directory}/history")), bundle,
                    Settings(clock="event"), fallback_on_store_error=False)
    outcomes = scorer.score([with_pseudonyms(key, payment) for payment in payments])
    rows = [outcome.decision.features for outcome in outcomes
            if isinstance(outcome, Answered) and outcome.decision]
    names = bundle.manifest.model.features
    write_lines(directory / "score", [as_sent(payment) for payment in payments])
    write_lines(directory / "plain", [dict(zip(names, row, strict=True)) for row in rows])
    write_lines(directory / "mlflow", [
        {"dataframe_split": {"columns": names, "data": [row]}} for row in rows])
    for name in ("bare", "echo"):
        shutil.copy(directory / "score", directory / name)


def as_sent(payment: Transaction) -> dict:
    return {"transaction_id": "ID", "event_time": payment.event_time,
            "type": payment.type, "amount": payment.amount_cents / 100,
            "origin": payment.origin, "destination": payment.destination,
            "origin_balance": (payment.origin_balance_cents or 0) / 100,
            "destination_balance": (payment.destination_balance_cents or 0) / 100}


def write_lines(path: Path, values: list[dict]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(value) + b"\n" for value in values))


# Who is asked.

@contextmanager
def server(command: list[str], ready: str, **environment: str) -> Iterator[tuple[float, int]]:
    """A server on its core: its seconds until it was ready, and bytes (RSS) that it held then.

    Raises:
        RuntimeError: it ended, or was not ready in time.
    """
    began = time.perf_counter()
    process = psutil.Popen(["taskset", "--cpu-list", SERVER_CORE, *command],
                           env=os.environ | environment, start_new_session=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers(ready):
            if process.poll() is not None or time.perf_counter() - began > WAIT:
                raise RuntimeError(f"{' '.join(command)} is not ready")
            time.sleep(0.005)
        yield time.perf_counter() - began, process.memory_info().rss
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)      # mlflow has children
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def started(stack: ExitStack, model: str, directory: Path) -> dict[str, str]:
    """Starts all servers; gives the URL of each contender."""
    import mlflow

    tracking.connect()
    champion = f"models:/{bundle_writer.NAME}@champion"
    mlflow.xgboost.load_model(champion).save_model(directory / "model.json")
    ours, bare, plain, mlflows = (str(free_port()) for _ in range(4))
    for command, port, ready in (
            (["bench.rivals.bare", bare], bare, "/readyz"),
            (["bench.rivals.echo", ours], ours, "/readyz"),
            (["bench.rivals.plain", str(directory / "model.json"), plain], plain, "/docs"),
            (["mlflow", "models", "serve", "--model-uri", champion, "--env-manager", "local",
              "--port", mlflows], mlflows, "/ping")):
        stack.enter_context(server(
            [sys.executable, "-m", *command], f"http://127.0.0.1:{port}{ready}",
            **settings(model, directory), MLFLOW_TRACKING_URI=tracking.uri(),
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"))    # has uvicorn
    ports = {"score": ours, "bare": bare, "echo": ours, "plain": plain, "mlflow": mlflows}
    return {name: f"http://127.0.0.1:{ports[name]}{path}" for name, path in PATHS.items()}


def settings(model: str, directory: Path) -> dict[str, str]:
    return {"FRAUD_MODEL": model, "FRAUD_HISTORY": f"memory://{directory}/history",
            "FRAUD_CLOCK": "event", "FRAUD_ACCOUNT_KEY": ACCOUNT_KEY,
            "FRAUD_API_KEYS": sha256(KEY.encode()).hexdigest()}


# What is measured.

def load(url: str, bodies: Path, seconds: int, first: int = 0, pause: int = 0,
         connections: int = CONNECTIONS) -> dict[str, float]:
    """Requests, how many a second, p50 and p99 in ms, by wrk.

    Args:
        first: the body to begin with.
        pause: of each connection before it asks again, ms.

    Raises:
        RuntimeError: a request failed.
    """
    printed = subprocess.run(
        ["taskset", "--cpu-list", CLIENT_CORE, "wrk", "--threads", "1", "--connections",
         str(connections), "--duration", str(seconds), "--script", str(SCRIPT), "--header",
         "Content-Type: application/json", "--header", f"Authorization: Bearer {KEY}", url, "--",
         str(bodies), str(first), str(pause)], capture_output=True, text=True, check=True).stdout
    measured = json.loads(printed.splitlines()[-1])
    if measured["errors"]:
        raise RuntimeError(f"{url}: {measured['errors']} requests failed")
    return measured | {"speed": measured["requests"] / measured["seconds"]}


def measure(urls: dict[str, str], directory: Path, rounds: int, seconds: int) -> None:
    """Print the table: medians of all rounds."""
    measured = []
    sent = dict.fromkeys(urls, 0)
    for _ in range(rounds):
        measured.append({name: load(url, directory / name, seconds, sent[name])
                         for name, url in urls.items()})
        for name in urls:       # each payment once, in order
            sent[name] += int(measured[-1][name]["requests"])
    print("| | requests/s | p50, ms | p99, ms | score, times this | wanted |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: |")
    for name in urls:
        speed, half, last = (statistics.median(in_round[name][figure] for in_round in measured)
                             for figure in ("speed", "p50", "p99"))
        ratio = statistics.median(in_round["score"]["speed"] / in_round[name]["speed"]
                                  for in_round in measured)
        print(f"| {name} | {speed:,.0f} | {half:.2f} | {last:.2f} | {ratio:.2f} | "
              f"{WANTED.get(name, '')} |")
    late = statistics.median(in_round["score"]["p99"] / in_round["echo"]["p99"]
                             for in_round in measured)
    print(f"\np99 of score in that of echo: {late:.2f} (wanted: <= 2.5)")


def measure_start(model: str) -> None:
    """Print how fast a server is ready, and what it holds, without any history."""
    seconds, held = [], []
    for _ in range(5):
        port = str(free_port())
        with server([sys.executable, "-m", "serve", "--port", port],
                    f"http://127.0.0.1:{port}/readyz", FRAUD_MODEL=model) as (took, memory):
            seconds.append(took)
            held.append(memory)
    print(f"ready after {statistics.median(seconds):.2f} s (wanted: <= 1.0), holding "
          f"{max(held) / MIB:.0f} MiB (wanted: <= 200)\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.serving", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models", metavar="PATH",
                        help="as FRAUD_MODEL names it (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5,
                        help="turns of all contenders (default %(default)s)")
    parser.add_argument("--seconds", type=int, default=5,
                        help="of each contender a round (default %(default)s)")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("error: wrk is missing; install it: apt-get install wrk")
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}\n", flush=True)
    measure_start(options.model)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        directory = Path(name)
        write_bodies(options.model, directory)
        measure(started(stack, options.model, directory), directory, options.rounds,
                options.seconds)


if __name__ == "__main__":
    main()
