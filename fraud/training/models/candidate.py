"""A candidate: a framework's model and its fallback, trained, calibrated and measured.

Both frameworks go through here and differ only in their trainer module: `fit`, `save`, `load`,
`logits`, `export` and `SUFFIX`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from fraud import bundle
from fraud.features import FeatureTable
from fraud.training.evaluation.calibration import fit_calibration
from fraud.training.evaluation.metrics import period_metrics
from fraud.training.evaluation.thresholds import decline_threshold, with_review
from fraud.training.features import splits
from fraud.training.features.splits import Rows, Traffic
from fraud.training.models import boosted_trees, neural_network, tuning
from fraud.training.models.hiding import hidden
from fraud.training.models.medians import Medians, medians_of
from fraud.training.settings import TrainingSettings

TRAINERS = {"xgboost": boosted_trees, "tensorflow": neural_network}
VARIANTS = ("model", "fallback")
OTHER_TYPES_SHARE = 0.1     # of the payments of types without fraud, to fit on


@dataclass(frozen=True)
class Variant:
    """One trained model, with its manifest, thresholds and learning curves."""

    onnx: str                          # paths of files
    native: str
    manifest: bundle.ModelManifest
    thresholds: bundle.Thresholds
    curves: dict[str, list[float]]     # log loss by round or epoch
    seconds: float                     # to fit, without reading or measuring


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
    rows = {name: splits.read_split(folder, transactions, name, ends)
            for name in (splits.TRAIN, splits.EARLY_STOPPING, splits.CALIBRATION)}
    medians = medians_of(rows[splits.TRAIN], table.types)
    of_fraud = np.unique(rows[splits.TRAIN].type[rows[splits.TRAIN].label == 1])
    rows[splits.VALIDATION] = splits.validation(
        rows[splits.EARLY_STOPPING], rows.pop(splits.CALIBRATION),
        splits.mature_until(transactions, ends))
    for name in (splits.TRAIN, splits.EARLY_STOPPING):
        to_fit = rows_to_fit(rows[name], of_fraud, settings.seed)
        rows[name] = replace(to_fit, features=hidden(to_fit.features, table, settings.seed))
    if trials:
        settings = tuning.tuned(framework, TRAINERS[framework], rows, settings, trials)
    inputs = zip(VARIANTS, (table.names, table.fallback_names), strict=True)
    traffic = splits.read_traffic(folder, transactions, ends)
    variants = {name: _variant(framework, name, medians.of(names), rows, traffic, directory,
                               settings)
                for name, names in inputs}
    parameters = msgspec.to_builtins(getattr(settings, framework))
    if trials:
        parameters["search_trials"] = trials
    return Candidate(
        framework, parameters, table.types,
        tuple(sorted(table.left_out)), settings.alerts.alerts_per_day, **variants)


def rows_to_fit(rows: Rows, types_of_fraud: np.ndarray, seed: int) -> Rows:
    """Return the payments of types that hold fraud, and a drawn share of the others.

    A model learns little from types without fraud, which are most of the payments. No type is left
    out, so that none is scored blindly.
    """
    drawn = np.random.default_rng(seed).random(rows.label.size) < OTHER_TYPES_SHARE
    return rows.only(drawn | np.isin(rows.type, types_of_fraud))


def _variant(framework: str, name: str, medians: Medians, rows: dict[str, Rows],
             traffic: Traffic, directory: Path, settings: TrainingSettings) -> Variant:
    trainer, width = TRAINERS[framework], len(medians.overall)
    train_rows, early = rows[splits.TRAIN], rows[splits.EARLY_STOPPING]
    started = time.perf_counter()
    model, curves = trainer.fit(
        np.ascontiguousarray(train_rows.features[:, :width]), train_rows.label,
        np.ascontiguousarray(early.features[:, :width]), early.label,
        getattr(settings, framework), settings.seed)
    seconds = time.perf_counter() - started
    onnx, native = directory / f"{name}.onnx", directory / f"{name}{trainer.SUFFIX}"
    trainer.export(model, width, onnx)
    trainer.save(model, native)
    manifest, thresholds = _measured(onnx, medians, rows[splits.VALIDATION], traffic, settings)
    print(f"{framework} {name}: {len(curves['early_stopping_logloss'])} rounds in {seconds:.1f} s, "
          f"validation F1 {manifest.metrics['validation_f1']:.3f}, "
          f"AUPRC {manifest.metrics['validation_auprc']:.3f}")
    return Variant(onnx=str(onnx), native=str(native), manifest=manifest, thresholds=thresholds,
                   curves=curves, seconds=seconds)


def _measured(onnx: Path, medians: Medians, period: Rows, traffic: Traffic,
              settings: TrainingSettings) -> tuple[bundle.ModelManifest, bundle.Thresholds]:
    """Calibrate, choose thresholds and measure, in validation and through ONNX."""
    logits = score_logits(onnx.read_bytes(), period.features[:, :len(medians.overall)])
    calibration = fit_calibration(logits, period.label)
    scores = bundle.calibrated(logits, calibration)
    all_scores = bundle.calibrated(
        score_logits(onnx.read_bytes(), traffic.features[:, :len(medians.overall)]), calibration)
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


def score_logits(onnx: bytes, rows: np.ndarray) -> np.ndarray:
    """Return an ONNX model's logits of float32 rows, on all cores: float32, shape (n,)."""
    session = bundle.open_session(onnx, threads=0)
    name = session.get_inputs()[0].name
    chunks = np.array_split(np.ascontiguousarray(rows), max(1, len(rows) // 100_000))
    return np.concatenate([session.run(None, {name: chunk})[0].reshape(-1) for chunk in chunks])
