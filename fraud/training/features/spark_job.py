"""The feature job: features of a whole history of payments, computed in Spark.

Spark brings what belongs to an account together, then what belongs to a payment. Between the two,
`account_windows` counts, and `fraud.features` has the definition of serving; both work on Arrow
batches. It runs unchanged on `local[*]` and on a cluster.
"""

from __future__ import annotations

import atexit
import math
import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from fraud.features import FeatureTable, PaymentColumns
from fraud.training import quiet
from fraud.training.features import partitions
from fraud.training.features.partitions import BATCH_ROWS, PAYMENT_COLUMNS
from fraud.training.java import check_java
from fraud.transaction import EVENT_TIME_LIMIT
from fraud.windows import COUNT_NAMES, SIDE_NAMES, SKETCH_BITS

SPLIT = "split"
PARTITION_ROWS = 250_000       # payments whose entries a core sorts in memory
READ = ("position long, event_time long, type string, amount_cents long, origin string, "
        "destination string, origin_balance_cents long, destination_balance_cents long, "
        "is_fraud byte, label_time long")
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
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.adaptive.enabled": "false",      # `write_features` counts the partitions
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
        "spark.sql.maxConcurrentOutputFileWriters": "8",        # splits need no sort
        "spark.sql.parquet.compression.codec": "lz4_raw",
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(key, value)
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
    from pyspark.sql import functions as F

    schema = ", ".join(["position long", "event_time long"]
                       + [f"{name} float" for name in table.names])
    split = F.lit(None)
    for name, end in reversed(borders.items()):
        split = F.when(F.col("event_time") < end, name).otherwise(split)
    batches = partial(partitions.feature_batches, table.types, tuple(sorted(table.left_out)),
                      recording_since)
    payments = read_payments(spark, transactions, table.types)
    sides = _with_side_counts(payments, _partitions(transactions))
    (sides.mapInArrow(batches, schema)
     .withColumn(SPLIT, split).drop("event_time")
     .write.partitionBy(SPLIT).mode("overwrite").parquet(destination))


def _partitions(transactions: str) -> int:
    import pyarrow.parquet as pq

    return math.ceil(pq.read_metadata(transactions).num_rows / PARTITION_ROWS)


def read_payments(spark, transactions: str, types: tuple[str, ...]):
    """Read a clean Parquet file as a Spark frame, in which a type is its index in `types`."""
    from pyspark.sql import functions as F

    names = F.array(*map(F.lit, types))
    return spark.read.schema(READ).parquet(transactions).withColumn(
        "type", F.array_position(names, F.col("type")) - 1)


def with_counts(payments, number: int):
    """Return position, the columns of `fraud.features.PaymentColumns` and the counts.

    All columns are int64, except that `destination` is a bool. Balances are null where not known.
    Larger sums of cents than `LARGEST` count as this many, as in every store.

    Args:
        payments: from `read_payments`.
        number: of partitions; the result does not depend on it.
    """
    kinds = {"destination": "boolean"}
    schema = ", ".join(f"{name} {kinds.get(name, 'long')}"
                       for name in ("position", *PaymentColumns._fields, *COUNT_NAMES))
    return _with_side_counts(payments, number).mapInArrow(partitions.count_batches, schema)


def _with_side_counts(payments, number: int):
    """Return an entry for each account of a payment, both in one partition, with its history."""
    entries = _entries(payments).repartition(number, "account")
    schema = ", ".join(["position long", "is_origin boolean", "received boolean",
                        *(f"{name} long" for name in PAYMENT_COLUMNS),
                        *(f"{name} long" for name in SIDE_NAMES)])
    return entries.mapInArrow(partitions.side_batches, schema).repartition(number, "position")


def _entries(payments):
    """Return an entry for each account of a payment and, of a known fraud, one more for each.

    Those of the frauds have the time at which the label became known, and a position below 0. An
    account that pays itself has one entry, which is sent and received.
    """
    from pyspark.sql import functions as F

    to_itself = F.col("origin").eqNullSafe(F.col("destination"))

    def entries(rows, account: str, other: str, sent, received):
        bit = F.crc32(F.encode(other, "UTF-8")) % SKETCH_BITS
        return rows.select(
            "position", F.col(account).alias("account"), F.col("event_time").alias("time"),
            F.lit(sent).alias("sent"), F.lit(received).alias("received"),
            F.coalesce(bit, F.lit(-1)).alias("other"),
            *(F.col(name).cast("long").alias(name) for name in PAYMENT_COLUMNS))

    def both_sides(rows):
        others = rows.where(F.col("destination").isNotNull() & ~to_itself)
        return entries(rows, "origin", "destination", True, to_itself).unionAll(
            entries(others, "destination", "origin", False, True))

    is_known = (F.col("is_fraud") == 1) & (F.col("label_time") < EVENT_TIME_LIMIT)
    known_frauds = payments.where(is_known)
    labels = known_frauds.withColumn("event_time", F.col("label_time")).withColumn(
        "position", F.lit(-1).cast("long"))
    return both_sides(payments).unionAll(both_sides(labels).withColumn("other", F.lit(-1)))
