import pyarrow.parquet as pq
import pytest

from fraud.training.acquire import acquire, store
from fraud.training.data import hubs
from fraud.training.errors import TrainingError
from fraud.training.simulate import simulator


def test_a_file_that_is_named_is_used_as_it_is(tmp_path):
    assert acquire("s3://bucket/some.csv", None, tmp_path, 7) == "s3://bucket/some.csv"
    assert list(tmp_path.iterdir()) == []


def test_what_stands_under_the_default_name_is_used(tmp_path):
    (tmp_path / "transactions.parquet").write_text("mine")
    assert acquire(None, None, tmp_path, 7) == str(tmp_path / "transactions.parquet")
    assert (tmp_path / "transactions.parquet").read_text() == "mine"


def test_the_default_is_simulated_at_the_default_size_where_it_is_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(simulator, "DEFAULT_ROWS", 2_000)
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


def test_a_file_of_a_hub_is_downloaded_once(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hubs, "download", lambda uri, path: (asked.append(uri),
                                                             path.write_text("theirs")))
    path = tmp_path / "ealaxi/paysim/paysim.csv"
    for _ in range(2):
        assert acquire("hf://ealaxi/paysim/paysim.csv", None, tmp_path, 7) == str(path)
    assert path.read_text() == "theirs"
    assert asked == ["hf://ealaxi/paysim/paysim.csv"]


def test_a_file_is_placed_byte_by_byte(tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    store(str(tmp_path / "mine.csv"), None, tmp_path / "data/paysim.csv", 7)
    assert (tmp_path / "data/paysim.csv").read_text() == "a,b\n1,2\n"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["paysim.csv"]


def test_an_object_on_s3_is_placed(bucket, tmp_path):
    bucket.put_object(Bucket="models", Key="theirs.csv", Body=b"a,b\n1,2\n")
    store("s3://models/theirs.csv", None, tmp_path / "paysim.csv", 7)
    assert (tmp_path / "paysim.csv").read_text() == "a,b\n1,2\n"


def test_what_stands_there_stays_unless_it_is_the_same(tmp_path):
    store(None, 2_000, tmp_path / "payments.parquet", 7)
    store(None, 2_000, tmp_path / "payments.parquet", 7)
    before = (tmp_path / "payments.parquet").read_bytes()
    with pytest.raises(TrainingError, match="payments.parquet: holds other payments"):
        store(None, 2_000, tmp_path / "payments.parquet", 8)
    assert (tmp_path / "payments.parquet").read_bytes() == before


def test_a_file_keeps_its_ending(tmp_path):
    with pytest.raises(TrainingError, match="mine.csv: cannot become .*, which ends in .parquet"):
        store("mine.csv", None, tmp_path / "transactions.parquet", 7)
