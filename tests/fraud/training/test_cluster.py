"""Spark on more than one machine: a standalone master and two workers, all on loopback."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyspark
import pytest

from fraud.features import DEFAULT
from fraud.training.data.dataset import prepare
from fraud.training.features import spark_job
from fraud.training.leakage import point_in_time
from fraud.training.simulate import simulator
from stream.broker import free_port

pytestmark = pytest.mark.system
SPARK = Path(pyspark.__file__).parent
JOB = """
import sys
from fraud.features import DEFAULT
from fraud.training.features import spark_job
with spark_job.session(sys.argv[1]) as spark:
    spark_job.write_features(spark, DEFAULT, sys.argv[2], sys.argv[3], {"all": 1 << 62}, 0)
    print(spark.sparkContext.defaultParallelism)
"""


@pytest.fixture
def cluster(tmp_path):
    """The address of a master with two workers of one core, which do not have this package."""
    port, page = free_port(), free_port()
    environment = {**os.environ, "SPARK_LOCAL_HOSTNAME": "localhost", "SPARK_LOCAL_IP": "127.0.0.1",
                   "PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": str(tmp_path / "work")}
    environment.pop("PYTHONPATH", None)

    def start(kind: str, *arguments: str) -> subprocess.Popen:
        with open(tmp_path / f"{kind}.log", "ab") as log:
            return subprocess.Popen(
                [SPARK / "bin/spark-class", f"org.apache.spark.deploy.{kind.lower()}.{kind}",
                 *arguments], cwd=tmp_path, env=environment, stdout=log, stderr=log)

    started = [start("Master", "--host", "127.0.0.1", "--port", str(port),
                     "--webui-port", str(page))]
    started += [start("Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g",
                      "--webui-port", "0", f"spark://127.0.0.1:{port}") for _ in range(2)]
    try:
        wait_for_workers(page, tmp_path)
        yield f"spark://127.0.0.1:{port}"
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def wait_for_workers(page: int, directory: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{page}/json/", timeout=5) as answer:
                if b'"aliveworkers" : 2' in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("\n".join(log.read_text() for log in directory.glob("*.log")))


def test_a_cluster_computes_the_features_that_one_machine_computes(cluster, spark, tmp_path):
    simulator.write(simulator.simulate(20_000, seed=3), tmp_path / "simulated.parquet")
    clean = prepare(str(tmp_path / "simulated.parquet"), tmp_path / "clean").transactions
    spark_job.write_features(spark, DEFAULT, clean, str(tmp_path / "local"), {"all": 1 << 62}, 0)
    done = subprocess.run(
        [sys.executable, "-c", JOB, cluster, clean, str(tmp_path / "cluster")],
        env={**os.environ, "SPARK_LOCAL_HOSTNAME": "localhost"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "2"           # both workers, not this machine alone
    here, there = (point_in_time.read_features(str(tmp_path / where), 0, 20_000)
                   for where in ("local", "cluster"))
    assert here.num_rows == pq.read_metadata(clean).num_rows == 20_000
    assert point_in_time.changed_rows(here, there, np.ones(20_000, bool)) == {}
