"""Tracking in MLflow: one run for each training run, with a child for each candidate.

MLFLOW_TRACKING_URI names the server, by default a SQLite file in the working directory.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fraud.training import files, quiet
from fraud.training.errors import TrainingError
from fraud.training.models.candidate import TRAINERS, VARIANTS, Candidate, Variant

EXPERIMENT = "fraud-detection"
SQLITE = "sqlite:///"
DEFAULT_URI = SQLITE + "mlflow.db"


@dataclass(frozen=True)
class Logged:
    """A candidate in MLflow: its run, and its native model as a logged model."""

    run_id: str
    model_id: str
    model_uri: str


def uri() -> str:
    """Return the address of MLflow."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def connect():
    """Return MLflow's client, with the address set for the process.

    Raises:
        TrainingError: MLflow's store cannot be used, such as one of another MLflow's schema.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow.exceptions import MlflowException

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri())
    try:
        with _locked_folder(uri()):
            return mlflow.MlflowClient()
    except (MlflowException, OSError) as error:
        raise TrainingError(f"MLFLOW_TRACKING_URI is {uri()!r}, which cannot be used: "
                            f"{files.reason(error)}") from error


@contextmanager
def _locked_folder(address: str) -> Iterator[None]:
    """Lock the folder of a SQLite file: two first clients at once would both create its tables."""
    if not address.startswith(SQLITE):
        yield
        return
    folder = os.open(Path(address.removeprefix(SQLITE)).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@contextmanager
def run(name: str, parameters: dict, tags: dict[str, str], nested: bool = False) -> Iterator[str]:
    """Open an MLflow run and give its id; it is marked as failed if the block raises."""
    import mlflow

    if not nested:
        mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=name, nested=nested, tags=tags,
                          log_system_metrics=False) as started:
        mlflow.log_params(parameters)
        yield started.info.run_id


def log_metrics(metrics: dict[str, float]) -> None:
    """Log metrics on the active run."""
    import mlflow

    mlflow.log_metrics(metrics)


def log_text(text: str, file: str) -> None:
    """Keep a text as a file of the active run."""
    import mlflow

    mlflow.log_text(text, file)


def log_candidate(candidate: Candidate, metrics: dict[str, float]) -> Logged:
    """Log a candidate as a child of the active run: parameters, metrics, curves, native models.

    Args:
        metrics: in addition to the candidate's.
    """
    import mlflow

    with run(candidate.framework, candidate.parameters, {}, nested=True) as run_id:
        log_metrics({**candidate.metrics, **metrics})
        for name in VARIANTS:
            variant: Variant = getattr(candidate, name)
            _log_curves(run_id, name, variant.curves)
            mlflow.log_artifact(variant.onnx, "onnx")
        fallback = _log_native(candidate.framework, candidate.fallback, "fallback")
        mlflow.set_tag("fallback_model", fallback.model_uri)
        model = _log_native(candidate.framework, candidate.model, "native")
    return Logged(run_id, model.model_id, model.model_uri)


def _log_curves(run_id: str, name: str, curves: dict[str, list[float]]) -> None:
    from mlflow.entities import Metric

    prefix = "" if name == "model" else f"{name}_"
    client, points = connect(), []
    for curve, values in curves.items():
        points += [Metric(prefix + curve, value, 0, step) for step, value in enumerate(values)]
    for first in range(0, len(points), 1_000):      # MLflow's limit of a request
        client.log_batch(run_id, metrics=points[first:first + 1_000])


def _log_native(framework: str, variant: Variant, name: str):
    """Log the model in its framework's format, for `mlflow models serve` and for people."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    with quiet.suppress_startup_output():      # MLflow imports TensorFlow whatever the framework
        flavor = importlib.import_module(f"mlflow.{framework}")
        return flavor.log_model(
            TRAINERS[framework].load(variant.native), name=name,
            pip_requirements=[f"{library}=={version(library)}"
                              for library in (framework, "mlflow", "numpy")],
            signature=ModelSignature(
                inputs=Schema([TensorSpec(np.dtype(np.float32),
                                          (-1, len(variant.manifest.features)))]),
                outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 1))])))
