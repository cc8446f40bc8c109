import re

import pandas as pd
import pytest
from hypothesis import given, strategies as st

from fraud.training import label_table
from fraud.training.errors import TrainingError
from monitoring import labels
from tests.monitoring.conftest import write_log
from tests.tools import run_main

IDS = [f"t{number}" for number in range(6)]
PAYMENTS = pd.DataFrame({
    "transaction_id": IDS, "event_time": [10, 20, 30, 40, 50, 60],
    "decision": ["approve", "decline", "decline", "review", "approve", "approve"]})


def table(*rows: tuple) -> pd.DataFrame:
    """Labels: transaction_id, is_fraud, label_time."""
    return pd.DataFrame(rows, columns=list(label_table.REQUIRED)).reindex(
        columns=list(label_table.COLUMNS)).astype(label_table.REQUIRED | label_table.OPTIONAL)


def labels_of(known: labels.LabelledPayments) -> dict[str, int]:
    return dict(zip(known.labelled["transaction_id"], known.labelled["is_fraud"].tolist(),
                    strict=True))


# What was known at a moment.

@given(st.lists(st.tuples(st.sampled_from([*IDS, "other"]), st.integers(0, 1),
                          st.integers(0, 100)),
                unique_by=lambda row: (row[0], row[2])), st.integers(0, 100))
def test_nothing_that_became_known_later_makes_a_difference(rows, as_of):
    everything = labels.known_by(as_of, PAYMENTS, table(*rows))
    of_then = labels.known_by(as_of, PAYMENTS[PAYMENTS["event_time"] <= as_of],
                              table(*[row for row in rows if row[2] <= as_of]))
    pd.testing.assert_frame_equal(everything.payments, of_then.payments)
    assert everything.unlabelled_share == of_then.unlabelled_share
    assert (everything.payments["label_time"].dropna() <= as_of).all()
    assert (everything.payments["event_time"] <= as_of).all()


@given(st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 1), st.integers(0, 100)),
                unique_by=lambda row: (row[0], row[2])))
def test_each_payment_is_there_once_and_has_a_label_only_if_someone_gave_it(rows):
    known = labels.known_by(100, PAYMENTS, table(*rows))
    assert known.payments["transaction_id"].tolist() == IDS
    given_of = {name: {fraud for payment, fraud, _ in rows if payment == name} for name in IDS}
    for name, fraud in labels_of(known).items():
        assert fraud in given_of[name]
    assert {name for name in IDS if not given_of[name]}.isdisjoint(labels_of(known))


def test_a_payment_without_a_label_is_not_legitimate():
    known = labels.known_by(100, PAYMENTS, table(("t0", 1, 90), ("t4", 0, 95)))
    assert labels_of(known) == {"t0": 1, "t4": 0}
    assert known.payments["is_fraud"].isna().sum() == 4


def test_declined_payments_without_a_label_are_left_out_and_their_share_is_reported():
    known = labels.known_by(100, PAYMENTS, table(("t1", 1, 90), ("t0", 0, 95)))
    assert "t2" not in labels_of(known)
    assert known.unlabelled_share == 0.5
    assert labels.known_by(15, PAYMENTS, table()).unlabelled_share == 0


def test_a_later_label_replaces_an_earlier_one_once_it_is_known():
    both = table(("t0", 1, 20), ("t0", 0, 70))
    assert labels_of(labels.known_by(69, PAYMENTS, both)) == {"t0": 1}
    known = labels.known_by(70, PAYMENTS, both)
    assert labels_of(known) == {"t0": 0}
    assert known.counts["labels replaced by a later one"] == 1


def test_two_labels_of_one_moment_are_refused_and_the_same_twice_is_one():
    repeated = table(("t0", 1, 20), ("t0", 1, 20))
    assert labels_of(labels.known_by(99, PAYMENTS, repeated)) == {"t0": 1}
    with pytest.raises(TrainingError, match=r"t0: has labels 0 and 1 at the same label_"
                                            r"time \(1 such payments\); remove the wrong label"):
        labels.known_by(99, PAYMENTS, table(("t0", 1, 20), ("t0", 0, 20)))


def test_two_labels_of_one_moment_are_settled_by_a_later_one():
    rows = table(("t0", 1, 20), ("t0", 0, 20), ("t0", 0, 30))
    assert labels_of(labels.known_by(30, PAYMENTS, rows)) == {"t0": 0}
    with pytest.raises(TrainingError, match="t0: has labels 0 and 1 at"):
        labels.known_by(29, PAYMENTS, rows)


