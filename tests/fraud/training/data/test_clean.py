import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.training.data import clean, dataset
from fraud.transaction import Transaction


@pytest.fixture
def path(tmp_path) -> str:
    rows = [dict.fromkeys(dataset.SCHEMA.names) | {
        "position": place, "transaction_id": f"t{place}", "event_time": place * 10, "type": "DEBIT",
        "amount_cents": 5, "origin": "o", "destination": "d", "origin_balance_cents": -1,
        "destination_balance_cents": 2 ** 50} for place in range(7)]
    pq.write_table(pa.Table.from_pylist(rows, schema=dataset.SCHEMA), tmp_path / "clean.parquet")
    return str(tmp_path / "clean.parquet")


def test_payments_are_as_they_were_written_in_batches(path):
    batches = list(clean.batches(path, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert batches[1][1] == Transaction("t4", 40, "DEBIT", 5, "o", "d", -1, 2 ** 50)


def test_what_happened_before_is_left_out(path):
    assert [one.transaction_id for batch in clean.batches(path, 3, 20) for one in batch] == [
        "t2", "t3", "t4", "t5", "t6"]
