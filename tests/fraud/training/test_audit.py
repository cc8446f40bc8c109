import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud import bundle, features
from fraud.training import audit, registry, settings, splits

SETTINGS = settings.parse(tomllib.loads(
    (Path(__file__).parents[3] / "flows/train_flow.toml").read_text()))
ROWS = 2_000
ENDS = {"train": 0, "early": 0, "late": 0, "test": ROWS}

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def judge(tmp_path, make_bundle):
    """Judges two linear candidates on a test period whose frauds have the largest first feature."""
    frauds = np.arange(ROWS) % 10 == 0
    nothing = [None] * ROWS
    pq.write_table(pa.table({
        "position": range(ROWS), "is_fraud": frauds.astype(np.int8), "label_time": range(ROWS),
        "event_time": range(ROWS), "amount_cents": [100] * ROWS, "type_code": [0] * ROWS,
        "incident_id": [f"i{row}" if fraud else None for row, fraud in enumerate(frauds)],
        "fraud_type": pa.array(nothing, pa.string())}), tmp_path / "transactions.parquet")
    folder = tmp_path / "features" / splits.FOLDER.format(splits.TEST)
    folder.mkdir(parents=True)
    columns = {name: np.zeros(ROWS, np.float32) for name in features.NAMES}
    columns[features.NAMES[0]] = np.where(frauds, 9, -9).astype(np.float32)
    pq.write_table(pa.table({"position": range(ROWS), **columns}), folder / "part.parquet")
    bundles = {}
    for framework in ("tensorflow", "xgboost"):
        bundles[framework] = str(tmp_path / framework)
        make_bundle(tmp_path / framework)
    return lambda: audit.audit(
        str(tmp_path / "features"), str(tmp_path / "transactions.parquet"), ENDS, bundles,
        "xgboost", tmp_path / "standing", SETTINGS)


def test_the_champion_of_the_run_comes_first_and_everyone_is_judged_on_the_same_rows(judge):
    audited = judge()
    assert list(audited.judgements) == list(audited.scores) == ["xgboost", "tensorflow"]
    assert {len(score) for score in audited.scores.values()} == {ROWS}
    assert audited.judgements["xgboost"].metrics["test_f1"] == 1.0
    assert audited.verdict.promote and "no champion stands" in audited.verdict.reason
    assert next(iter(audited.importance)) == "amount"


@pytest.fixture
def stands(make_bundle, logged, tags):
    """Makes a champion that stands and was tuned until a time."""
    def stands(tuned_until: int) -> None:
        with registry.registered(logged(), tags, lambda number, directory: make_bundle(
                directory, version=number, tuned_until=tuned_until)) as version:
            registry.promote(version, "first")

    return stands


def test_a_champion_that_stands_is_judged_beside_the_candidates(judge, stands):
    stands(tuned_until=1)
    audited = judge()
    assert list(audited.judgements) == ["xgboost", "tensorflow", "champion 1"]
    assert audited.verdict.promote
    assert audited.verdict.reason.startswith("not worse than champion 1 by more than 0.02: F1 +0.0")
    assert audited.verdict.reason.endswith("on 199 incidents")


@pytest.mark.parametrize(("tuned_until", "reason"), [
    (1_000, "insufficient evidence: 100 incidents"), (ROWS, "insufficient evidence: 0 incidents"),
    (0, "champion 1 does not say until when it was tuned")])
def test_what_the_standing_champion_was_tuned_on_is_no_evidence(
        judge, stands, tuned_until, reason):
    stands(tuned_until)
    audited = judge()
    assert list(audited.judgements) == ["xgboost", "tensorflow", "champion 1"]
    assert not audited.verdict.promote
    assert audited.verdict.reason.startswith(reason)


def test_each_look_at_the_test_period_is_counted(judge):
    assert [judge().window_uses for _ in range(2)] == [1, 2]


def test_a_champion_of_other_features_stays_until_someone_promotes_by_hand(
        judge, register, monkeypatch):
    registry.promote(register(), "first")
    load = bundle.load

    def load_with_other_features(directory, *arguments, **options):
        if Path(directory).name == "standing":
            raise bundle.BundleError("feature 3 is 'age', this code computes 'amount' there")
        return load(directory, *arguments, **options)

    monkeypatch.setattr(bundle, "load", load_with_other_features)
    audited = judge()
    assert list(audited.judgements) == ["xgboost", "tensorflow"]
    assert not audited.verdict.promote
    assert audited.verdict.reason.startswith("champion 1 cannot be compared with (feature 3 is")
