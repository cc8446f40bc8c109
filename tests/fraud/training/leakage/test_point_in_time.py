import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.features import DEFAULT
from fraud.training.data.dataset import prepare
from fraud.training.features import spark_job
from fraud.training.leakage import point_in_time
from fraud.training.leakage.point_in_time import (
    KNOWN, changed_rows, point_in_time_copy, read_features)
from fraud.training.simulate import simulator

HOUR = 3_600_000
START = simulator.START


@pytest.fixture
def write(tmp_path):
    """Writes so many payments an hour for some hours, with a column from after the event."""
    def write(hours: int, each: int) -> str:
        number = np.arange(hours * each)
        columns = {name: number for name in KNOWN} | {
            "event_time": START + number * HOUR // each,
            "transaction_id": number.astype(str), "origin": number.astype(str),
            "destination": number.astype(str), "is_fraud": (number % 10 == 0).astype(np.int8),
            "balance_after": number * 1.5}
        pq.write_table(pa.table(columns), tmp_path / "payments.parquet")
        return str(tmp_path / "payments.parquet")

    return write


def test_the_last_payments_before_a_time_are_written_and_what_came_later_is_not(write, tmp_path):
    path = write(hours=100, each=10)
    made = point_in_time_copy(path, START + 80 * HOUR, 100,
                              tmp_path / "out/perturbed.parquet", seed=7)
    assert (made.first, made.end) == (31 * 10, 800)       # two days are more than 100 rows
    assert made.compared == 55 * 10                        # a whole day after the first
    assert pq.read_table(made.transactions)["position"].to_pylist() == list(range(310, 800))


@pytest.mark.parametrize(("rows", "first"), [(600, 200), (10_000, 0)])
def test_rows_are_a_minimum(write, tmp_path, rows, first):
    made = point_in_time_copy(write(100, 10), START + 80 * HOUR, rows,
                              tmp_path / "perturbed.parquet", seed=7)
    assert made.first == first
    assert made.compared == (first + 240 if first else 0)     # nothing came before the very first


def test_labels_and_columns_from_after_the_event_are_dealt_out_and_the_rest_stays(write, tmp_path):
    path = write(100, 10)
    made = point_in_time_copy(path, START + 100 * HOUR, 1_000,
                              tmp_path / "perturbed.parquet", seed=7)
    before, after = pq.read_table(path), pq.read_table(made.transactions)
    assert after.schema == before.schema
    for name in before.column_names:
        same = before[name].equals(after[name])
        assert same == (name in KNOWN), name
        assert sorted(before[name].to_pylist()) == sorted(after[name].to_pylist())


def test_features_are_read_in_order_of_position(tmp_path):
    for part, positions in enumerate(([5, 1, 4], [0, 3, 2])):
        pq.write_table(pa.table({"position": positions, "x": np.array(positions, np.float32) * 2}),
                       tmp_path / f"part-{part}.parquet")
    table = read_features(str(tmp_path), 1, 5)
    assert table.to_pydict() == {"position": [1, 2, 3, 4], "x": [2.0, 4.0, 6.0, 8.0]}


def test_one_bit_is_a_change_and_only_in_rows_that_are_compared():
    values = np.array([0.1, 0.2, np.nan, 0.4], np.float32)
    other = values.copy()
    other[[0, 3]] = np.nextafter(values[[0, 3]], np.float32(1))
    before, after = (pa.table({"position": range(4), "x": one, "y": values})
                     for one in (values, other))
    assert changed_rows(before, after, 0) == {"x": 2}
    assert changed_rows(before, after, 1) == {"x": 1}
    assert changed_rows(before, before, 0) == {}
    assert changed_rows(before, pa.table({**before.to_pydict(), "y": -values}), 0)["y"] == 3


def test_features_of_payments_know_nothing_of_what_comes_later(tmp_path, spark):
    simulator.write(simulator.simulate(20_000, seed=3), tmp_path / "simulated.parquet")
    prepared = prepare(str(tmp_path / "simulated.parquet"), tmp_path / "clean")
    half = (prepared.first_time + prepared.last_time) // 2
    made = point_in_time_copy(prepared.transactions, half, 5_000,
                              tmp_path / "perturbed.parquet", seed=7)
    for path, folder in ((prepared.transactions, "all"), (made.transactions, "perturbed")):
        spark_job.write_features(spark, DEFAULT, path, str(tmp_path / folder), {"all": START * 2})
    before, after = (read_features(str(tmp_path / folder), made.first, made.end)
                     for folder in ("all", "perturbed"))
    assert made.end - made.compared > 3_000
    assert changed_rows(before, after, made.compared) == {}
    # Of the first day in the file a part is missing, so that there the comparison could fail.
    assert point_in_time.changed_rows(before, after, made.first)
