"""Measure the training flow: the time of each step, and the memory of its largest process.

    python -m bench.training                                    1,000,000 and 6,362,620 payments
    python -m bench.training --rows 100000

Each size is simulated first, outside of the measurement, and runs in a separate directory with a
separate registry. Steps of parallel branches run at the same time. Processor time, user and system,
of a step's process and all that it starts is comparable on a machine that other programs share.
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
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

from fraud.training.simulate import simulator

FLOW = Path(__file__).resolve().parents[1] / "flows/train_flow.py"
SIZES = (1_000_000, 6_362_620)    # a simulated month and PaySim's month
SAMPLING = 0.2                    # seconds between two looks at the processes


class Usage(NamedTuple):
    """Resources of a command and all processes that it started."""

    seconds: float
    largest: int                    # bytes, RSS: the most that any one process held
    processor: dict[str, float]     # seconds by step; the flow's own process under "scheduler"


def usage(command: list[str], directory: Path, log: Path) -> Usage:
    """Run a flow's command and return its usage.

    Raises:
        RuntimeError: the command failed; the message names its log.
    """
    started, largest = time.perf_counter(), 0
    steps: dict[int, str] = {}              # by process id
    processor: dict[int, float] = {}
    with open(log, "w") as output:
        process = psutil.Popen(command, cwd=directory, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            for child in [process, *process.children(recursive=True)]:
                try:
                    arguments, times = child.cmdline(), child.cpu_times()
                    largest = max(largest, child.memory_info().rss)
                except psutil.Error:        # it has ended
                    continue
                steps[child.pid] = (arguments[arguments.index("step") + 1] if "step" in arguments
                                    else steps.get(child.ppid(), "scheduler"))
                processor[child.pid] = times.user + times.system
            time.sleep(SAMPLING)
    if process.returncode:
        raise RuntimeError(f"the flow failed; see {log}")
    by_step: dict[str, float] = {}
    for pid, seconds in processor.items():
        by_step[steps[pid]] = by_step.get(steps[pid], 0.0) + seconds
    return Usage(time.perf_counter() - started, largest, by_step)


def step_seconds() -> dict[str, float]:
    """Return the seconds of each step of the latest run, in order of time, with its start-up."""
    import metaflow

    metaflow.namespace(None)
    run = metaflow.Flow("TrainFlow").latest_successful_run
    steps = sorted(run, key=lambda step: step.task.created_at)
    return {step.id: (step.task.finished_at - step.task.created_at).total_seconds()
            for step in steps}


class Measurement(NamedTuple):
    """The cost of a flow."""

    seconds: dict[str, float]       # of the whole flow, and of its steps
    processor: dict[str, float]     # likewise
    largest: int                    # bytes


def measure(rows: int, directory: Path) -> Measurement:
    """Simulate payments and return the cost of a flow on them."""
    path = directory / "payments.parquet"
    simulator.write(simulator.simulate(rows, seed=7), path)
    command = [sys.executable, str(FLOW), "run", "--transactions", str(path)]
    used = usage(command, directory, directory / "flow.log")
    return Measurement({"flow": used.seconds, **step_seconds()},
                       {"flow": sum(used.processor.values()), **used.processor}, used.largest)


def table(measured: Mapping[int, Measurement]) -> str:
    """Return the costs of flows, by their number of payments, as a Markdown table."""
    sizes = list(measured)
    lines = ["| | " + " | ".join(f"{rows:,} payments | processor" for rows in sizes) + " |",
             "| --- |" + " ---: |" * 2 * len(sizes)]
    for name in measured[sizes[0]].seconds:
        cells = [f"{cost.seconds[name]:.1f} | {cost.processor.get(name, 0.0):.1f}"
                 for cost in measured.values()]
        lines.append(f"| {name}, s | " + " | ".join(cells) + " |")
    memory = [f"{cost.largest / 2 ** 30:.1f} | " for cost in measured.values()]
    return "\n".join([*lines, "| largest process, GiB | " + " | ".join(memory) + " |"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES,
                        help="sizes of simulations, in payments (default 1000000 and 6362620)")
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
    print(table(measured))
    if len(sizes) > 1:
        small, large = sizes[0], sizes[-1]
        exponent = (math.log(measured[large].seconds["flow"] / measured[small].seconds["flow"])
                    / math.log(large / small))
        print(f"\nThe flow's time grows with the size to the power of {exponent:.2f}.")


if __name__ == "__main__":
    main()
