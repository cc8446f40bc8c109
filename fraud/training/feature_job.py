"""Features of a whole history of payments, computed by Spark and written as Parquet.

Counts come from Spark's windows over hourly buckets, features from `fraud.features` on Arrow
batches: the definition that serving uses. Runs unchanged on `local[*]` and on a cluster.
"""

from __future__ import annotations

import atexit
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from fraud import features, history
from fraud.training import quiet
from fraud.training.errors import TrainingError

JAVA_NEEDED = 17
SPLIT = "split"
PARTITION_ROWS = 250_000       # a core sorts the touches of so many payments in memory
READ = ("position long, event_time long, type_code byte, amount_cents long, origin string, "
        "destination string, origin_balance_cents long, destination_balance_cents long")
# The driver lives for a minute: as it is, the JVM spends a third of it on optimising methods that
# never earn that back. Ten times the usual calls before it does, and nothing runs slower.
JVM = ("-XX:+UseParallelGC -XX:+IgnoreUnrecognizedVMOptions -XX:Tier4InvocationThreshold=50000 "
       "-XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000")


def session(master: str = "local[*]"):
    """A Spark session that is quiet and, on this machine, needs no network.

    Args:
        master: a cluster's Python, which PYSPARK_PYTHON names, needs numpy, msgspec and pyarrow;
            this package is sent to it.

    Raises:
        TrainingError: no Java, or one older than Spark needs.
    """
    check_java()
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")
    builder = SparkSession.builder.master(master).appName("fraud-features")
    for key, value in {
        "spark.driver.extraJavaOptions": JVM,
        "spark.driver.memory": "4g",
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.adaptive.enabled": "false",      # partitions are counted in `write_features`
        "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
        "spark.sql.maxConcurrentOutputFileWriters": "8",        # splits need no sort
        "spark.sql.parquet.compression.codec": "lz4_raw",
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(key, value)
    with quiet.starting():
        started = builder.getOrCreate()
    if not master.startswith("local"):
        started.sparkContext.addPyFile(_packed())
    return started


def _packed() -> str:
    """This package as a zip file, which workers fetch as long as this process lives."""
    directory, package = tempfile.mkdtemp(), Path(__file__).resolve().parents[1]
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return shutil.make_archive(str(Path(directory, package.name)), "zip", package.parent,
                               package.name)


def check_java() -> None:
    """Raises TrainingError where Spark would not find a Java that is new enough."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    install = f"install it: apt-get install openjdk-{JAVA_NEEDED}-jre-headless"
    if not java or not shutil.which(java):
        raise TrainingError(f"Java is missing and Spark needs {JAVA_NEEDED} or newer; {install}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'.*version "(?:1\.)?(\d+).*', said)
    if not version or int(version[1]) < JAVA_NEEDED:
        raise TrainingError(f"{java} is {version[0] if version else 'no Java'}; "
                            f"Spark needs Java {JAVA_NEEDED} or newer; {install}")


def write_features(spark, transactions: str, destination: str, borders: dict[str, int]) -> None:
    """Compute the features of every payment and write them, one folder a split.

    Args:
        transactions: a clean Parquet file of `dataset.SCHEMA`.
        destination: a folder; in `split=<name>` of it the rows of that split, in no order:
            `position` and the float32 features of `fraud.features.NAMES`.
        borders: name of each split, in order of time, and the event_time before which it ends.
    """
    import pyarrow.parquet as pq
    from pyspark.sql import functions as F

    payments = spark.read.schema(READ).parquet(transactions)
    partitions = math.ceil(pq.read_metadata(transactions).num_rows / PARTITION_ROWS)
    schema = ", ".join(["position long", "event_time long"]
                       + [f"{name} float" for name in features.NAMES])
    split = F.lit(None)
    for name, end in reversed(borders.items()):
        split = F.when(F.col("event_time") < end, name).otherwise(split)
    (with_counts(payments, partitions).mapInArrow(_feature_batches, schema)
     .withColumn(SPLIT, split).drop("event_time")
     .write.partitionBy(SPLIT).mode("overwrite").parquet(destination))


def with_counts(payments, partitions: int):
    """Position, the columns of `fraud.features.Payments` and the sixteen counts, all int64.

    Every payment touches its origin and its destination, or one account as both. Of what touches
    add to an account, a window holds all that came earlier less all that came before the window.
    Both sums run from the account's first touch on, so that the time is linear in its touches.

    Args:
        payments: a Spark frame with the columns of `dataset.SCHEMA`.
        partitions: in how many parts to count; the result does not depend on it.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    account, start = Window.partitionBy("account"), Window.unboundedPreceding
    earlier = account.orderBy("bucket", "position").rowsBetween(start, -1)
    older = {window: account.orderBy("bucket").rangeBetween(start, -length)
             for window, length in _WINDOWS.items()}

    def total(added, frame):
        return F.coalesce(F.sum(added).over(frame), F.lit(0))

    added = {f"{direction}_{measure}": F.col(direction) * amount for direction in _SIDES.values()
             for measure, amount in (("count", 1), ("cents", F.col("amount_cents")))}
    running = _touches(payments).repartition(partitions, "account").select(
        "*", *(total(value, earlier).alias(name) for name, value in added.items()))
    inside = running.select("*", *(
        (F.col(name) - total(value, frame)).alias(f"{name}_{window}")
        for name, value in added.items() for window, frame in older.items()))
    # Before this shuffle no two touches of a payment are together: aggregate only after it.
    return inside.repartition(partitions, "position").groupBy(
        "position", *features.Payments._fields).agg(*(
            F.max(F.when(F.col(direction) == 1, F.col(f"{name}_{window}")))
            .alias(f"{side}_{name}_{window}")
            for side, direction in _SIDES.items() for name in added for window in _WINDOWS))


_WINDOWS = {"hour": history.HOUR_BUCKETS, "day": history.DAY_BUCKETS}
_SIDES = {"origin": "sent", "destination": "received"}     # what each of a payment's accounts did


def _touches(payments):
    """For each account of a payment the payment's columns, and 1 where it sent, or received it."""
    from pyspark.sql import functions as F

    columns = [F.col(name).cast("long").alias(name) for name in features.Payments._fields]
    bucket = F.expr(f"event_time div {history.BUCKET_MS}").alias("bucket")
    to_itself = F.col("origin") == F.col("destination")

    def touches(payments, account: str, sent, received):
        return payments.select("position", F.col(account).alias("account"), bucket, *columns,
                               F.lit(sent).cast("long").alias("sent"),
                               F.lit(received).cast("long").alias("received"))

    return touches(payments, "origin", 1, to_itself).unionAll(
        touches(payments.where(~to_itself), "destination", 0, 1))


def _feature_batches(batches: Iterable) -> Iterator:
    """Arrow batches of `with_counts` to Arrow batches of features: runs in Spark's workers."""
    import pyarrow as pa

    for batch in batches:
        payments = features.Payments(*(batch[name].to_numpy()
                                       for name in features.Payments._fields))
        counts = history.counts_of([batch[name].to_numpy() for name in history.NAMES])
        matrix = features.matrix(payments, counts)
        yield pa.RecordBatch.from_arrays(
            [batch["position"], batch["event_time"], *(pa.array(column) for column in matrix.T)],
            names=["position", "event_time", *features.NAMES])
