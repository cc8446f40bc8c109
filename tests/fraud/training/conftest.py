"""A registry of its own for each test of training that needs one."""

from pathlib import Path

import mlflow
import pytest

from fraud.training import registry, tracking


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
