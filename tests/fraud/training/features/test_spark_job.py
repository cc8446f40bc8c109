import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from fraud import history
from fraud.clock import DAY_MS, HOUR_MS as HOUR
from fraud.features import DEFAULT
from fraud.packing import LARGEST
from fraud.training.data import dataset
from fraud.training.errors import TrainingError
from fraud.training.features import spark_job
from fraud.training.features.partitions import payment_columns
from fraud.training.java import check_java
from fraud.training.parity.recount import recounted
from fraud.transaction import EVENT_TIME_LIMIT, TYPES, Transaction
from fraud.windows import COUNT_NAMES, counts_of, known_windows

START = 1767225600000                      # 2026-01-01T00:00Z
# One character, beyond ASCII, beyond 16 bits, and long names that differ at their ends only.
NAMES = ("a", "b", " ", "M1", "\u00e9", "e\u0301", "\U0001f600", "C1234567890", "C1234567891",
         64 * "x", 63 * "x" + "y")


def payment(event_time=START, origin="a", destination="b", amount_cents=100, type="TRANSFER",
            origin_balance_cents=0, destination_balance_cents=0) -> Transaction:
    return Transaction("", event_time, type, amount_cents, origin, destination,
                       origin_balance_cents, destination_balance_cents)


def in_event_order(payments: list[Transaction]) -> list[Transaction]:
    return sorted(payments, key=lambda one: one.event_time)


def as_table(payments: list[Transaction], label_delays: dict[int, int] | None = None) -> pa.Table:
    """Payments in event order as a clean file holds them.

    Args:
        label_delays: of the frauds among them, by position: ms.
    """
    delays = label_delays or {}
    columns = {name: [getattr(one, name) for one in payments]
               for name in Transaction.__struct_fields__}
    columns["position"] = list(range(len(payments)))
    columns["is_fraud"] = [int(place in delays) for place in range(len(payments))]
    columns["label_time"] = [one.event_time + delays.get(place, DAY_MS)
                             for place, one in enumerate(payments)]
    return pa.table(columns, pa.schema([dataset.SCHEMA.field(name) for name in columns]))


def counted_one_by_one(payments: list[Transaction],
                       label_delays: dict[int, int] | None = None) -> list[list[int]]:
    """The counts of each payment by the recount oracle."""
    labels = [history.KnownFraud("", payments[place].event_time + delay, payments[place].origin,
                                 payments[place].destination)
              for place, delay in (label_delays or {}).items()]
    events = [(label.label_time, -1, label) for label in labels] + [
        (one.event_time, place, one) for place, one in enumerate(payments)]
    return list(recounted(event for *_, event in sorted(events, key=lambda event: event[:2])))


def counted_by_spark(spark, payments: list[Transaction], partitions: int,
                     label_delays: dict[int, int] | None = None) -> list[list[int]]:
    with tempfile.TemporaryDirectory() as directory:
        pq.write_table(as_table(payments, label_delays), f"{directory}/payments.parquet")
        frame = spark_job.read_payments(spark, f"{directory}/payments.parquet", TYPES)
        rows = spark_job.with_counts(frame, partitions).toArrow().sort_by("position")
    assert rows["position"].to_pylist() == list(range(len(payments)))
    for ours, expected in zip(payment_columns(rows), DEFAULT.columns(payments),
                              strict=True):
        np.testing.assert_array_equal(ours, expected)
    columns = [rows[name].to_pylist() for name in COUNT_NAMES]
    return [list(row) for row in zip(*columns, strict=True)]


# Counts.

offsets = st.sampled_from([0, 1, HOUR - 1]) | st.integers(0, HOUR - 1)
times = st.builds(lambda hour, offset: START + hour * HOUR + offset,
                  st.integers(0, 50) | st.integers(0, 40 * 24), offsets)
streams = st.lists(
    st.builds(payment, times, st.sampled_from(NAMES), st.sampled_from(NAMES),
              st.integers(0, 999) | st.just(10**14), st.sampled_from(TYPES)),
    max_size=150).map(in_event_order)


