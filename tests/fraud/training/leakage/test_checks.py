"""Leaks are planted into features, as a careless engineer would, and have to be found."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.training.errors import TrainingError
from fraud.training.leakage import checks, point_in_time
from fraud.training.leakage.checks import Leakage, Score, audit, check
from fraud.training.settings import Audit
from fraud.transaction import TYPES

HOUR = 3_600_000
ROWS = 20_000
SETTINGS = Audit(rows=10_000, alone_auprc=0.9, allowed={})


def balance_after(payments: pd.DataFrame) -> pd.Series:
    """A balance from after the event."""
    return payments["balance_after"]


def next_count(payments: pd.DataFrame) -> pd.Series:
    """The number of payments of the account after this one."""
    return payments.groupby("origin").cumcount(ascending=False)


def type_encoding(payments: pd.DataFrame) -> pd.Series:
    """The share of fraud among all payments of an amount, this one and later ones included."""
    return payments.groupby("amount_cents")["is_fraud"].transform("mean")


def label_noise(payments: pd.DataFrame) -> pd.Series:
    """The label itself, hidden."""
    return payments["is_fraud"] * 0.3 + np.random.default_rng(1).random(len(payments))


@pytest.fixture(scope="module")
def payments() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    number = np.arange(ROWS)
    fraud = rng.random(ROWS) < 0.03
    return pd.DataFrame({
        "position": number, "transaction_id": number.astype(str),
        "event_time": number * 100 * HOUR // ROWS, "type": rng.choice(TYPES, ROWS),
        "amount_cents": rng.integers(0, 3_000, ROWS) + 1_500 * (fraud & (rng.random(ROWS) < 0.5)),
        "origin": rng.integers(0, 900, ROWS).astype(str),
        "destination": rng.integers(0, 900, ROWS).astype(str),
        "origin_balance_cents": rng.integers(0, 10_000, ROWS),
        "destination_balance_cents": rng.integers(0, 10_000, ROWS),
        "is_fraud": fraud.astype(np.int8), "label_time": number * 100 * HOUR // ROWS,
        "balance_after": np.where(fraud, 0, rng.integers(200, 10_000, ROWS))})


@pytest.fixture
def audited(tmp_path, payments):
    """Audits legitimate features and, beside them, planted ones."""
    def compute(path, folder, planted) -> None:
        table = pq.read_table(path).to_pandas()
        columns = {"amount": table["amount_cents"], "sent": table.groupby("origin").cumcount(),
                   **{feature.__name__: feature(table) for feature in planted}}
        folder.mkdir()
        pq.write_table(pa.table({"position": table["position"], **{
            name: column.astype(np.float32) for name, column in columns.items()}}),
            folder / "part.parquet")

    def audited(*planted, settings=SETTINGS, after_event=False) -> checks.Leakage:
        path = tmp_path / "payments.parquet"
        pq.write_table(pa.Table.from_pandas(payments, preserve_index=False), path)
        # All rows from the first on: what an account sent is counted without a window here.
        made = point_in_time.point_in_time_copy(
            str(path), 90 * HOUR, ROWS, tmp_path / "perturbed.parquet", 7)
        compute(path, tmp_path / "features", planted)
        compute(made.transactions, tmp_path / "again", planted)
        after = {"balance_after": payments["balance_after"].to_numpy()[:made.end]}
        return audit(str(tmp_path / "features"), str(tmp_path / "again"), str(path), made,
                     90 * HOUR, after if after_event else {}, settings, 7)

    return audited


def test_legitimate_features_pass(audited):
    found = audited()
    check(found)
    assert (found.findings, found.with_post_event_columns) == ([], None)
    assert found.rows == found.compared_rows == 0.9 * ROWS
    assert found.interval[0] <= found.shuffled <= found.interval[1] < found.without_leaks.auprc
    assert list(found.alone) == ["amount", "sent"]


@pytest.mark.parametrize("feature", [balance_after, next_count, type_encoding, label_noise])
def test_what_knows_the_future_is_blocked_by_its_name(audited, feature):
    found = audited(feature)
    with pytest.raises(TrainingError, match="the leakage audit stops this run"):
        check(found)
    [finding] = [finding for finding in found.findings if "knows the future" in finding]
    assert finding.startswith(f"{feature.__name__} knows the future")


def test_alone_is_judged_against_chance_and_not_at_all_on_few_frauds():
    many = np.array([1] * 19 + [0])         # chance reaches an AUPRC of 0.95
    scores = {"x": Score(0.96, 1.0), "y": Score(0.999, 1.0)}
    assert [one.split()[0] for one in checks._too_good_alone(scores, many, SETTINGS)] == ["y"]
    few = np.array([1] * 9 + [0] * 500)
    assert checks._too_good_alone(scores, few, SETTINGS) == []
    result = Leakage([], 509, 1, scores, scores["x"], None, 0.0, (0.0, 1.0), 9, 0.02)
    assert result.doubt == ("no feature is judged alone: the audit measures on 9 frauds and needs "
                            "10")


def test_a_feature_that_is_too_good_alone_is_blocked_unless_a_reason_is_given(audited):
    found = audited(balance_after)
    assert any(one.startswith("balance_after alone reaches an AUPRC of 0.9") and
               "audit.allowed" in one for one in found.findings)
    assert next(iter(found.alone)) == "balance_after"


def test_a_reason_lets_it_pass(audited):
    found = audited(balance_after, settings=Audit(10_000, 0.9, {"balance_after": "an example"}))
    assert not any("alone reaches" in one for one in found.findings)


def test_labels_that_reach_features_make_shuffled_labels_learnable(audited):
    found = audited(label_noise)
    assert found.shuffled > found.interval[1]
    assert any("shuffled labels" in one for one in found.findings)


def test_columns_from_after_the_event_are_shown_beside_legitimate_features(audited):
    found = audited(after_event=True)
    assert found.with_post_event_columns.auprc > 0.9 > found.without_leaks.auprc
    assert found.findings == []             # no feature is made of them


def test_of_many_payments_the_last_are_fitted_on(audited, monkeypatch):
    monkeypatch.setattr(checks, "MOST", ROWS // 2)
    assert audited().rows == ROWS // 2


def test_labels_that_nobody_knew_then_are_not_used(audited, payments, monkeypatch):
    late = np.where(np.arange(ROWS) % 4 == 0, 90 * HOUR, payments["label_time"])
    monkeypatch.setitem(payments, "label_time", late)
    found = audited(after_event=True)
    assert (found.rows, found.compared_rows, found.findings) == (13_500, 18_000, [])


def test_too_few_frauds_are_said(audited, payments, monkeypatch):
    monkeypatch.setitem(payments, "is_fraud", np.zeros(ROWS, np.int8))
    with pytest.raises(TrainingError, match="has 0 frauds in its 18,000 rows and needs 10"):
        audited()


def test_the_average_precision_of_ranks_is_that_of_sklearn():
    from sklearn.metrics import average_precision_score

    label = np.random.default_rng(7).random(500) < 0.1
    assert checks._average_precision(np.flatnonzero(label)) == pytest.approx(
        average_precision_score(label, -np.arange(500)))
