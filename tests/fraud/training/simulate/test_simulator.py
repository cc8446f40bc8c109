import io
import sys
import tomllib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench import simulator as simulator_bench
from fraud.training import settings
from fraud.training.data import dataset
from fraud.training.data.options import Reading
from fraud.training.errors import TrainingError
from fraud.training.features import splits
from fraud.training.simulate import simulator
from fraud.training.simulate.__main__ import main
from fraud.training.simulate.labels import LABELS
from fraud.training.simulate.ledger import AMOUNT_CUT
from fraud.transaction import TYPES
from tests.tools import ROOT, run_main

ROWS, SEED = 200_000, 9
DAY = 24 * 3_600_000
CHOSEN = settings.parse(tomllib.loads(
    (ROOT / "flows/train_flow.toml").read_text()))


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("month") / "transactions.parquet"
    simulator.create(ROWS, SEED, path)
    return path


@pytest.fixture(scope="module")
def month(file) -> dict[str, np.ndarray]:
    """The columns of the file; money in cents."""
    table = pq.read_table(file)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    for name in ("amount", "origin_balance", "destination_balance"):
        columns[name] = np.rint(columns[name] * 100).astype(np.int64)
    return columns


@pytest.fixture(scope="module")
def prepared(file, tmp_path_factory) -> dataset.Prepared:
    return dataset.prepare(str(file), tmp_path_factory.mktemp("prepared"), Reading(max_bad_share=0))


def bytes_of(directory: Path, rows: int, seed: int) -> bytes:
    simulator.create(rows, seed, directory / "again.parquet")
    return (directory / "again.parquet").read_bytes()


# The file.

def test_the_same_customers_pay_for_half_a_year(tmp_path):
    simulator.create(60_000, 3, tmp_path / "long.parquet", days=180)
    table = pq.read_table(tmp_path / "long.parquet", columns=["event_time", "origin"]).to_pandas()
    day = (table["event_time"] - simulator.START) // DAY
    assert day.min() == 0 and day.max() == 179
    seen = table.groupby("origin")["event_time"].agg(["min", "max"])
    assert ((seen["max"] - seen["min"]) > 90 * DAY).mean() > 0.4


def test_the_same_rows_and_seed_give_the_same_bytes(file, tmp_path):
    assert bytes_of(tmp_path, ROWS, SEED) == file.read_bytes()


def test_another_seed_and_another_size_give_other_payments(tmp_path):
    simulator.create(5_000, 1, tmp_path / "one.parquet")
    simulator.create(5_000, 2, tmp_path / "two.parquet")
    simulator.create(6_000, 1, tmp_path / "three.parquet")
    amounts = [pq.read_table(tmp_path / f"{name}.parquet")["amount"].to_pylist()[:1_000]
               for name in ("one", "two", "three")]
    assert amounts[0] != amounts[1] and amounts[0] != amounts[2]


@pytest.mark.parametrize("rows", [1_000, 1_001, 33_333])
def test_there_are_exactly_as_many_rows_as_asked(tmp_path, rows):
    simulator.create(rows, 3, tmp_path / "rows.parquet")
    assert pq.read_metadata(tmp_path / "rows.parquet").num_rows == rows


def test_the_file_has_the_schema_and_is_written_in_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(simulator, "ROW_GROUP", 700)
    simulator.create(2_000, 3, tmp_path / "grouped.parquet")
    assert pq.read_schema(tmp_path / "grouped.parquet").equals(simulator.SCHEMA)
    metadata = pq.read_metadata(tmp_path / "grouped.parquet")
    assert [metadata.row_group(group).num_rows for group in range(3)] == [700, 700, 600]
    monkeypatch.setattr(simulator, "ROW_GROUP", 2_000)
    simulator.create(2_000, 3, tmp_path / "whole.parquet")
    assert pq.read_table(tmp_path / "grouped.parquet").equals(
        pq.read_table(tmp_path / "whole.parquet"))


