import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.features import DEFAULT
from fraud.training.data.dataset import prepare
from fraud.training.data.validation import NOT_KNOWN
from fraud.training.features import spark_job
from fraud.training.leakage import point_in_time
from fraud.training.leakage.point_in_time import (
    KNOWN, changed_rows, comparable, point_in_time_copy, read_features)
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
            "label_time": START + number * HOUR // each + number % 7,
            "balance_after": number * 1.5}
        pq.write_table(pa.table(columns), tmp_path / "payments.parquet")
        return str(tmp_path / "payments.parquet")

    return write


def test_the_last_payments_before_a_time_are_written_and_what_came_later_is_not(write, tmp_path):
    path = write(hours=100, each=10)
    made = point_in_time_copy(path, START + 80 * HOUR, 100,
                              tmp_path / "out/perturbed.parquet", seed=7)
    assert (made.first, made.end) == (319, 800)           # two days are more than 100 rows
    positions = pq.read_table(made.transactions)["position"].to_pylist()
    assert positions == sorted(set(positions)) and set(positions) < set(range(319, 800))
    assert 0.01 < 1 - len(positions) / 481 < 0.15          # one in thirty is deleted


@pytest.mark.parametrize(("rows", "first"), [(600, 200), (10_000, 0)])
def test_rows_are_a_minimum(write, tmp_path, rows, first):
    made = point_in_time_copy(write(100, 10), START + 80 * HOUR, rows,
                              tmp_path / "perturbed.parquet", seed=7)
    assert made.first == first
    original = pq.read_table(made.original)
    assert original["position"].to_pylist() == list(range(first, 800))


def test_labels_and_columns_from_after_the_event_are_dealt_out_and_the_rest_stays(
        write, tmp_path, monkeypatch):
    monkeypatch.setattr(point_in_time, "MOST_DELETED", 0.0)
    path = write(100, 10)
    made = point_in_time_copy(path, START + 100 * HOUR, 1_000,
                              tmp_path / "perturbed.parquet", seed=7)
    before, after = (pq.read_table(name).to_pandas() for name in (path, made.transactions))
    assert (after.dtypes == before.dtypes).all()
    for frame in (before, after):       # a label is known as long after its payment as before
        frame["label_time"] -= frame["event_time"]
    for name in before.columns:
        assert before[name].equals(after[name]) == (name in KNOWN), name
        assert sorted(before[name]) == sorted(after[name])
    together = ["is_fraud", "label_time", "balance_after"]
    assert set(after[together].itertuples(index=False)) == set(
        before[together].itertuples(index=False))


def test_a_payment_without_a_label_gives_its_lack_away_and_no_time(write, tmp_path):
    path = write(100, 10)
    table = pq.read_table(path).to_pandas()
    table.loc[::3, "label_time"] = NOT_KNOWN
    table.to_parquet(path)
    made = point_in_time_copy(path, START + 100 * HOUR, 1_000, tmp_path / "copy.parquet", seed=7)
    copied = pq.read_table(made.transactions).to_pandas()
    labelled = copied["label_time"] != NOT_KNOWN
    assert 0.2 < 1 - labelled.mean() < 0.5
    assert (copied["label_time"] - copied["event_time"])[labelled].between(0, 6).all()


def test_busy_accounts_lose_a_smaller_share_of_their_payments(tmp_path):
    """Some hundred payments an hour of one account, and one payment of each of the others."""
    number = np.arange(20_000)
    busy = number % 2 == 0
    table = pa.table({name: number for name in KNOWN} | {
        "event_time": START + number * HOUR // 200, "is_fraud": number * 0,
        "label_time": START + number * HOUR // 200,
        "origin": np.where(busy, "busy", number.astype(str)), "destination": [None] * 20_000})
    pq.write_table(table, tmp_path / "payments.parquet")
    made = point_in_time_copy(str(tmp_path / "payments.parquet"), START + 100 * HOUR, 20_000,
                              tmp_path / "copy.parquet", seed=7)
    deleted = ~np.isin(number, pq.read_table(made.transactions)["position"].to_numpy())
    assert deleted[busy].sum() < 4              # half a payment a month
    assert 0.08 < deleted[~busy].mean() < 0.12
    assert comparable(made)[busy].mean() > 0.2


