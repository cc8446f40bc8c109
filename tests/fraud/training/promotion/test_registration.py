"""That all of it is logged is shown on the trained flow, in tests/flows."""

import json
import tomllib
from types import SimpleNamespace

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.features import DEFAULT
from fraud.training import settings
from fraud.training.errors import TrainingError
from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.incidents import IncidentOutcomes
from fraud.training.evaluation.test_report import TestReport
from fraud.training.promotion import registration
from fraud.training.promotion.registration import RunRecord
from fraud.training.registry import Registry, publication, reference, tracking
from fraud.training.registry.lineage import Lineage
from fraud.training.registry.tracking import RunTimes
from tests.tools import ROOT

pytestmark = pytest.mark.usefixtures("place")

CARD = "# The model card\n\n## Limits\n\n- It has learned the past."
LINEAGE = Lineage("d" * 64, "c" * 40, "TrainFlow/7", data_file="data/payments.csv",
                  data_md5="e" * 32, trained_at=1_000)
SETTINGS = settings.parse(tomllib.loads(
    (ROOT / "flows/train_flow.toml").read_text()))
REPORT = TestReport("xgboost", {"test_f1": 0.8, "test_auprc": 0.75}, (0.7, 0.9), {},
                    *2 * [IncidentOutcomes(1, 1, 1.0, 0.0, 0.0)], (1, 0, 0, 1), 1.0, 1.0, 3)


@pytest.fixture
def register(make_candidate, monkeypatch, tmp_path):
    """Registers a candidate; a text stands for its native model."""
    def log_native(framework, variant, name):
        mlflow.log_text("a model", f"{name}/model")
        return SimpleNamespace(model_id=None,
                               model_uri=f"runs:/{mlflow.active_run().info.run_id}/{name}")

    monkeypatch.setattr(tracking, "_log_native", log_native)
    candidate, validated = make_candidate(), tmp_path / "validated.parquet"
    pq.write_table(pa.table({"score": [0.25, 0.5]}), validated)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/gain.png").write_bytes(b"a figure")
    record = RunRecord(CARD, validated, tmp_path / "figures", {"xgboost": RunTimes(2_000, 9_000)},
                       "F1 fell")
    return lambda promote: registration.register(
        {"xgboost": candidate}, "xgboost", {"xgboost": REPORT},
        PromotionDecision(promote, "the reason"), LINEAGE, record, SETTINGS)


def test_a_version_that_may_is_promoted(register):
    registered = register(promote=True)
    assert registered == registration.Registered("1", registered.mlflow_run, promoted=True)
    champion = Registry().champion()
    assert champion.tags["promotion_reason"] == champion.tags["gate_reason"] == "the reason"
    assert champion.tags["started_because"] == "F1 fell"
    assert (champion.tags["test_f1"], champion.tags["gate"]) == ("0.800000", "passed")
    assert mlflow.artifacts.load_text(
        f"runs:/{registered.mlflow_run}/model-card.md") == CARD
    assert publication.published("models").version == "1"


def test_a_version_that_may_not_is_the_challenger(register):
    assert not register(promote=False).promoted
    (version,) = Registry().versions()
    assert version.tags["gate"] == "refused"
    assert Registry().champion() is None
    client = tracking.connect()
    assert client.get_model_version_by_alias("fraud-detector", "challenger").version == \
        int(version.number)
    assert publication.published("models") is None


def test_curves_and_parameters_are_logged_and_the_bundle_knows_its_run(register):
    register(promote=True)
    client = tracking.connect()
    run = client.get_run(Registry().champion().run_id)
    history = client.get_metric_history(run.info.run_id, "fallback_train_logloss")
    assert [(point.step, point.value) for point in history] == [(0, 0.2), (1, 0.1)]
    assert run.data.params == {"rounds": "2"}
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.params["floors.test_f1"] == str(SETTINGS.floors.test_f1)
    assert "xgboost.max_depth" not in parent.data.params


@pytest.mark.parametrize("fails", ["_log_native", "_log_curves"])
def test_a_run_that_fails_in_logging_registers_nothing(register, monkeypatch, fails):
    def dies(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(tracking, fails, dies)
    with pytest.raises(OSError, match="disk full"):
        register(promote=True)
    assert Registry().versions() == []
    assert publication.published("models") is None
    statuses = {run.info.status for run in mlflow.search_runs(
        experiment_names=["fraud-detection"], output_format="list")}
    assert statuses == {"FAILED"}


def test_what_a_version_saw_in_validation_is_kept_with_its_number(register, place):
    register(promote=True)
    register(promote=False)
    for version in ("1", "2"):
        Registry().copy_reference(version, place / version)
        kept = pq.read_table(place / version / reference.FILE)
        assert kept.schema.metadata[reference.VERSION] == version.encode()
        assert kept["score"].to_pylist() == [0.25, 0.5]


def test_a_run_that_cannot_publish_registers_nothing(register, monkeypatch):
    monkeypatch.setenv("FRAUD_MODEL", "/proc/models")
    with pytest.raises(TrainingError, match="/proc/models: cannot be written to"):
        register(promote=True)
    assert Registry().versions() == []
    assert Registry().champion() is None


def test_pages_of_model_and_version_hold_the_model_card(register):
    register(promote=True)
    client = tracking.connect()
    version = client.get_model_version("fraud-detector", "1")
    assert version.description == CARD
    model = client.get_registered_model("fraud-detector")
    assert model.description.startswith("Scores payments")
    assert model.description.endswith("## Limits\n\n- It has learned the past.")


def test_a_long_model_card_is_cut_at_a_line_and_says_where_the_rest_is(register):
    register(promote=False)
    card = "\n".join(f"line {number} " + "x" * 90 for number in range(100))
    Registry().describe("1", card)
    kept = tracking.connect().get_model_version("fraud-detector", "1").description
    assert 4_800 < len(kept) <= 5_000
    lines, _, rest = kept.partition("\n\n")
    assert card.startswith(lines + "\n") and rest.startswith("The rest is in `model-card.md`")


def test_runs_have_their_data_their_figures_and_the_times_of_the_work(register):
    registered = register(promote=True)
    client = tracking.connect()
    parent = client.get_run(registered.mlflow_run)
    child = client.get_run(Registry().champion().run_id)
    assert parent.info.start_time == 1_000 and parent.info.end_time > 1_000_000
    assert (child.info.start_time, child.info.end_time) == (2_000, 9_000)
    for run in (parent, child):
        [logged] = run.inputs.dataset_inputs
        data = logged.dataset
        assert (data.name, data.digest, data.source_type) == ("payments.csv", "d" * 36, "local")
        assert json.loads(data.source) == {"uri": "data/payments.csv"}
        assert json.loads(data.profile)["sha256"] == "d" * 64
        names = [column["name"] for column in json.loads(data.schema)["mlflow_colspec"]]
        assert names == list(DEFAULT.names)
        assert [(tag.key, tag.value) for tag in logged.tags] == [
            ("mlflow.data.context", "training")]
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "figures")] == [
        "figures/gain.png"]