# Each example is a Spark job: few of them, each of many payments, and none spent on shrinking.
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(stream=streams, partitions=st.integers(1, 5), label_every=st.integers(1, 20),
       label_delay=st.integers(0, 10 * DAY_MS))
def test_counts_are_those_of_looking_at_every_earlier_event(spark, stream, partitions, label_every,
                                                            label_delay):
    delays = {place: label_delay for place in range(0, len(stream), label_every)}
    assert counted_by_spark(spark, stream, partitions, delays) == counted_one_by_one(
        stream, delays)


def test_counts_of_two_busy_months_are_those_of_looking_at_every_earlier_payment(spark):
    rng = np.random.default_rng(7)
    origin, destination = np.minimum(rng.geometric(0.3, (2, 1500)) - 1, len(NAMES) - 1)
    at = np.sort(rng.integers(0, 60 * 24 * HOUR // 1000, 1500)) * 1000
    stream = [payment(START + int(time), NAMES[one], NAMES[other], int(cents))
              for time, one, other, cents in zip(at, origin, destination,
                                                 rng.integers(0, 10**9, 1500), strict=True)]
    assert counted_by_spark(spark, stream, 3) == counted_one_by_one(stream)


def test_a_payment_without_a_destination_counts_for_its_origin_alone(spark):
    stream = [payment(START, "a", None, 1), payment(START, "a", "b", 20, "DEBIT", None, None),
              payment(START, "a", None, 300)]
    rows = [row_of(row) for row in counted_by_spark(spark, stream, 2)]
    assert [row["origin_sent_cents_month"] for row in rows] == [0, 1, 21]
    assert all(value == 0 for row in rows for name, value in row.items()
               if name.startswith("destination"))


def row_of(counts: list[int]) -> dict[str, int]:
    return dict(zip(COUNT_NAMES, counts, strict=True))


def test_a_label_counts_from_its_moment_on_and_never_before(spark):
    stream = [payment(START, "a", "b"), payment(START + 99, "a", "b"),
              payment(START + 100, "a", "b"), payment(START + 101, "b", "c")]
    rows = [row_of(row) for row in counted_by_spark(spark, stream, 1, {0: 100})]
    assert [row["origin_frauds_sent_month"] for row in rows] == [0, 0, 1, 0]
    assert [row["destination_frauds_received_month"] for row in rows] == [0, 0, 1, 0]
    assert rows[3]["origin_frauds_received_month"] == 1


def test_sums_beyond_the_largest_count_as_the_largest_as_in_every_store(spark):
    stream = [payment(START, "a", "b", 2**52), payment(START, "a", "b", 2**52 + 1),
              payment(START, "a", "b", 1)]
    counts = counted_by_spark(spark, stream, 2)
    assert [row_of(row)["origin_sent_cents_day"] for row in counts] == [0, 2**52, LARGEST]


def test_counts_of_a_stream_made_by_hand(spark):
    stream = [
        payment(START, "a", "b", 1),
        payment(START, "a", "b", 20),                      # a tie: earlier in order is earlier
        payment(START + HOUR, "b", "b", 300),              # to oneself: once sent, once received
        payment(START + 2 * HOUR - 1, "a", "b", 4_000),    # the hour before is in the window
        payment(START + 2 * HOUR, "b", "a", 50_000),       # the hour before that is not
        payment(START + 24 * HOUR - 1, "a", "b", 600_000),     # 24 buckets hold the first
        payment(START + 24 * HOUR, "a", "b", 7_000_000),       # and now no longer
    ]
    #  of the origin: sent (hour, day), received (hour, day); of the destination: the same
    names = [f"{side}_{direction}_{measure}_{window}" for side in ("origin", "destination")
             for direction in ("sent", "received") for window in ("hour", "day")
             for measure in ("count", "cents")]
    rows = [row_of(row) for row in counted_by_spark(spark, stream, 2)]
    assert [[row[name] for name in names] for row in rows] == [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1],
        [0, 0, 0, 0, 2, 21, 2, 21, 0, 0, 0, 0, 2, 21, 2, 21],
        [2, 21, 2, 21, 0, 0, 0, 0, 1, 300, 1, 300, 3, 321, 3, 321],
        [1, 300, 1, 300, 2, 4_300, 4, 4_321, 1, 4_000, 3, 4_021, 0, 0, 0, 0],
        [0, 0, 3, 4_021, 0, 0, 1, 50_000, 0, 0, 2, 50_300, 0, 0, 4, 4_321],
        [1, 600_000, 2, 604_000, 0, 0, 1, 50_000, 0, 0, 2, 50_300, 1, 600_000, 3, 604_300],
    ]


# Files of features.

@pytest.fixture(scope="module")
def stream() -> list[Transaction]:
    """Payments of all kinds and magnitudes, some of which take all that there is."""
    rng = np.random.default_rng(3)

    def money(most: int, negative: bool = False) -> int:
        cents = int(most * 10.0 ** -rng.uniform(0, 15))
        return -cents if negative and rng.random() < 0.3 else cents

    amounts = [money(10**14) for _ in range(1000)]
    return in_event_order([
        payment(START + int(rng.integers(0, 60 * HOUR)), *rng.choice(NAMES, 2).tolist(), amount,
                str(rng.choice(TYPES)),
                amount if rng.random() < 0.2 else money(10**15, True), money(10**15, True))
        for amount in amounts] + [payment(EVENT_TIME_LIMIT - 1, amount_cents=0)])


@pytest.fixture(scope="module")
def borders(stream) -> dict[str, int]:
    """Two borders are the times of payments: a split ends before its border."""
    return {"train": stream[400].event_time, "early": stream[700].event_time,
            "late": stream[900].event_time + 1, "test": EVENT_TIME_LIMIT}


@pytest.fixture
def written(spark, stream, borders, tmp_path):
    """Writes the features of the payments; gives what the folder of each split holds."""
    transactions = str(tmp_path / "transactions.parquet")
    pq.write_table(as_table(stream), transactions)

    def written(recording_since: int = 0) -> dict[str, pa.Table]:
        spark_job.write_features(spark, DEFAULT, transactions, str(tmp_path / "features"),
                                 borders, recording_since)
        return {folder.name: pq.read_table(folder, partitioning=None).sort_by("position")
                for folder in (tmp_path / "features").iterdir() if folder.is_dir()}

    return written


def test_a_split_holds_what_comes_before_its_border(written, stream):
    splits = written()
    places = {name: table["position"].to_pylist() for name, table in splits.items()}
    border = next(place for place, one in enumerate(stream)
                  if one.event_time > stream[900].event_time)
    assert places == {
        "split=train": list(range(400)), "split=early": list(range(400, 700)),
        "split=late": list(range(700, border)), "split=test": list(range(border, len(stream)))}


def test_features_have_the_bits_that_serving_computes_for_each_payment(
        spark, written, stream, monkeypatch):
    monkeypatch.setattr(spark_job, "PARTITION_ROWS", 300)
    size = "spark.sql.execution.arrow.maxRecordsPerBatch"
    many = spark.conf.get(size)
    spark.conf.set(size, "64")
    table = pa.concat_tables(written().values()).sort_by("position")
    spark.conf.set(size, many)
    assert table.schema.names == ["position", *DEFAULT.names]
    assert set(table.schema.types[1:]) == {pa.float32()}
    matrix = np.column_stack([table[name].to_numpy() for name in DEFAULT.names])
    one_by_one = np.concatenate([
        DEFAULT.vector(one, counts_of(counts))
        for one, counts in zip(stream, counted_one_by_one(stream), strict=True)])
    np.testing.assert_array_equal(matrix.view(np.uint32), one_by_one.view(np.uint32))


def test_windows_from_before_the_recording_are_not_known(written, stream):
    since = stream[0].event_time
    table = pa.concat_tables(written(since).values()).sort_by("position")
    week = table["origin_sent_count_week"].to_numpy()
    known = known_windows(since, np.array([one.event_time for one in stream]))
    assert set(known) == {0, 1, 2, 4}
    np.testing.assert_array_equal(np.isnan(week), known < 3)
    np.testing.assert_array_equal(np.isnan(table["origin_sent_count_day"].to_numpy()), known < 2)


def test_the_number_of_partitions_follows_the_rows_and_changes_nothing(
        written, tmp_path, monkeypatch):
    def files() -> int:
        return len(list((tmp_path / "features" / "split=train").glob("*.parquet")))

    whole = written()
    assert files() == 1
    monkeypatch.setattr(spark_job, "PARTITION_ROWS", 150)
    parts = written()          # over what was there before
    assert files() == 7        # 1,001 rows
    assert parts == whole


def test_files_that_are_written_at_once_hold_what_each_alone_holds(
        spark, stream, borders, written, tmp_path):
    alone = written()
    files = {"first": stream, "second": stream[:300]}
    for name, payments in files.items():
        pq.write_table(as_table(payments), tmp_path / f"{name}.parquet")
    spark_job.write_all(spark, DEFAULT, {
        str(tmp_path / f"{name}.parquet"): str(tmp_path / name) for name in files}, borders, 0)
    first, second = (pq.read_table(tmp_path / name / "split=train", partitioning=None)
                     .sort_by("position") for name in files)
    assert first == alone["split=train"]
    assert second == first.slice(0, 300)


# Java.

@pytest.fixture
def java(monkeypatch, tmp_path):
    """Puts a `java` alone on the PATH that answers every call with these lines."""
    def java(said: str, home: bool = False) -> Path:
        path = tmp_path / "bin" / "java"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\nwhile read line; do echo \"$line\" >&2; done <<'END'\n"
                        f"{said}\nEND\nexit 1\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent))
        if home:
            monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        return path

    monkeypatch.delenv("JAVA_HOME", raising=False)
    return java


def refusal() -> str:
    with pytest.raises(TrainingError) as caught:
        spark_job.session()
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith("; install it: apt-get install default-jre-headless")
    return message


def test_without_java_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refusal().startswith("Java is missing and Spark needs 17 or newer;")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert refusal().startswith("Java is missing and Spark needs 17 or newer;")


@pytest.mark.parametrize("home", [False, True])
@pytest.mark.parametrize("version", [
    'java version "1.8.0_392"', 'openjdk version "11.0.2" 2019-01-15',
    'openjdk version "16-ea" 2021-03-16'])
def test_a_java_that_is_too_old_is_named(java, version, home):
    path = java(f"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\n{version}\nOpenJDK Runtime", home)
    assert refusal().startswith(f"{path} is {version}; Spark needs Java 17 or newer;")


@pytest.mark.parametrize("said", ["", "no version here"])
def test_what_is_no_java_is_named(java, said):
    path = java(said)
    assert refusal().startswith(f"{path} is not Java; Spark needs Java 17 or newer;")


@pytest.mark.parametrize("version", [
    'openjdk version "17" 2021-09-14', 'openjdk version "17.0.15" 2025-04-15',
    'java version "21.0.1" 2023-10-17 LTS', 'openjdk version "25-ea"'])
def test_a_java_that_is_new_enough_is_good(java, version):
    java(version)
    check_java()


# What Spark says.

RUN = """
import sys
from fraud.features import DEFAULT
from fraud.training.features import spark_job
from fraud.training.features.partitions import payment_columns
if __name__ == "__main__":
    with spark_job.session("local[2]") as spark:
        spark_job.write_features(spark, DEFAULT, *sys.argv[1:], {"train": 1800000000000}, 0)
"""


def run(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True,
                          text=True, check=False, env={**os.environ, **environment})


def test_spark_says_nothing(stream, tmp_path):
    transactions = str(tmp_path / "transactions.parquet")
    pq.write_table(as_table(stream[:10]), transactions)
    result = run(RUN, transactions, str(tmp_path / "features"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert pq.read_table(tmp_path / "features" / "split=train").num_rows == 10


def test_what_keeps_spark_from_starting_is_said(tmp_path, java):
    java('openjdk version "17.0.15"\nError: Could not create the Java Virtual Machine.')
    result = run(RUN, PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert result.returncode == 1 and result.stdout == ""
    assert "Error: Could not create the Java Virtual Machine.\n" in result.stderr
