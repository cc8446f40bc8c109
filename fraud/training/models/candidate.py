"""A candidate: a framework's model and its fallback, trained, calibrated and measured.

Both frameworks go through here and differ only in their trainer module: `fit`, `save`, `load`,
`logits`, `export` and `SUFFIX`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from fraud import bundle
from fraud.features import FeatureTable
from fraud.training.evaluation.calibration import fit_calibration
from fraud.training.evaluation.metrics import period_metrics
from fraud.training.evaluation.thresholds import decline_threshold, with_review
from fraud.training.features import splits
from fraud.training.features.splits import Rows, Traffic
from fraud.training.features.stored_features import StoredFeatures
from fraud.training.models import boosted_trees, neural_network, samples, tuning
from fraud.training.models.hiding import hidden
from fraud.training.models.medians import Medians, medians_of
from fraud.training.models.samples import LabelledSample
from fraud.training.settings import TrainingSettings

TRAINERS = {"xgboost": boosted_trees, "tensorflow": neural_network}
VARIANTS = ("model", "fallback")


@dataclass(frozen=True)
class Variant:
    """One trained model, with its manifest, thresholds and learning curves."""

    onnx: str                          # paths of files
    native: str
    manifest: bundle.ModelManifest
    thresholds: bundle.Thresholds
    curves: dict[str, list[float]]     # log loss by round or epoch
    seconds: float                     # to fit, without reading or measuring


class MeasuredPayments(NamedTuple):
    """Payments that models are calibrated and measured on."""

    validation: Rows
    features: StoredFeatures    # of the traffic, which has all payments of validation
    traffic: Traffic


@dataclass(frozen=True)
class Candidate:
    """A framework's model and its fallback without history."""

    framework: str
    parameters: dict
    types: tuple[str, ...]             # of the payments
    left_out: tuple[str, ...]          # features that are not known in the training data
    alerts_per_day: float              # the budget of the thresholds
    model: Variant
    fallback: Variant

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of validation, and the seconds that both fits took."""
        return {**self.model.manifest.metrics,
                "training_seconds": self.model.seconds + self.fallback.seconds,
                **{f"fallback_{name}": value
                   for name, value in self.fallback.manifest.metrics.items()}}


def best(candidates: Iterable[Candidate]) -> str:
    """Return the framework with the highest F1 in validation.

    Ties are broken by AUPRC, then by name.
    """
    def rank(candidate: Candidate) -> tuple[float, float, str]:
        metrics = candidate.metrics
        return -metrics["validation_f1"], -metrics["validation_auprc"], candidate.framework

    return min(candidates, key=rank).framework


def train(framework: str, table: FeatureTable, folder: str, transactions: str,
          ends: dict[str, int], directory: Path, settings: TrainingSettings,
          trials: int = 0) -> Candidate:
    """Fit a framework's model and fallback, and measure them in validation.

    Windows and balances are hidden in a share of the rows to fit on, so that the model works
    without them, too (`hiding`).

    Args:
        table: the features in `folder`.
        folder, transactions, ends: see `splits.read_split`; the test period is not read.
        directory: receives the ONNX and native files.
        trials: of the hyperparameter search; 0 trains with the settings as configured.

    Raises:
        TrainingError: a period holds one class only, or the model learned nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    train_rows, early_stopping, calibration = (
        splits.read_split(folder, transactions, name, ends)
        for name in (splits.TRAIN, splits.EARLY_STOPPING, splits.CALIBRATION))
    medians = medians_of(train_rows, table.types)
    types_of_fraud = np.unique(train_rows.type[train_rows.label == 1])
    drawn = [samples.draw(rows, types_of_fraud, most, settings.seed)
             for rows, most in ((train_rows, samples.TO_FIT), (early_stopping, samples.TO_STOP))]
    to_fit = [sample._replace(features=hidden(sample.features, table, settings.seed))
              for sample in drawn]
    validation = splits.validation(
        early_stopping, calibration, splits.mature_until(transactions, ends))
    if trials:
        settings = tuning.tuned(framework, TRAINERS[framework], to_fit, validation, settings,
                                trials)
    measuring = MeasuredPayments(validation, *splits.read_traffic(folder, transactions, ends))
    variants = {name: _variant(framework, name, medians.of(names), to_fit, measuring, directory,
                               settings)
                for name, names in zip(VARIANTS, (table.names, table.fallback_names), strict=True)}
    parameters = msgspec.to_builtins(getattr(settings, framework))
    if trials:
        parameters["search_trials"] = trials
    return Candidate(
        framework, parameters, table.types,
        tuple(sorted(table.left_out)), settings.alerts.alerts_per_day, **variants)


def _variant(framework: str, name: str, medians: Medians, to_fit: Sequence[LabelledSample],
             measuring: MeasuredPayments, directory: Path, settings: TrainingSettings) -> Variant:
    trainer, width = TRAINERS[framework], len(medians.overall)
    inputs = [sample.first(width) for sample in to_fit]
    started = time.perf_counter()
    model, curves = trainer.fit(*inputs, getattr(settings, framework), settings.seed)
    seconds = time.perf_counter() - started
    onnx, native = directory / f"{name}.onnx", directory / f"{name}{trainer.SUFFIX}"
    trainer.export(model, width, onnx)
    trainer.save(model, native)
    manifest, thresholds = _measured(onnx, medians, measuring, settings)
    print(f"{framework} {name}: {len(curves['early_stopping_logloss'])} rounds in {seconds:.1f} s, "
          f"validation F1 {manifest.metrics['validation_f1']:.3f}, "
          f"AUPRC {manifest.metrics['validation_auprc']:.3f}")
    return Variant(onnx=str(onnx), native=str(native), manifest=manifest, thresholds=thresholds,
                   curves=curves, seconds=seconds)


def _measured(onnx: Path, medians: Medians, measuring: MeasuredPayments, settings: TrainingSettings
              ) -> tuple[bundle.ModelManifest, bundle.Thresholds]:
    """Calibrate, choose thresholds and measure, in validation and through ONNX."""
    period, traffic = measuring.validation, measuring.traffic
    all_logits = measuring.features.scored(
        list(medians.overall), onnx_logits(onnx.read_bytes()))
    logits = all_logits[measuring.features.index_of(period.features)]
    calibration = fit_calibration(logits, period.label)
    scores, all_scores = (bundle.calibrated(some, calibration) for some in (logits, all_logits))
    alerts, decline = settings.alerts, decline_threshold(all_scores)
    thresholds = with_review(
        bundle.Thresholds(decline, decline, alerts.review_by, alerts.decline_from),
        all_scores, traffic, alerts.alerts_per_day)
    metrics = period_metrics(scores, period.label, decline, period.days, "validation_")
    manifest = bundle.ModelManifest(
        file=onnx.name, sha256=bundle.sha256(onnx.read_bytes()), features=list(medians.overall),
        calibration=calibration, metrics=metrics, medians=medians.overall,
        medians_by_type=medians.by_type)
    return manifest, thresholds


def onnx_logits(onnx: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return an ONNX model as a function of float32 rows that uses all cores.

    The function takes rows of shape (n, features) and returns logits: float32, shape (n,).
    """
    session = bundle.open_session(onnx, threads=0)
    name = session.get_inputs()[0].name
    return lambda rows: session.run(None, {name: rows})[0].reshape(-1)
