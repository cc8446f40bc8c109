"""The feature job: features of a whole history of payments, computed in Spark.

Spark brings what belongs to an account together, then what belongs to a payment. Between the two,
`account_windows` counts, and `fraud.features` has the definition of serving; both work on Arrow
batches. It runs unchanged on `local[*]` and on a cluster.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from fraud.features import FeatureTable, PaymentColumns
from fraud.training import quiet
from fraud.training.errors import LostProcess, TrainingError
from fraud.training.features import partitions
from fraud.training.features.partitions import BATCH_ROWS, PAYMENT_COLUMNS
from fraud.training.java import check_java
from fraud.transaction import EVENT_TIME_LIMIT
from fraud.windows import COUNT_NAMES, SKETCH_BITS

PARTITION_ROWS = 250_000       # payments whose entries a core sorts in memory
READ = ("position long, event_time long, type string, amount_cents long, origin string, "
        "destination string, origin_balance_cents long, destination_balance_cents long, "
        "is_fraud byte, label_time long")
DISK_FULL = "No space left on device"
LOST_WORKER = ("Python worker exited unexpectedly", "java.io.EOFException",
               "java.net.SocketException")      # by the moment at which it was killed
# The driver lives for a minute. By default the JVM spends a third of it on optimisations that never
# pay off; with ten times the usual thresholds nothing runs slower.
JVM = ("-XX:+UseParallelGC -XX:+IgnoreUnrecognizedVMOptions -XX:Tier4InvocationThreshold=50000 "
       "-XX:Tier4MinInvocationThreshold=6000 -XX:Tier4CompileThreshold=150000")


def session(master: str = "local[*]"):
    """Return a Spark session that is quiet and, on this machine, needs no network.

    Args:
        master: the Python of a cluster, which PYSPARK_PYTHON names, needs numpy, msgspec and
            pyarrow; this package is sent to it.

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
        "spark.log.level": "FATAL",        # an error that ends a job is raised here
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.adaptive.enabled": "false",      # `write_features` counts the partitions
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(key, value)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)    # the error of a lost Java says it
    with quiet.suppress_startup_output():
        started = builder.getOrCreate()
    if not master.startswith("local"):
        started.sparkContext.addPyFile(_packed())
    return started


def _packed() -> str:
    """Return this package as a zip file, which workers fetch while this process lives."""
    directory, package = tempfile.mkdtemp(), Path(__file__).resolve().parents[2]
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return shutil.make_archive(str(Path(directory, package.name)), "zip", package.parent,
                               package.name)


@contextmanager
def explained_failures() -> Iterator[None]:
    """Turn failures of the block's Spark session that users can fix into sentences.

    Raises:
        LostProcess: Java or a Python worker was killed.
        TrainingError: the disk is full.
    """
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import PySparkException

    advice = "it was killed, perhaps for want of memory; give the step more memory, or run it again"
    try:
        yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        if DISK_FULL in str(error):
            raise TrainingError(
                "the disk is full under Spark's shuffle or the features: free space in the data "
                "directory, or name a directory for the shuffle in SPARK_LOCAL_DIRS (default /tmp)"
                ) from error
        if any(words in str(error) for words in LOST_WORKER):
            raise LostProcess(f"a Python worker of Spark has ended: {advice}") from error
        if isinstance(error, Py4JNetworkError | ConnectionError):
            raise LostProcess(f"the Java process of Spark has ended: {advice}") from error
        raise


