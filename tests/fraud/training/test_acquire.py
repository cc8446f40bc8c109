import pyarrow.parquet as pq
import pytest

from fraud.training import simulate
from fraud.training.acquire import acquire
from fraud.training.errors import TrainingError


def test_a_file_that_is_named_is_used_as_it_is(tmp_path):
    assert acquire("s3://bucket/some.csv", None, tmp_path, 7) == "s3://bucket/some.csv"
    assert list(tmp_path.iterdir()) == []


def test_what_stands_under_the_default_name_is_used(tmp_path):
    (tmp_path / "transactions.parquet").write_text("mine")
    assert acquire(None, None, tmp_path, 7) == str(tmp_path / "transactions.parquet")
    assert (tmp_path / "transactions.parquet").read_text() == "mine"


def test_the_default_is_simulated_at_the_default_size_where_it_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(simulate, "DEFAULT_ROWS", 2_000)
    path = acquire(None, None, tmp_path / "data", 7)
    assert path == str(tmp_path / "data/transactions.parquet")
    assert pq.read_metadata(path).num_rows == 2_000


def test_a_simulation_of_another_size_never_takes_the_place_of_another_file(tmp_path):
    (tmp_path / "transactions.parquet").write_text("mine")
    path = acquire(None, 3_000, tmp_path, 7)
    assert pq.read_metadata(path).num_rows == 3_000
    assert (tmp_path / "transactions.parquet").read_text() == "mine"
    assert acquire(None, 3_000, tmp_path, 7) == path


def test_a_size_and_a_file_are_refused_together(tmp_path):
    with pytest.raises(TrainingError, match="--rows 5000 sizes a simulation"):
        acquire("some.csv", 5_000, tmp_path, 7)