@pytest.mark.parametrize(("deleted", "relabelled", "same"), [
    ([], [], [0, 1, 2, 3, 4, 5]),
    ([1], [], [0, 4, 5]),           # 2 and 3 have its origin, or its destination, in the month
    ([3], [], [0, 1, 2, 4, 5]),     # of the accounts of 3 nobody pays later
    ([], [0], [0, 1, 2, 3]),        # its label is known when 4 and 5 happen
])
def test_rows_are_comparable_where_nothing_that_was_known_before_differs(
        tmp_path, deleted, relabelled, same):
    hours = np.array([0, 1, 2, 29 * 24 + 23, 30 * 24, 60 * 24])
    table = pd.DataFrame({
        "position": np.arange(6), "event_time": START + hours * HOUR,
        "origin": ["a", "b", "b", "d", "a", "x"], "destination": ["x", "c", "a", "c", None, "b"],
        "is_fraud": [1, 0, 0, 0, 0, 0], "label_time": START + (hours + 30 * 24) * HOUR})
    table.to_parquet(tmp_path / "payments.parquet")
    copied = table[~table["position"].isin(deleted)].copy()
    copied.loc[copied["position"].isin(relabelled), "is_fraud"] = 0
    copied.to_parquet(tmp_path / "copy.parquet")
    made = point_in_time.PointInTimeCopy(
        str(tmp_path / "copy.parquet"), str(tmp_path / "payments.parquet"), 0, 6)
    mask = comparable(made)
    assert np.flatnonzero(mask).tolist() == [row for row in same if row not in deleted]


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
    everything = np.ones(4, bool)
    assert changed_rows(before, after, everything) == {"x": 2}
    assert changed_rows(before, after, np.arange(4) >= 1) == {"x": 1}
    assert changed_rows(before, after.slice(1), np.arange(4) >= 1) == {"x": 1}   # without a row
    assert changed_rows(before, before, everything) == {}
    assert changed_rows(before, pa.table({**before.to_pydict(), "y": -values}), everything)[
        "y"] == 3


def test_features_of_payments_know_nothing_of_what_comes_later(tmp_path, spark):
    simulator.write(simulator.simulate(20_000, seed=3), tmp_path / "simulated.parquet")
    prepared = prepare(str(tmp_path / "simulated.parquet"), tmp_path / "clean")
    half = (prepared.first_time + prepared.last_time) // 2
    made = point_in_time_copy(prepared.transactions, half, 5_000,
                              tmp_path / "perturbed.parquet", seed=7)
    for path, folder in ((made.original, "all"), (made.transactions, "perturbed")):
        spark_job.write_features(spark, DEFAULT, path, str(tmp_path / folder), {"all": START * 2},
                                 0)
    before, after = (read_features(str(tmp_path / folder), made.first, made.end)
                     for folder in ("all", "perturbed"))
    compared = comparable(made)
    assert compared.sum() > 1_000
    assert changed_rows(before, after, compared) == {}
    # In other rows that are in both files something is missing: there the comparison fails.
    present = np.isin(before["position"].to_numpy(), after["position"].to_numpy())
    assert changed_rows(before, after, present)


def test_a_label_that_counts_a_millisecond_early_is_found(tmp_path, spark):
    simulator.write(simulator.simulate(20_000, seed=3), tmp_path / "simulated.parquet")
    prepared = prepare(str(tmp_path / "simulated.parquet"), tmp_path / "clean")
    table = pq.read_table(prepared.transactions).to_pandas()
    # Each fraud becomes known a millisecond after the next payment of its origin.
    following = table.groupby("origin")["event_time"].shift(-1)
    table["is_fraud"] = ((table["position"] % 5 == 0) & following.notna()).astype(np.int8)
    table["label_time"] = (following.fillna(table["event_time"]) + 1).astype(np.int64)
    table.to_parquet(prepared.transactions)
    made = point_in_time_copy(prepared.transactions, prepared.last_time, 20_000,
                              tmp_path / "perturbed.parquet", seed=7)
    compared = comparable(made)

    def changed(early: int) -> dict[str, int]:
        """Compare features for which labels count so many ms too early."""
        for path, folder in ((made.original, "all"), (made.transactions, "perturbed")):
            payments = pq.read_table(path).to_pandas()
            payments["label_time"] -= early
            payments.to_parquet(tmp_path / "early.parquet")
            spark_job.write_features(spark, DEFAULT, str(tmp_path / "early.parquet"),
                                     str(tmp_path / folder), {"all": START * 2}, 0)
        return changed_rows(*(read_features(str(tmp_path / folder), made.first, made.end)
                              for folder in ("all", "perturbed")), compared)

    assert changed(0) == {}
    assert changed(1)["origin_frauds_sent_month"] > 10
