import numpy as np
import pandas as pd
import pytest

from fraud.training import files
from fraud.training.data.dataset import prepare
from fraud.training.leakage import post_event_columns
from fraud.training.simulate import simulator

ROWS = [[1, "PAYMENT", 10.0, "C1", 100.0, 90.0, "M1", 0.0, 0.0, 0, 0],
        [1, "TRANSFER", 50.0, "C2", 50.0, 0.0, "C3", 7.0, 7.0, 1, 1],
        [1, "CASH_OUT", 5.5, "C3", 60.0, 54.5, "C4", 0.0, 5.5, 0, 0]]
COLUMNS = ["step", "type", "amount", "nameOrig", "oldbalanceOrg", "newbalanceOrig", "nameDest",
           "oldbalanceDest", "newbalanceDest", "isFraud", "isFlaggedFraud"]


@pytest.fixture
def read(tmp_path):
    """Writes a file, prepares it and reads what was known later of some rows."""
    def read(name: str, columns=COLUMNS, first: int = 0, end: int = 3, names=None,
             given=ROWS) -> dict:
        path = tmp_path / name
        table = pd.DataFrame(given, columns=COLUMNS)[columns].rename(columns=names or {})
        table.to_parquet(path) if name.endswith("parquet") else table.to_csv(path, index=False)
        prepared = prepare(str(path), tmp_path / "clean")
        return {key: value.tolist() for key, value in post_event_columns.read_columns(
            str(path), prepared.transactions, first, end, tmp_path).items()}

    return read


@pytest.mark.parametrize("name", ["paysim.csv", "paysim.csv.gz", "paysim.parquet"])
def test_what_was_known_later_is_read_for_the_rows_asked_for(read, name):
    assert read(name, first=1) == {"origin_balance_after": [0.0, 54.5],
                                   "destination_balance_after": [7.0, 5.5], "flagged": [1.0, 0.0]}


def test_a_single_row_is_read(read):
    assert read("paysim.csv", first=1, end=2) == {
        "origin_balance_after": [0.0], "destination_balance_after": [7.0], "flagged": [1.0]}


def test_the_columns_have_other_names_in_paysim_2(read):
    names = {"type": "action", "oldbalanceOrg": "oldBalanceOrig",
             "newbalanceOrig": "newBalanceOrig", "oldbalanceDest": "oldBalanceDest",
             "newbalanceDest": "newBalanceDest"}
    assert read("paysim2.csv", names=names) == read("paysim.csv")


def test_a_cell_that_is_no_number_is_nan(read):
    given = [row[:5] + [after] + row[6:]
             for row, after in zip(ROWS, ("unknown", " 0.5", 54.5), strict=True)]
    after = read("paysim.csv", given=given)["origin_balance_after"]
    assert np.isnan(after[0]) and after[1:] == [0.5, 54.5]


def test_a_file_without_such_columns_has_none(read):
    assert read("paysim.csv", [name for name in COLUMNS
                               if not name.startswith("new") and "Flagged" not in name]) == {}


def test_a_file_of_payments_with_a_column_of_that_name_is_none_of_paysim(tmp_path):
    simulator.write(simulator.simulate(1_000, seed=1), tmp_path / "simulated.parquet")
    table = pd.read_parquet(tmp_path / "simulated.parquet").assign(newbalanceOrig=0.0)
    table.to_parquet(tmp_path / "payments.parquet")
    prepared = prepare(str(tmp_path / "payments.parquet"), tmp_path / "clean")
    assert post_event_columns.read_columns(
        prepared.source, prepared.transactions, 0, 9, tmp_path) == {}


def test_a_file_on_s3_is_read_from_a_copy_in_the_directory(tmp_path, monkeypatch):
    path = tmp_path / "paysim.csv"
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(path, index=False)
    prepared = prepare(str(path), tmp_path / "clean")
    monkeypatch.setattr(files, "_download", lambda source, copy: copy.write_bytes(
        path.read_bytes()))
    columns = post_event_columns.read_columns(
        "s3://payments/paysim.csv", prepared.transactions, 0, 3, tmp_path)
    assert columns["flagged"].tolist() == [0.0, 1.0, 0.0]


def test_of_a_file_that_was_changed_since_nothing_is_said(tmp_path):
    path = tmp_path / "paysim.csv"
    pd.DataFrame(ROWS, columns=COLUMNS).to_csv(path, index=False)
    prepared = prepare(str(path), tmp_path / "clean")
    pd.DataFrame(ROWS[::-1], columns=COLUMNS).to_csv(path, index=False)
    assert post_event_columns.read_columns(str(path), prepared.transactions, 0, 3, tmp_path) == {}


@pytest.mark.parametrize("line", ["1,PAYMENT,1.0,C1,1.0,7.5,M1,0.0,0.0,0,0,one,too,many", "1,\xff"])
def test_malformed_lines_do_not_shift_rows(tmp_path, line):
    path = tmp_path / "paysim.csv"
    table = pd.DataFrame(ROWS * 100, columns=COLUMNS)
    lines = table.assign(step=range(1, 301)).to_csv(index=False).splitlines()
    path.write_bytes("\n".join([*lines[:150], line, *lines[150:]]).encode("latin-1"))
    prepared = prepare(str(path), tmp_path / "clean")
    assert (prepared.rows, prepared.bad) == (300, 1)
    columns = post_event_columns.read_columns(str(path), prepared.transactions, 0, 300, tmp_path)
    assert columns["origin_balance_after"].tolist() == [row[5] for row in ROWS] * 100