def test_every_row_is_a_valid_payment_in_event_order(prepared):
    assert (prepared.rows, prepared.bad, prepared.out_of_order) == (ROWS, 0, 0)


def test_times_lie_in_the_month_and_ids_are_unique(month):
    assert month["event_time"].min() >= simulator.START
    assert month["event_time"].max() < simulator.START + 31 * DAY
    assert (np.diff(month["event_time"]) >= 0).all()
    assert len(set(month["transaction_id"])) == ROWS
    assert list(month["transaction_id"]) == sorted(month["transaction_id"])


def test_every_balance_follows_from_the_payment_before(month):
    balances: dict[str, set[int]] = {}
    for side in ("origin", "destination"):
        for account, balance in zip(month[side], month[f"{side}_balance"].tolist(), strict=True):
            balances.setdefault(account, set()).add(balance)
    of_banks = {account for account, held in balances.items() if held == {0}}
    assert any(account.startswith("C") for account in of_banks)
    holds: dict[str, tuple[int, ...]] = {}      # after the last payment; as before if it failed
    failed = 0
    for type_, amount, origin, destination, origin_balance, destination_balance in zip(
            *(month[name].tolist() for name in (
                "type", "amount", "origin", "destination", "origin_balance",
                "destination_balance")), strict=True):
        into_origin = amount if type_ == "CASH_IN" else -amount
        for account, before, change in ((origin, origin_balance, into_origin),
                                        (destination, destination_balance, -into_origin)):
            if account not in of_banks:
                moved, *not_moved = holds.get(account, (before,))
                assert before in (moved, *not_moved)
                failed += before != moved
                may_fail = amount > min(origin_balance, 0.8 * AMOUNT_CUT)
                holds[account] = (before + change, *([before] if may_fail else []))
    assert 50 < failed < ROWS / 200


def test_customers_come_back(month):
    _, times = np.unique(month["origin"], return_counts=True)
    assert np.median(times) > 30


def test_no_amount_is_above_paysims_largest_and_none_clusters_at_a_limit(month):
    assert 0 < month["amount"].min() and month["amount"].max() <= 10**9
    is_round = month["amount"] % 1_000 == 0
    _, times = np.unique(month["amount"][~is_round & (month["amount"] > 10**7)],
                         return_counts=True)
    assert times.max() <= 10
    assert 0.005 < (month["amount"][~is_round] % 100 == 0).mean() < 0.015
    cashed = np.isin(month["type"], ["CASH_IN", "CASH_OUT", "TRANSFER"])
    assert 0.2 < is_round[cashed].mean() < 0.3 and is_round[~cashed].mean() < 0.002


# Labels.

def test_frauds_have_an_incident_and_a_type_and_legitimate_payments_have_none(month):
    fraud = month["is_fraud"] == 1
    assert set(month["is_fraud"]) == {0, 1} and 0.001 < fraud.mean() < 0.004
    assert set(month["fraud_type"][fraud]) == set(LABELS)
    assert None not in set(month["incident_id"][fraud])
    assert set(month["fraud_type"][~fraud]) == set(month["incident_id"][~fraud]) == {None}
    assert set(month["type"][fraud]) == {"TRANSFER", "CASH_OUT"}


def test_an_incident_is_of_one_type_and_known_at_one_time_after_its_last_payment(month):
    fraud = np.flatnonzero(month["is_fraud"])
    incidents: dict[str, list[int]] = {}
    for row in fraud:
        incidents.setdefault(month["incident_id"][row], []).append(row)
    for rows in incidents.values():
        (kind,) = set(month["fraud_type"][rows])
        assert (len(set(month["label_time"][rows])) == 1) != (
            kind == "compromised_agent" and len(rows) > 1)
    assert len(incidents) > 120


def test_labels_become_known_hours_to_days_after_the_payment(month):
    delay = month["label_time"] - month["event_time"]
    assert delay.min() > 0 and np.median(delay) == pytest.approx(DAY, rel=0.05)
    assert delay[month["is_fraud"] == 0].max() <= 5 * DAY


