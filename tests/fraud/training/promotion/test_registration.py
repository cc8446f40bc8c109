"""That all of it is logged is shown on the trained flow, in tests/flows."""

import tomllib
from types import SimpleNamespace

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.training import settings
from fraud.training.errors import TrainingError
from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.incidents import IncidentOutcomes
from fraud.training.evaluation.test_report import TestReport
from fraud.training.promotion import registration
from fraud.training.registry import Registry, publication, reference, tracking
from fraud.training.registry.lineage import Lineage
from tests.tools import ROOT

pytestmark = pytest.mark.usefixtures("place")

LINEAGE = Lineage("d" * 64, "c" * 40, "TrainFlow/7")
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
    return lambda promote: registration.register(
        {"xgboost": candidate}, "xgboost", {"xgboost": REPORT},
        PromotionDecision(promote, "the reason"), LINEAGE, "# The model card", validated,
        SETTINGS, "F1 fell")


def test_a_version_that_may_is_promoted(register):
    registered = register(promote=True)
    assert registered == registration.Registered("1", registered.mlflow_run, promoted=True)
    champion = Registry().champion()
    assert champion.tags["promotion_reason"] == champion.tags["gate_reason"] == "the reason"
    assert champion.tags["started_because"] == "F1 fell"
    assert (champion.tags["test_f1"], champion.tags["gate"]) == ("0.800000", "passed")
    assert mlflow.artifacts.load_text(
        f"runs:/{registered.mlflow_run}/model-card.md") == "# The model card"
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