def test_labels_that_fit_no_payment_are_counted_and_not_used():
    known = labels.known_by(55, PAYMENTS, table(
        ("nobody", 1, 50), ("t3", 1, 39), ("t0", 1, 56), ("t5", 1, 55)))
    assert labels_of(known) == {}
    assert known.counts == {
        "payments": 5, "labelled payments": 0, "labels known only later": 1,
        "labels replaced by a later one": 0, "labels of payments that are not in the log": 2,
        "labels from before their payment": 1, "payments decided only later": 1}


# Files.

@pytest.mark.parametrize(("text", "message"), [
    ("transaction_id,is_fraud\nt,1\n", "has no column 'label_time'; it needs transaction_id, is_"),
    ("transaction_id,is_fraud,label_time\nt,,5\n", "row 0 has no is_fraud; leave unlabelled"),
    ("transaction_id,is_fraud,label_time\nt,2,5\n", "t has is_fraud 2; write 0 or 1"),
    ("transaction_id,is_fraud,label_time\nt,1,today\n", "must be integers"),
    ("", "cannot be read"), (None, "cannot be read")])
def test_a_file_that_holds_no_labels_is_refused(tmp_path, text, message):
    if text is not None:
        (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(TrainingError, match=f"labels.csv: .*{message}"):
        labels.read_labels(str(tmp_path / "labels.csv"))


def test_csv_and_parquet_are_read_alike(tmp_path, month):
    month.labels.to_csv(tmp_path / "labels.csv", index=False)
    month.labels.to_parquet(tmp_path / "labels.parquet")
    csv, parquet = (labels.read_labels(str(tmp_path / f"labels.{kind}"))
                    for kind in ("csv", "parquet"))
    pd.testing.assert_frame_equal(csv, parquet)
    assert csv["is_fraud"].sum() == month.labels["is_fraud"].sum() > 0


@pytest.mark.parametrize("text", ["2024-01-01", "2024-01-01T00:00:00Z",
                                  "2024-01-01T01:00:00+01:00"])
def test_a_moment_is_utc_unless_it_says_otherwise(text):
    assert labels.moment(text) == 1_704_067_200_000


# The command.

def run(tmp_path, month, as_of: str) -> None:
    write_log(month.days(0, 12), tmp_path / "log.jsonl")
    month.labels.to_parquet(tmp_path / "labels.parquet")
    labels.main(["--decisions", str(tmp_path / "log.jsonl"), "--labels",
                 str(tmp_path / "labels.parquet"), "--as-of", as_of, "--out",
                 str(tmp_path / "known")])


def test_the_command_writes_what_was_known_then(tmp_path, month, capsys):
    run(tmp_path, month, "2024-01-11")
    as_of = labels.moment("2024-01-11")
    labelled, training = (pd.read_parquet(tmp_path / f"known/{name}.parquet")
                          for name in ("performance", "training"))
    assert labelled["label_time"].max() <= as_of and labelled["is_fraud"].sum() > 0
    decided = [decision for decision in month.days(0, 12) if decision.event_time <= as_of]
    assert training["transaction_id"].tolist() == [decision.transaction_id for decision in decided]
    assert training["is_fraud"].notna().sum() == len(labelled) < len(training)
    assert (training["is_fraud"].isna() == training["label_time"].isna()).all()
    out = capsys.readouterr().out
    assert f"{len(labelled):,}  labelled payments" in out
    assert "of the declined payments have no label" in out


def test_training_reads_what_was_known_and_learns_only_from_labels(tmp_path, month):
    from fraud.training.data import dataset, validation

    run(tmp_path, month, "2024-01-11")
    training = pd.read_parquet(tmp_path / "known/training.parquet")
    prepared = dataset.prepare(str(tmp_path / "known/training.parquet"), tmp_path / "clean")
    assert (prepared.rows, prepared.bad) == (len(training), 0), "history needs all payments"
    clean = pd.read_parquet(prepared.transactions)
    unknown = training["is_fraud"].isna().to_numpy()
    assert 0.1 < unknown.mean() < 0.9
    assert (clean["label_time"] == validation.NOT_KNOWN).tolist() == unknown.tolist()
    assert clean["is_fraud"].sum() == training["is_fraud"].sum() > 0


def test_what_is_wrong_is_one_line(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_bytes(b"")
    (tmp_path / "labels.csv").write_text("transaction_id,is_fraud,label_time\n")
    result = run_main(capsys, labels.main, "--decisions", tmp_path / "log.jsonl",
                      "--labels", tmp_path / "labels.csv", "--as-of", "2024-01-11",
                      "--out", tmp_path)
    assert result.code == 2
    assert re.match("error: .*log.jsonl: holds no decisions; name a log", result.err)
    assert result.err.count("\n") == 1
