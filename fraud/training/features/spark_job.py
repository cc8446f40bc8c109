"""The feature job: features of a whole history of payments, computed in Spark.

Counts come from Spark's windows over hourly buckets, features from `fraud.features` on Arrow
batches, with the definition of serving. It runs unchanged on `local[*]` and on a cluster.
"""

from __future__ import annotations

import atexit
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from fraud import history
from fraud.features import FeatureTable, PaymentColumns
from fraud.packing import LARGEST
from fraud.training import quiet
from fraud.training.java import check_java

SPLIT = "split"
PARTITION_ROWS = 250_000       # payments whose entries a core sorts in memory
READ = ("position long, event_time long, type string, amount_cents long, origin string, "
        "destination string, origin_balance_cents long, destination_balance_cents long")
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
        "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
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
                   borders: dict[str, int]) -> None:
    """Compute the features of all payments and write them, one folder for each split.

    Args:
        table: the features.
        transactions: a clean Parquet file of `dataset.SCHEMA`.
        destination: a folder; its folder `split=<name>` receives the rows of a split, unordered:
            `position` and the float32 features of the table, NaN where not known.
        borders: the event_time before which each split ends, in order of time.
    """
    import pyarrow.parquet as pq
    from pyspark.sql import functions as F

    payments = read_payments(spark, transactions, table.types)
    partitions = math.ceil(pq.read_metadata(transactions).num_rows / PARTITION_ROWS)
    schema = ", ".join(["position long", "event_time long"]
                       + [f"{name} float" for name in table.names])
    split = F.lit(None)
    for name, end in reversed(borders.items()):
        split = F.when(F.col("event_time") < end, name).otherwise(split)
    batches = partial(_feature_batches, table.types, tuple(sorted(table.left_out)))
    (with_counts(payments, partitions, sum_type(transactions)).mapInArrow(batches, schema)
     .withColumn(SPLIT, split).drop("event_time")
     .write.partitionBy(SPLIT).mode("overwrite").parquet(destination))


def read_payments(spark, transactions: str, types: tuple[str, ...]):
    """Read a clean Parquet file as a Spark frame, in which a type is its index in `types`."""
    from pyspark.sql import functions as F

    names = F.array(*map(F.lit, types))
    return spark.read.schema(READ).parquet(transactions).withColumn(
        "type", F.array_position(names, F.col("type")) - 1)


def sum_type(transactions: str) -> str:
    """Return Spark's type for sums of the amounts of a clean Parquet file, which never overflows.

    Windows on decimals take twice as long, so they are used only where int64 might be too small.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(transactions)
    column = file.schema_arrow.names.index("amount_cents")
    groups = [file.metadata.row_group(number).column(column).statistics
              for number in range(file.metadata.num_row_groups)]
    largest = max((group.max for group in groups if group and group.has_min_max), default=0)
    return "long" if largest * file.metadata.num_rows <= LARGEST else "decimal(38,0)"


def with_counts(payments, partitions: int, sum_type: str = "long"):
    """Return position, the columns of `fraud.features.PaymentColumns` and the sixteen counts.

    Every payment makes a ledger entry for its origin and one for its destination, or one for an
    account that is both. A window holds the total of an account's earlier entries, minus the total
    of the entries from before the window. Both totals run from the account's first entry, so the
    time is linear in its entries. All columns are int64, except that `destination` is a bool.
    Balances are null where not known.

    Args:
        payments: from `read_payments`.
        partitions: the number of partitions; the result does not depend on it.
        sum_type: see `sum_type`; sums beyond int64 count as `LARGEST`, as in every store.
    """
    entries = _ledger_entries(payments, sum_type).repartition(partitions, "account")
    with_earlier = _with_earlier_totals(entries)
    with_windows = _with_window_totals(with_earlier)
    # Only this shuffle brings the two entries of a payment together: aggregate after it.
    return _counts_of_payments(with_windows.repartition(partitions, "position"))


WINDOWS = {"hour": history.HOUR_BUCKETS, "day": history.DAY_BUCKETS}
DIRECTIONS = {"origin": "sent", "destination": "received"}     # of the entry of each side
MEASURES = ("count", "cents")
TOTALS = tuple(f"{direction}_{measure}" for direction in DIRECTIONS.values()
               for measure in MEASURES)


def _ledger_entries(payments, sum_type: str):
    """Return an entry for each account of a payment, with flags `sent` and `received`."""
    from pyspark.sql import functions as F

    columns = [F.col(name).cast("long").alias(name) for name in PaymentColumns._fields
               if name != "destination"]
    columns.append(F.col("destination").isNotNull().alias("destination"))
    bucket = F.expr(f"event_time div {history.BUCKET_MS}").alias("bucket")
    to_itself = F.col("origin").eqNullSafe(F.col("destination"))

    def entries(payments, account: str, sent, received):
        return payments.select("position", F.col(account).alias("account"), bucket, *columns,
                               F.col("amount_cents").cast(sum_type).alias("cents"),
                               F.lit(sent).cast("long").alias("sent"),
                               F.lit(received).cast("long").alias("received"))

    return entries(payments, "origin", 1, to_itself).unionAll(
        entries(payments.where(F.col("destination").isNotNull() & ~to_itself),
                "destination", 0, 1))


def _with_earlier_totals(entries):
    """Add, as `TOTALS`, the totals of an account's entries before each entry."""
    from pyspark.sql import Window, functions as F

    earlier = (Window.partitionBy("account").orderBy("bucket", "position")
               .rowsBetween(Window.unboundedPreceding, -1))
    amounts = {"count": F.lit(1), "cents": F.col("cents")}
    totals = [_total(F.col(direction) * amounts[measure], earlier).alias(f"{direction}_{measure}")
              for direction in DIRECTIONS.values() for measure in MEASURES]
    return entries.select("*", *totals)