def test_the_default_size_holds_enough_incidents_in_the_test_period():
    month = simulator.simulate(simulator.DEFAULT_ROWS, 7)
    time, incident = month.payments.time, month.payments.incident
    start = splits.borders(int(time[0]), int(time[-1]), CHOSEN.split)[splits.CALIBRATION]
    assert len(set(incident[(time >= start) & (incident >= 0)])) >= 150


# Hardness comes from behaviour.

def test_money_goes_to_new_accounts_honestly_all_through_the_month(month):
    day = (month["event_time"] - simulator.START) // DAY
    opened = ((month["type"] == "TRANSFER") & (month["destination_balance"] == 0)
              & (month["is_fraud"] == 0) & (day > 0))
    fraud = (month["type"] == "TRANSFER") & (month["is_fraud"] == 1) & (day > 0)
    assert opened.sum() > fraud.sum()
    assert abs(day[opened].mean() - 15.5) < 4


def test_the_rule_that_all_of_the_balance_goes_is_not_enough(prepared):
    f1 = simulator_bench.one_rule_f1(pq.read_table(prepared.transactions))
    assert 0.2 < f1 <= 0.6


def test_names_digits_and_places_in_the_hour_say_nothing(prepared):
    ends = splits.borders(prepared.first_time, prepared.last_time, CHOSEN.split)
    auprc, permuted = simulator_bench.artefact_test(
        pq.read_table(prepared.transactions), ends, CHOSEN.xgboost, seed=1, permutations=19)
    assert permuted[0] <= auprc <= permuted[-1]


# The command.

def failure(capsys, *arguments: str) -> str:
    result = run_main(capsys, main, *arguments)
    assert result.code == 2 and "Traceback" not in result.err
    return result.err


def test_the_command_writes_the_file_and_says_so_in_one_line(tmp_path, capsys):
    path = tmp_path / "deep/out.parquet"
    result = run_main(capsys, main, "--rows", 2_000, "--seed", 3, "--out", path)
    assert result == (0, f"2,000 payments in {path}\n", "")
    assert [file.name for file in path.parent.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize(("option", "value"), [
    ("--rows", "999"), ("--rows", "-5"), ("--rows", "1000000000000"), ("--seed", "-1"),
    ("--days", "0"), ("--days", "181"), ("--linked", "1.5"), ("--round-sums", "-0.1")])
def test_a_number_out_of_its_range_is_one_line_and_writes_nothing(tmp_path, capsys, option, value):
    error = failure(capsys, option, value, "--out", str(tmp_path / "out/rows.parquet"))
    assert error.startswith(f"error: {option} is {value}: ") and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("out", ["a-file/rows.parquet", "a-file/deep/rows.parquet", "a-folder"])
def test_where_nothing_can_be_written_is_one_line_and_leaves_nothing(tmp_path, capsys, out):
    (tmp_path / "a-file").write_text("mine")
    (tmp_path / "a-folder").mkdir()
    error = failure(capsys, "--rows", "1000", "--out", str(tmp_path / out))
    assert error.startswith(f"error: {tmp_path / out}: cannot be written to (")
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"a-file", "a-folder"}


def test_what_stood_there_stays_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    path.write_text("mine")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        simulator.create(1_000, 1, path)
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stderr", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_long_work_shows_one_bar_on_a_terminal_only(tmp_path, monkeypatch, stderr, shown):
    monkeypatch.setattr(simulator, "ROW_GROUP", 800)
    monkeypatch.setattr(sys, "stderr", stderr)
    simulator.create(2_000, 3, tmp_path / "rows.parquet")
    progress = stderr.getvalue()
    assert ("balances" in progress and "7/7" in progress) == shown
    assert "\n" not in progress and (shown or not progress)


def test_the_types_are_those_of_a_payment(month):
    assert set(month["type"]) == set(TYPES)
