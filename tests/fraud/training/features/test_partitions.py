"""The work of Spark's workers, without Spark."""

import numpy as np
import pyarrow as pa

from fraud.training.features import partitions
from fraud.training.features.partitions import PAYMENT_COLUMNS, count_batches, side_batches

START = 1_767_225_600_000


def entry(position: int, account: str, sent: bool, **columns) -> dict:
    """An entry of the payment of that position, a second after the one before."""
    return {"position": position, "account": account, "sent": sent, "received": not sent,
            "other": 3, **dict.fromkeys(PAYMENT_COLUMNS, 1), "event_time": START + position * 1000,
            **columns}


def batches_of(entries: list[dict], size: int = 2) -> list[pa.RecordBatch]:
    return pa.Table.from_pylist(entries).to_batches(size)


def counted(entries: list[dict]) -> list[dict]:
    return pa.Table.from_batches(count_batches(side_batches(batches_of(entries)))).to_pylist()


def test_an_empty_partition_has_nothing():
    empty = batches_of([entry(0, "a", True)])[0].slice(0, 0)
    for batches in ([], [empty]):
        assert list(side_batches(batches)) == []
        assert list(count_batches(side_batches(batches))) == []


def test_a_payment_gets_the_history_of_both_accounts(monkeypatch):
    monkeypatch.setattr(partitions, "BATCH_ROWS", 1)
    first, second = counted([entry(1, "b", False), entry(0, "a", True), entry(0, "b", False),
                             entry(1, "c", True)])
    assert [first["position"], second["position"]] == [0, 1]
    assert not any(value for name, value in first.items() if "count" in name)
    assert second["destination_received_count_hour"] == 1
    assert second["origin_sent_count_month"] == 0


def test_values_pass_through_bytes_unchanged():
    largest = 2 ** 63 - 1
    [row] = counted([entry(0, "a", True, amount_cents=largest, origin_balance_cents=None,
                           destination_balance_cents=-7)])
    assert row["amount_cents"] == largest
    assert np.isnan(row["origin_balance_cents"]) and row["destination_balance_cents"] == -7
    assert row["destination"] is False


def test_an_account_has_one_code_in_all_batches_of_a_partition():
    rows = counted([entry(position, "ab"[position % 2], True) for position in range(7)])
    assert [row["origin_sent_count_month"] for row in rows] == [0, 0, 1, 1, 2, 2, 3]
