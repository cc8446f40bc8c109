"""For tests of training: a registry of the test's own, and payments to learn from."""

import itertools
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest

from fraud import features
from fraud.features import DEFAULT
from fraud.training.models.hiding import hidden
from fraud.training.registry import Registry, tracking
from fraud.transaction import TYPE_CODES
from fraud.windows import COUNT_NAMES, counts_of


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
            "gate_reason": "it is good", "data_digest": "d" * 64, "git_commit": "c" * 40,
            "metaflow_run": "TrainFlow/7"}


@pytest.fixture
def register(make_bundle, logged, tags):
    """Registers versions; gives the number of the last."""

    def register(count: int = 1) -> str:
        for _ in range(count):
            with Registry().registered(logged(), tags, lambda number, directory: make_bundle(
                    directory, version=number)) as version:
                pass
        return version

    return register


@pytest.fixture(scope="session")
def make_payments() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Makes features, float32 of shape (rows, features), and labels of payments.

    Most frauds are transfers that empty an account that just received the money; no legitimate
    payment is like them, but some frauds are like legitimate payments. Some have no balance, or no
    week or month of history.
    """
    def make(rows: int, fraud_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        label = (rng.permutation(rows) < rows * fraud_share).astype(np.int8)
        typical = (label == 1) & (rng.random(rows) < 0.9)

        def cents() -> np.ndarray:
            return (rng.lognormal(8, 2, rows) * 100).astype(np.int64)

        amount, counts = cents(), rng.poisson(1.0, (len(COUNT_NAMES), rows))
        for place, name in enumerate(COUNT_NAMES):
            if "cents" in name:
                counts[place] = cents()
        received = COUNT_NAMES.index("origin_received_cents_hour")
        counts[received] = np.where(typical, amount, counts[received])
        payments = features.PaymentColumns(
            event_time=np.arange(rows) * 60_000,
            type=np.where(typical, TYPE_CODES["TRANSFER"], rng.integers(0, 5, rows)),
            amount_cents=amount,
            destination=np.ones(rows, bool),
            origin_balance_cents=np.where(typical, amount, cents() - 10_000).astype(float),
            destination_balance_cents=cents().astype(float))
        matrix = DEFAULT.matrix(payments, counts_of(list(counts)))
        return hidden(matrix, DEFAULT, seed), label

    return make


@pytest.fixture(scope="session")
def extreme_rows() -> np.ndarray:
    """Features at and beyond the ends of what a payment may hold: float32, shape (n, features)."""
    most = 10**14                                        # cents
    ends = np.array(list(itertools.product((0, 1, most), (-most, 0, 1, most), (-most, 0, most),
                                           (0, 1, most), range(5))), np.int64).T
    amount, origin, destination, count, type_code = ends
    payments = features.PaymentColumns(
        np.zeros_like(amount), type_code, amount, np.ones(amount.size, bool), origin.astype(float),
        destination.astype(float))
    computed = DEFAULT.matrix(payments, counts_of([count] * len(COUNT_NAMES)))
    return np.concatenate([computed, np.full((3, len(DEFAULT.names)), 1e12, np.float32)
                           * np.array([[-1], [0], [1]], np.float32)])