def write_features(spark, table: FeatureTable, transactions: str, destination: str,
                   borders: dict[str, int], recording_since: int) -> None:
    """Compute the features of all payments and write them, one folder for each split.

    Args:
        table: the features.
        transactions: a clean Parquet file of `dataset.SCHEMA`.
        destination: a folder; its folder `split=<name>` receives the rows of a split, unordered:
            `position` and the float32 features of the table, NaN where not known.
        borders: the event_time before which each split ends, in order of time.
        recording_since: ms since the epoch: windows that begin earlier are not known.
    """
    import pyarrow.parquet as pq

    shutil.rmtree(destination, ignore_errors=True)
    rows = pq.read_metadata(transactions).num_rows
    payments = read_payments(spark, transactions, table.types)
    records = _records(payments, math.ceil(rows / PARTITION_ROWS))
    write = partial(partitions.write_features, table.types, tuple(sorted(table.left_out)),
                    recording_since, borders, destination)
    written = sum(row.rows for row in records.mapInArrow(write, "rows long").collect())
    if written != rows:
        raise RuntimeError(f"{destination}: has features of {written:,} of {rows:,} payments")


def write_all(spark, table: FeatureTable, destinations: Mapping[str, str],
              borders: dict[str, int], recording_since: int) -> None:
    """Write the features of several files at once: those of few partitions leave cores idle.

    Args:
        destinations: the folder for each file of payments; else see `write_features`.
    """
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(write_features, spark, table, transactions, destination, borders,
                            recording_since) for transactions, destination in destinations.items()]
        for job in jobs:
            job.result()


def read_payments(spark, transactions: str, types: tuple[str, ...]):
    """Read a clean Parquet file as a Spark frame, in which a type is its index in `types`."""
    from pyspark.sql import functions as F

    names = F.array(*map(F.lit, types))
    return spark.read.schema(READ).parquet(transactions).withColumn(
        "type", F.array_position(names, F.col("type")) - 1)


def with_counts(payments, number: int):
    """Return position, the columns of `fraud.features.PaymentColumns` and the counts.

    All columns are int64, except that `destination` is a bool and balances are float64, NaN where
    not known. Larger sums of cents than `LARGEST` count as this many, as in every store.

    Args:
        payments: from `read_payments`.
        number: of partitions; the result does not depend on it.
    """
    kinds = {"destination": "boolean", **dict.fromkeys(partitions.BALANCES, "double")}
    schema = ", ".join(f"{name} {kinds.get(name, 'long')}"
                       for name in ("position", *PaymentColumns._fields, *COUNT_NAMES))
    return _records(payments, number).mapInArrow(partitions.count_batches, schema)


def _records(payments, number: int):
    """Return position and `RECORD` of each account of a payment, both in one partition."""
    entries = _entries(payments).repartition(number, "account")
    return entries.mapInArrow(partitions.side_batches, "position long, record binary").repartition(
        number, "position")


def _entries(payments):
    """Return an entry for each account of a payment and, of a known fraud, one more for each.

    Those of the frauds have the time at which the label became known, and a position below 0. An
    account that pays itself has one entry, which is sent and received.
    """
    from pyspark.sql import functions as F

    to_itself = F.col("origin").eqNullSafe(F.col("destination"))
    is_known = (F.col("is_fraud") == 1) & (F.col("label_time") < EVENT_TIME_LIMIT)
    is_label, sent, both = F.col("is_label"), F.col("sent"), F.array(F.lit(True), F.lit(False))
    bit = F.crc32(F.encode(F.when(sent, F.col("destination")).otherwise(F.col("origin")), "UTF-8"))
    columns = {
        "position": F.when(is_label, -1).otherwise(F.col("position")),
        "account": F.when(sent, F.col("origin")).otherwise(F.col("destination")),
        "sent": sent,
        "received": ~sent | to_itself,
        "other": F.when(is_label | F.col("destination").isNull(), -1).otherwise(bit % SKETCH_BITS),
        **{name: F.col(name).cast("long") for name in PAYMENT_COLUMNS},
        "event_time": F.when(is_label, F.col("label_time")).otherwise(F.col("event_time")),
    }
    return (payments
            .withColumn("is_label", F.explode(both)).where(~is_label | is_known)
            .withColumn("sent", F.explode(both))
            .where(sent | (F.col("destination").isNotNull() & ~to_itself))
            .select(*(column.alias(name) for name, column in columns.items())))
