"""Small real values that several tests of training share."""

from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fraud import bundle, features
from fraud.training import assembly, registry, tracking
from fraud.training.candidate import Candidate, Variant


def linear_model(width: int) -> bytes:
    """ONNX of a model whose logit is the first feature."""
    weights = np.zeros((width, 1), np.float32)
    weights[0] = 1.0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weights"], ["logit"])], "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, width])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


@pytest.fixture
def make_candidate(tmp_path) -> Callable[..., Candidate]:
    """Makes a candidate of linear models, and its files."""

    def make(framework: str = "xgboost") -> Candidate:
        variants = {}
        for name, names in (("model", features.NAMES), ("fallback", features.FALLBACK_NAMES)):
            path = tmp_path / f"{framework}-{name}" / f"{name}.onnx"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(linear_model(len(names)))
            manifest = bundle.ModelManifest(
                file=path.name, sha256=bundle.sha256(path.read_bytes()), features=list(names),
                calibration=bundle.Calibration(1.0, 0.0), metrics={"validation_f1": 0.5},
                medians=dict.fromkeys(names, 0.0))
            variants[name] = Variant(
                onnx=str(path), native="", manifest=manifest, seconds=1.0,
                thresholds=bundle.Thresholds(review=0.5, decline=0.75),
                curves={"train_logloss": [0.2, 0.1], "early_logloss": [0.3, 0.2]})
        return Candidate(framework, {"rounds": 2}, **variants)

    return make


@pytest.fixture
def make_bundle(make_candidate) -> Callable[..., str]:
    """Writes the bundle of a version of a linear model into a directory; gives its digest."""

    def make(directory: Path, version: str = "1", **lineage) -> str:
        return assembly.write(make_candidate(), assembly.Lineage(**{
            "data_digest": "d" * 64, "git_commit": "c" * 40, "metaflow_run": "TrainFlow/7",
            "version": version, **lineage}), directory)

    return make


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """An MLflow database without a run: making its tables takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.search_experiments()
    return path


@pytest.fixture
def place(monkeypatch, tmp_path, empty_database):
    """A registry and a place to publish of the test's own."""
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    monkeypatch.chdir(tmp_path)
    # MLflow keeps a connection for each address: each test has an address of its own.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.delenv("FRAUD_MODEL", raising=False)
    monkeypatch.setenv("USER", "ann")
    return tmp_path


@pytest.fixture
def logged(place):
    """Logs a run with something that stands for a native model."""
    def log() -> tracking.Logged:
        tracking.connect()
        with tracking.run("a run", {}, {}) as run_id:
            mlflow.log_text("a model", "native/model")
        return tracking.Logged(run_id, None, f"runs:/{run_id}/native")

    return log


@pytest.fixture
def tags() -> dict[str, str]:
    return {"framework": "xgboost", "test_f1": "0.912345", "test_auprc": "0.9",
            "verdict": "it is good", "data_digest": "d" * 64}


@pytest.fixture
def register(make_bundle, logged, tags):
    """Registers versions; gives the number of the last."""

    def register(count: int = 1) -> str:
        for _ in range(count):
            with registry.registered(logged(), tags, lambda number, directory: make_bundle(
                    directory, version=number)) as version:
                pass
        return version

    return register
