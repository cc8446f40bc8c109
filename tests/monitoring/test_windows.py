import json

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.features import DEFAULT
from fraud.training.errors import TrainingError
from fraud.training.evaluation import test_report
from fraud.training.features.splits import Rows
from fraud.training.registry import reference
from fraud.transaction import TYPES
from monitoring import windows
from tests.factories import stored
from tests.monitoring.conftest import write_log


@pytest.fixture
def log(tmp_path):
    return lambda decisions, name="log.jsonl": write_log(decisions, tmp_path / name)


def changed(decision, **changes):
    return msgspec.structs.replace(decision, **changes)


def test_a_log_has_what_was_decided_with_whole_history(month, log):
    decisions = month.days(10, 11)
    window = windows.of_log([log(decisions)])
    table = window.payments
    assert table["transaction_id"].tolist() == [one.transaction_id for one in decisions]
    assert table["amount"].tolist() == [one.amount_cents / 100 for one in decisions]
    assert table["type"].tolist() == [one.type for one in decisions]
    matrix = np.array([one.features for one in decisions], np.float32)
    assert np.array_equal(table[list(DEFAULT.names)].to_numpy(np.float32), matrix, equal_nan=True)
    assert (window.model_version, set(window.left_out.values())) == ("3", {0})


def test_of_a_payment_with_several_lines_the_last_counts(month, log):
    first, other = month.days(10, 11)[:2]
    window = windows.of_log([log([changed(first, score=0.25), other]), log(
        [changed(first, score=0.75)], "later.jsonl")])
    assert window.payments["score"].tolist() == [other.score, 0.75]
    assert window.left_out["repeated lines"] == 1


def test_decisions_without_whole_history_are_left_out_and_counted(month, log):
    first, second, third = month.days(10, 11)[:3]
    window = windows.of_log([log([
        changed(first, history="short", features=[0.0] * 13),
        changed(second, history="unavailable", features=[0.0] * 13, counts=None), third])])
    assert window.payments["transaction_id"].tolist() == [third.transaction_id]
    assert window.left_out["decided by the fallback"] == 2


def test_the_decisions_of_one_version_count_that_of_the_reference_or_of_most(month, log):
    first, second, third = month.days(10, 11)[:3]
    path = log([changed(first, model_version="4"), second, third])
    assert windows.of_log([path]).model_version == "3"
    window = windows.of_log([path], "4")
    assert window.payments["transaction_id"].tolist() == [first.transaction_id]
    assert window.left_out["of another model version"] == 2
    with pytest.raises(TrainingError, match="no decision of model version 9, but of 3, 4; fetch"):
        windows.of_log([path], "9")


def test_an_empty_log_is_an_empty_window(log):
    window = windows.of_log([log([])])
    assert len(window.payments) == 0
    assert set(DEFAULT.names) < set(window.payments.columns)


def test_decisions_on_other_features_are_refused(month, log):
    first = changed(month.days(10, 11)[0], features=[1.0, 2.0])
    expected = f"was decided on 2 features, and {len(DEFAULT.names)} are expected"
    with pytest.raises(TrainingError, match=expected):
        windows.of_log([log([first])])


@pytest.mark.parametrize(("name", "content", "message"), [
    ("absent.parquet", None, "absent.parquet: cannot be read"),
    ("no.parquet", b"text", "no.parquet: cannot be read"),
    ("absent.jsonl", None, "absent.jsonl: cannot be read"),
    ("no.jsonl", b"{}\n", "no.jsonl: line 1 is not a decision")])
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        windows.of_reference(tmp_path / name)


def test_a_reference_without_a_column_is_refused(tmp_path):
    table = pa.table({name: [1.0] for name in DEFAULT.names[:-1]})
    names = json.dumps(DEFAULT.names)
    pq.write_table(table.replace_schema_metadata({reference.FEATURES: names}),
                   tmp_path / "r.parquet")
    with pytest.raises(TrainingError, match=f"has no column '{DEFAULT.names[-1]}'"):
        windows.of_reference(tmp_path / "r.parquet")


def test_the_reference_of_a_version_is_what_its_bundle_made_of_late_validation(
        tmp_path, bundle_directory):
    chance, rows = np.random.default_rng(7), 50
    matrix = chance.lognormal(2, 2, (rows, len(DEFAULT.names))).astype(np.float32)
    late = Rows(features=stored(matrix), label=(np.arange(rows) == 3).astype(np.int8),
                event_time=np.arange(rows), amount=matrix[:, 0].astype(np.float64),
                type=np.array(TYPES)[np.arange(rows) % 5],
                incident=np.where(np.arange(rows) == 3, "i-1", None),
                fraud_type=np.full(rows, None), days=1.0)
    of = test_report.load_bundle(bundle_directory)
    reference.write(of, late, tmp_path / "validated.parquet", seed=7)
    reference.of_version(tmp_path / "validated.parquet", "12", tmp_path / "reference.parquet")
    window = windows.of_reference(tmp_path / "reference.parquet")
    assert window.model_version == "12"
    assert np.array_equal(window.payments[list(DEFAULT.names)].to_numpy(np.float32), matrix)
    assert np.allclose(window.payments["score"], of.model.scores(matrix))
    assert window.payments["decision"].tolist() == [
        of.policy.model.decide(score, round(100 * amount))
        for score, amount in zip(window.payments["score"], window.payments["amount"], strict=True)]
    assert window.payments["is_fraud"].sum() == 1
    assert window.payments["incident_id"].dropna().tolist() == ["i-1"]
    assert window.payments["type"].iloc[:2].tolist() == ["CASH_IN", "CASH_OUT"]


def test_a_large_reference_is_a_sample_in_event_order(tmp_path, bundle_directory, monkeypatch):
    monkeypatch.setattr(reference, "LIMIT", 10)
    rows = 50
    late = Rows(stored(np.zeros((rows, len(DEFAULT.names)), np.float32)),
                np.zeros(rows, np.int8),
                np.arange(rows), np.zeros(rows), np.full(rows, "DEBIT"), np.full(rows, None),
                np.full(rows, None), 1.0)
    reference.write(test_report.load_bundle(bundle_directory), late, tmp_path / "r.parquet", seed=7)
    times = windows.of_reference(tmp_path / "r.parquet").payments["event_time"].tolist()
    assert len(set(times)) == 10 and times == sorted(times) and times != list(range(10))
