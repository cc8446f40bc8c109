"""Measure the training flow: how long each step takes, and the memory of its largest process.

    python -m bench.training                                    600,000 and 6,362,620 payments
    python -m bench.training --rows 100000

Each size is simulated first, outside of the measurement, and runs in a separate directory with a
separate registry. The two trainers run at the same time.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

from fraud.training.simulate import simulator

FLOW = Path(__file__).resolve().parents[1] / "flows/train_flow.py"
SIZES = (600_000, 6_362_620)      # the second is PaySim's
SAMPLING = 0.2                    # seconds between two looks at the memory


def largest_process(command: list[str], directory: Path, log: Path) -> tuple[float, int]:
    """Run a command; return its seconds and the most memory (bytes, RSS) any one process held.

    Raises:
        RuntimeError: the command failed; the message names its log.
    """
    started, largest = time.perf_counter(), 0
    with open(log, "w") as output:
        process = psutil.Popen(command, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            for child in process.children(recursive=True):
                try:
                    largest = max(largest, child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            time.sleep(SAMPLING)
    if process.returncode:
        raise RuntimeError(f"the flow failed; see {log}")
    return time.perf_counter() - started, largest


def step_seconds() -> dict[str, float]:
    """Return the seconds of each step of the latest run, in order of time, with its start-up."""
    import metaflow

    metaflow.namespace(None)
    run = metaflow.Flow("TrainFlow").latest_successful_run
    steps = sorted(run, key=lambda step: step.task.created_at)
    return {step.id: (step.task.finished_at - step.task.created_at).total_seconds()
            for step in steps}


def measure(rows: int, directory: Path) -> dict[str, float]:
    """Return the seconds of the whole flow and of its steps, and GiB of the largest process."""
    path = directory / "payments.parquet"
    simulator.write(simulator.simulate(rows, seed=7), path)
    command = [sys.executable, str(FLOW), "run", "--transactions", str(path)]
    seconds, memory = largest_process(command, directory, directory / "flow.log")
    return {"flow": seconds, **step_seconds(), "GiB": memory / 2 ** 30}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES,
                        help="sizes of simulations, in payments (default 600000 and 6362620)")
    sizes = sorted(parser.parse_args().rows)
    measured = {}
    with tempfile.TemporaryDirectory() as runs:     # one for all: Metaflow's client keeps the first
        os.environ["METAFLOW_DATASTORE_SYSROOT_LOCAL"] = runs
        for rows in sizes:
            with tempfile.TemporaryDirectory() as directory:
                print(f"training on {rows:,} payments", file=sys.stderr)
                measured[rows] = measure(rows, Path(directory))
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python "
          f"{platform.python_version()}\n")
    print("| | " + " | ".join(f"{rows:,} payments" for rows in sizes) + " |")
    print("| --- |" + " ---: |" * len(sizes))
    for name in measured[sizes[0]]:
        unit = "largest process, GiB" if name == "GiB" else f"{name}, s"
        print(f"| {unit} | " + " | ".join(f"{measured[rows][name]:.1f}" for rows in sizes) + " |")
    if len(sizes) > 1:
        small, large = sizes[0], sizes[-1]
        exponent = (math.log(measured[large]["flow"] / measured[small]["flow"])
                    / math.log(large / small))
        print(f"\nThe flow's time grows with the size to the power of {exponent:.2f}.")


if __name__ == "__main__":
    main()