def _with_window_totals(with_earlier):
    """Add the totals within each window: those earlier, minus those before the window."""
    from pyspark.sql import Window, functions as F

    account = Window.partitionBy("account").orderBy("bucket")
    amounts = {"count": F.lit(1), "cents": F.col("cents")}
    inside = []
    for direction in DIRECTIONS.values():
        for measure in MEASURES:
            for window, buckets in WINDOWS.items():
                before = account.rangeBetween(Window.unboundedPreceding, -buckets)
                older = _total(F.col(direction) * amounts[measure], before)
                name = f"{direction}_{measure}"
                inside.append((F.col(name) - older).alias(f"{name}_{window}"))
    return with_earlier.select("*", *inside)


def _counts_of_payments(entries):
    """Bring the entries of each payment into one row."""
    from pyspark.sql import functions as F

    counts = [F.least(F.coalesce(F.max(F.when(F.col(direction) == 1, F.col(f"{total}_{window}"))),
                                 F.lit(0)), F.lit(LARGEST))
              .cast("long").alias(f"{side}_{total}_{window}")
              for side, direction in DIRECTIONS.items() for total in TOTALS for window in WINDOWS]
    return entries.groupBy("position", *PaymentColumns._fields).agg(*counts)


def _total(value, window):
    from pyspark.sql import functions as F

    return F.coalesce(F.sum(value).over(window), F.lit(0))


def payment_columns(counted) -> PaymentColumns:
    """Return the columns that features need of an Arrow batch or table from `with_counts`."""
    import pyarrow as pa

    kinds = {"destination": pa.bool_(), "origin_balance_cents": pa.float64(),
             "destination_balance_cents": pa.float64()}
    columns = (counted[name].cast(kinds.get(name, pa.int64())) for name in PaymentColumns._fields)
    return PaymentColumns(*(column.to_numpy(zero_copy_only=False) for column in columns))


def _feature_batches(types: tuple[str, ...], left_out: tuple[str, ...],
                     batches: Iterable) -> Iterator:
    """Turn Arrow batches of `with_counts` into batches of features, in Spark's workers."""
    import pyarrow as pa

    table = FeatureTable(types, left_out)
    for batch in batches:
        counts = history.counts_of([batch[name].to_numpy() for name in history.NAMES])
        matrix = table.matrix(payment_columns(batch), counts)
        yield pa.RecordBatch.from_arrays(
            [batch["position"], batch["event_time"], *(pa.array(column) for column in matrix.T)],
            names=["position", "event_time", *table.names])
