import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud import bundle
from fraud.features import DEFAULT
from fraud.training import settings
from fraud.training.features import splits
from fraud.training.promotion import final_test
from fraud.training.registry import Registry
from tests.tools import ROOT

SETTINGS = settings.parse(tomllib.loads(
    (ROOT / "flows/train_flow.toml").read_text()))
ROWS = 2_000
ENDS = {"train": 0, "early_stopping": 0, "calibration": 0, "test": ROWS}

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def run_test(tmp_path, make_bundle):
    """Judges two linear candidates on a test period whose frauds have the largest first feature."""
    frauds = np.arange(ROWS) % 10 == 0
    nothing = [None] * ROWS
    pq.write_table(pa.table({
        "position": range(ROWS), "is_fraud": frauds.astype(np.int8), "label_time": range(ROWS),
        "event_time": range(ROWS), "amount_cents": [100] * ROWS, "type": ["CASH_IN"] * ROWS,
        "incident_id": [f"i{row}" if fraud else None for row, fraud in enumerate(frauds)],
        "fraud_type": pa.array(nothing, pa.string())}), tmp_path / "transactions.parquet")
    folder = tmp_path / "features" / splits.FOLDER.format(splits.TEST)
    folder.mkdir(parents=True)
    columns = {name: np.zeros(ROWS, np.float32) for name in DEFAULT.names}
    columns[DEFAULT.names[0]] = np.where(frauds, 9, -9).astype(np.float32)
    pq.write_table(pa.table({"position": range(ROWS), **columns}), folder / "part.parquet")
    bundles = {}
    for framework in ("tensorflow", "xgboost"):
        bundles[framework] = str(tmp_path / framework)
        make_bundle(tmp_path / framework)
    return lambda: final_test.final_test(
        str(tmp_path / "features"), str(tmp_path / "transactions.parquet"), ENDS, bundles,
        "xgboost", tmp_path / "incumbent", SETTINGS)


def test_the_champion_of_the_run_comes_first_and_everyone_is_judged_on_the_same_rows(run_test):
    test = run_test()
    names = [contestant.name for contestant in test.contestants]
    assert list(test.reports) == names == ["xgboost", "tensorflow"]
    assert {len(each.scores) for each in test.contestants} == {ROWS}
    assert test.reports["xgboost"].metrics["test_f1"] == 1.0
    assert test.decision.promote and "there is no champion yet" in test.decision.reason
    assert next(iter(test.importance)) == "amount"


@pytest.fixture
def incumbent(make_bundle, logged, tags):
    """Makes a champion that stands and was tuned until a time."""
    def register(tuned_until: int) -> None:
        with Registry().registered(logged(), tags, lambda number, directory: make_bundle(
                directory, version=number, tuned_until=tuned_until)) as version:
            Registry().promote(version, "first")

    return register


def test_a_champion_that_stands_is_judged_beside_the_candidates(run_test, incumbent):
    incumbent(tuned_until=1)
    test = run_test()
    assert list(test.reports) == ["xgboost", "tensorflow", "champion 1"]
    assert test.decision.promote
    assert test.decision.reason.startswith("not worse than champion 1 by more than 0.02: F1 +0.0")
    assert test.decision.reason.endswith("on 199 incidents")


@pytest.mark.parametrize(("tuned_until", "reason"), [
    (1_000, "insufficient evidence: 100 incidents"),
    (ROWS, "champion 1 cannot be compared: all of these payments are older than the data"),
    (0, "champion 1 cannot be compared: it does not say until when it was tuned")])
def test_what_the_standing_champion_was_tuned_on_is_no_evidence(
        run_test, incumbent, tuned_until, reason):
    incumbent(tuned_until)
    test = run_test()
    assert list(test.reports) == ["xgboost", "tensorflow", "champion 1"]
    assert not test.decision.promote
    assert test.decision.reason.startswith(reason)


def test_each_look_at_the_test_period_is_counted(run_test):
    assert [run_test().window_uses for _ in range(2)] == [1, 2]


def test_a_champion_of_other_features_stays_until_someone_promotes_by_hand(
        run_test, register, monkeypatch):
    Registry().promote(register(), "first")
    load = bundle.load

    def load_with_other_features(directory, *arguments, **options):
        if Path(directory).name == "incumbent":
            raise bundle.BundleError("feature 3 is 'age', this code computes 'amount' there")
        return load(directory, *arguments, **options)

    monkeypatch.setattr(bundle, "load", load_with_other_features)
    test = run_test()
    assert list(test.reports) == ["xgboost", "tensorflow"]
    assert not test.decision.promote
    assert test.decision.reason.startswith("champion 1 cannot be compared (feature 3 is")
