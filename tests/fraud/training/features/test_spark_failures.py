"""The feature job on a bad night: killed processes and a full disk, all in one Java process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.training.data import dataset
from fraud.transaction import TYPES

pytestmark = pytest.mark.slow
JOB = """
import os, signal, sys, threading, time
import psutil
from fraud.errors import FraudError
from fraud.features import DEFAULT
from fraud.training.features import spark_job

few, many, out = sys.argv[1:]

def kill(victim):
    "Kill the first process of Spark that the rule names, as soon as there is one."
    me = psutil.Process()
    while True:
        for process in me.children(recursive=True):
            try:
                worker = "pyspark.daemon" in process.cmdline() and (
                    "pyspark.daemon" in process.parent().cmdline())
            except psutil.Error:
                continue
            if worker:
                java = me.children()[0]
                os.kill({"worker": process, "java": java}[victim].pid, signal.SIGKILL)
                return
        time.sleep(0.002)

def attempt(name, payments, victim=""):
    try:
        with spark_job.explained_failures(), spark_job.session("local[1]") as spark:
            if victim:
                threading.Thread(target=kill, args=[victim], daemon=True).start()
            spark_job.write_features(spark, DEFAULT, payments, out, {"all": 1 << 62}, 0)
            print(name, "done", flush=True)
    except FraudError as error:
        print(name, type(error).__name__, error, flush=True)

if __name__ == "__main__":
    attempt("worker", few, "worker")
    attempt("retry", few)
    attempt("disk", many)
    attempt("space", few)
    attempt("java", few, "java")
"""


def write(path: Path, rows: int) -> str:
    """Payments among a thousand accounts, in a file as the flow's first step leaves it."""
    rng = np.random.default_rng(7)
    time = 1_767_225_600_000 + np.arange(rows) * 10_000
    columns = {
        "position": np.arange(rows), "event_time": time, "type": rng.choice(TYPES, rows),
        "amount_cents": rng.integers(0, 10**9, rows),
        "origin": rng.integers(0, 1_000, rows).astype(str),
        "destination": rng.integers(0, 1_000, rows).astype(str),
        "origin_balance_cents": rng.integers(0, 10**9, rows),
        "destination_balance_cents": rng.integers(0, 10**9, rows),
        "is_fraud": np.zeros(rows, np.int8), "label_time": time}
    pq.write_table(pa.table(columns, pa.schema([dataset.SCHEMA.field(name) for name in columns])),
                   path)
    return str(path)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory) -> Iterator[Path]:
    """A file system of 2 MiB."""
    directory = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", directory],
                             capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, small_disk) -> dict[str, str]:
    """The line that each attempt of `JOB` printed, by its name."""
    directory = tmp_path_factory.mktemp("payments")
    result = subprocess.run(
        [sys.executable, "-c", JOB, write(directory / "few.parquet", 500),
         write(directory / "many.parquet", 60_000), directory / "features"],
        env={**os.environ, "SPARK_LOCAL_DIRS": str(small_disk)}, capture_output=True,
        text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return dict(line.split(" ", 1) for line in result.stdout.splitlines())


def test_a_killed_worker_ends_the_job_in_a_sentence_and_a_retry_succeeds(outcomes):
    assert outcomes["worker"].startswith("LostProcess a Python worker of Spark has ended: it was "
                                         "killed")
    assert outcomes["retry"] == "done"


def test_a_full_disk_ends_the_job_in_a_sentence_and_space_is_enough_to_go_on(outcomes):
    assert outcomes["disk"].startswith("TrainingError the disk is full under Spark's shuffle")
    assert "SPARK_LOCAL_DIRS" in outcomes["disk"]
    assert outcomes["space"] == "done"


def test_a_killed_java_ends_the_job_in_a_sentence(outcomes):
    assert outcomes["java"].startswith("LostProcess the Java process of Spark has ended")
