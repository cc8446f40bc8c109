"""Tracking in MLflow: one run for each training run, with a child for each candidate.

MLFLOW_TRACKING_URI names the server, by default a SQLite file in the working directory.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fraud.training import files, quiet
from fraud.training.errors import TrainingError
from fraud.training.models.candidate import TRAINERS, VARIANTS, Candidate, Variant
from fraud.training.registry.lineage import Lineage

EXPERIMENT = "fraud-detection"
SQLITE = "sqlite:///"
DEFAULT_URI = SQLITE + "mlflow.db"
DIGEST_CHARACTERS = 36      # of a dataset's digest, at most: MLflow's limit


class RunTimes(NamedTuple):
    """The start and the end of a run, ms since the epoch; an end of None is its logging."""

    start: int
    end: int | None


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
def run(name: str, parameters: dict, tags: dict[str, str], parent: str = "",
        times: RunTimes | None = None) -> Iterator[str]:
    """Open an MLflow run and give its id; it is marked as failed if the block raises.

    Args:
        parent: id of the run that it is a child of.
        times: of the work that it records; None: that of the block.
    """
    import mlflow
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    client = mlflow.MlflowClient()
    created = client.create_run(
        mlflow.set_experiment(EXPERIMENT).experiment_id, times.start if times else None,
        resolve_tags(tags | ({MLFLOW_PARENT_RUN_ID: parent} if parent else {})), name)
    with mlflow.start_run(created.info.run_id, nested=bool(parent), log_system_metrics=False):
        mlflow.log_params(parameters)
        yield created.info.run_id
    if times and times.end:
        client.set_terminated(created.info.run_id, end_time=times.end)


def log_metrics(metrics: dict[str, float]) -> None:
    """Log metrics on the active run."""
    import mlflow

    mlflow.log_metrics(metrics)


def log_text(text: str, file: str) -> None:
    """Keep a text as a file of the active run."""
    import mlflow

    mlflow.log_text(text, file)


def log_figures(directory: Path) -> None:
    """Keep the files of a directory as figures of the active run."""
    import mlflow

    mlflow.log_artifacts(str(directory), "figures")


def log_dataset(run_id: str, lineage: Lineage, features: list[str]) -> None:
    """Log the training data as the dataset of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source_type = lineage.data_file.partition("://")[0] if "://" in lineage.data_file else "local"
    dataset = Dataset(
        name=lineage.data_file.rpartition("/")[2] or "payments",
        digest=lineage.data_digest[:DIGEST_CHARACTERS], source_type=source_type,
        source=json.dumps({"uri": lineage.data_file}),
        schema=json.dumps({"mlflow_colspec": [
            {"name": name, "type": "float", "required": True} for name in features]}),
        profile=json.dumps({"sha256": lineage.data_digest, "dvc_md5": lineage.data_md5,
                            "mapping_sha256": lineage.mapping_digest,
                            "tuned_until": lineage.tuned_until}))
    connect().log_inputs(run_id, datasets=[
        DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def log_candidate(candidate: Candidate, metrics: dict[str, float], parent: str,
                  lineage: Lineage, times: RunTimes | None) -> Logged:
    """Log a candidate as a run: parameters, metrics, curves, data, native models.

    Args:
        metrics: in addition to the candidate's.
        parent: id of the training run.
        times: of its fit.
    """
    import mlflow

    with run(candidate.framework, candidate.parameters, {}, parent, times) as run_id:
        log_metrics({**candidate.metrics, **metrics})
        log_dataset(run_id, lineage, candidate.model.manifest.features)
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
    """Log the model in its framework's format, for `mlflow models serve` and for people.

    The example holds the medians of the features. Their names are columns of the signature, but
    MLflow takes only one tensor without names for TensorFlow; the metadata has them for both.
    """
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    features = variant.manifest.features
    example = pd.DataFrame([variant.manifest.medians], columns=features, dtype=np.float32)
    inputs: list = [ColSpec("float", feature) for feature in features]
    if framework == "tensorflow":
        example = example.to_numpy()
        inputs = [TensorSpec(np.dtype(np.float32), (-1, len(features)))]
    # MLflow imports TensorFlow whatever the framework, and Keras shows its progress on the example.
    with quiet.suppress_startup_output(), redirect_stdout(StringIO()):
        flavor = importlib.import_module(f"mlflow.{framework}")
        return flavor.log_model(
            TRAINERS[framework].load(variant.native), name=name,
            pip_requirements=[f"{library}=={version(library)}"
                              for library in (framework, "mlflow", "numpy")],
            input_example=example, metadata={"features": features},
            signature=ModelSignature(
                inputs=Schema(inputs),
                outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 1))])))
