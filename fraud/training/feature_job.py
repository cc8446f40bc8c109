"""Features of a whole history of payments, computed by Spark and written as Parquet.

Counts come from Spark's windows over hourly buckets, features from `fraud.features` on Arrow
batches: the definition that serving uses. Runs unchanged on `local[*]` and on a cluster.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator

from fraud import features, history
from fraud.training.errors import TrainingError

JAVA_NEEDED = 17
SPLIT = "split"


def session(master: str = "local[*]"):
    """A Spark session that is quiet and needs no network of its own.

    Raises:
        TrainingError: no Java, or one older than Spark needs.
    """
    check_java()
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_HOSTNAME", "localhost")
    builder = SparkSession.builder.master(master).appName("fraud-features")
    for key, value in {
        "spark.driver.memory": "4g",
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "100000",
        "spark.sql.parquet.compression.codec": "lz4_raw",
        "spark.sql.session.timeZone": "UTC",
    }.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def check_java() -> None:
    """Raises TrainingError where Spark would not find a Java that is new enough."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    install = f"install it: apt-get install openjdk-{JAVA_NEEDED}-jre-headless"
    if not java or not shutil.which(java):
        raise TrainingError(f"Java is missing and Spark needs {JAVA_NEEDED} or newer; {install}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if not version or int(version[1]) < JAVA_NEEDED:
        raise TrainingError(f"{java} is {said.splitlines()[0] if said else 'not a Java'}; "
                            f"Spark needs Java {JAVA_NEEDED} or newer; {install}")


def write_features(spark, transactions: str, destination: str, borders: dict[str, int]) -> None:
    """Compute the features of every payment and write them, one folder a split.

    Args:
        transactions: a clean Parquet file of `dataset.SCHEMA`.
        destination: a folder; in `split=<name>` of it the rows of that split, in no order:
            `position` and the float32 features of `fraud.features.NAMES`.
        borders: name of each split, in order of time, and the event_time before which it ends.
    """
    from pyspark.sql import functions as F

    counted = with_counts(spark.read.parquet(transactions))
    schema = ", ".join(["position long", "event_time long"]
                       + [f"{name} float" for name in features.NAMES])
    split = F.lit(None)
    for name, end in reversed(borders.items()):
        split = F.when(F.col("event_time") < end, name).otherwise(split)
    (counted.mapInArrow(_feature_batches, schema)
            .withColumn(SPLIT, split).drop("event_time")
            .write.partitionBy(SPLIT).mode("overwrite").parquet(destination))


def with_counts(payments):
    """Position, the columns of `fraud.features.Payments` and the sixteen counts, all int64.

    Every payment touches two accounts. Within an account, in order of position, `before` holds the
    sums of all earlier touches; what a window holds is `before` less the `before` of the first
    touch in the window's first bucket. A payment to oneself is two touches of one position, and
    neither counts for the other.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    account = Window.partitionBy("account")
    earlier = account.orderBy("position").rangeBetween(Window.unboundedPreceding, -1)
    before = _touches(payments).select(
        "position", "is_origin", "account", "bucket",
        *(F.coalesce(F.sum(name).over(earlier), F.lit(0)).alias(name) for name in _SUMS))
    buckets = account.orderBy("bucket")
    first = {window: F.min(F.struct(*_SUMS)).over(buckets.rangeBetween(1 - length, 0))
             for window, length in _WINDOWS.items()}
    counted = before.select("*", *(value.alias(window) for window, value in first.items()))
    inside = {name: F.col(sum_) - F.col(f"{window}.{sum_}")
              for name, (sum_, window) in _INSIDE.items()}
    counts = counted.groupBy("position").agg(*(
        F.sum(F.when(F.col("is_origin") == is_origin, value).otherwise(0)).alias(f"{side}_{name}")
        for side, is_origin in (("origin", True), ("destination", False))
        for name, value in inside.items()))
    columns = [F.col(name).cast("long") for name in features.Payments._fields]
    return payments.select("position", *columns).join(counts, "position")


_SUMS = ("sent_count", "sent_cents", "received_count", "received_cents")
_WINDOWS = {"hour": history.HOUR_BUCKETS, "day": history.DAY_BUCKETS}
_INSIDE = {f"{direction}_{measure}_{window}": (f"{direction}_{measure}", window)
           for direction in ("sent", "received") for window in _WINDOWS
           for measure in ("count", "cents")}


def _touches(payments):
    """Two rows a payment, one for each of its accounts, with what it adds to that account's sums."""
    from pyspark.sql import functions as F

    bucket = F.floor(F.col("event_time") / history.BUCKET_MS).alias("bucket")
    one, none = F.lit(1).cast("long"), F.lit(0).cast("long")

    def side(account: str, is_origin: bool):
        added = (one, F.col("amount_cents"))
        values = (*added, none, none) if is_origin else (none, none, *added)
        return payments.select(
            "position", F.lit(is_origin).alias("is_origin"), F.col(account).alias("account"),
            bucket, *(value.alias(name) for value, name in zip(values, _SUMS)))

    return side("origin", True).unionAll(side("destination", False))


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
