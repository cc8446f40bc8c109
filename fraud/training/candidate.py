"""One candidate for champion: a framework's model and its fallback, calibrated and judged.

Both frameworks go through here and differ only in the trainer module that they bring: `fit`,
`save`, `load`, `logits`, `export` and `SUFFIX`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from fraud import bundle, features
from fraud.training import boosted_trees, evaluation, neural_network, splits
from fraud.training.settings import Settings
from fraud.training.splits import Rows

TRAINERS = {"xgboost": boosted_trees, "tensorflow": neural_network}
VARIANTS = {"model": features.NAMES, "fallback": features.FALLBACK_NAMES}


@dataclass(frozen=True)
class Variant:
    """One trained model: what a manifest needs, and what people want to see."""

    onnx: str                          # paths of files
    native: str
    manifest: bundle.ModelManifest
    thresholds: bundle.Thresholds
    curves: dict[str, list[float]]     # log loss by round or epoch
    seconds: float                     # to fit, without reading or judging


@dataclass(frozen=True)
class Candidate:
    """A framework's model and its fallback without history."""

    framework: str
    parameters: dict
    model: Variant
    fallback: Variant

    @property
    def metrics(self) -> dict[str, float]:
        """The validation metrics of the model, and the seconds both fits took."""
        return {**self.model.manifest.metrics,
                "training_seconds": self.model.seconds + self.fallback.seconds,
                **{f"fallback_{name}": value
                   for name, value in self.fallback.manifest.metrics.items()}}


def train(framework: str, folder: str, transactions: str, ends: dict[str, int], directory: Path,
          settings: Settings) -> Candidate:
    """Fit a framework's model and fallback on the train period, judge them on late validation.

    Args:
        folder, transactions, ends: see `splits.read`; the test period is not read.
        directory: where the ONNX and native files go.

    Raises:
        TrainingError: a period holds one class only, or the model learned nothing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    rows = {name: splits.read(folder, transactions, name, ends)
            for name in (splits.TRAIN, splits.EARLY, splits.LATE)}
    parameters = getattr(settings, framework)
    variants = {name: _variant(framework, name, rows, parameters, settings, directory)
                for name in VARIANTS}
    return Candidate(framework, msgspec.to_builtins(parameters), **variants)


def _variant(framework: str, name: str, rows: dict[str, Rows], parameters, settings: Settings,
             directory: Path) -> Variant:
    trainer, width = TRAINERS[framework], len(VARIANTS[name])
    train_rows, early = rows[splits.TRAIN], rows[splits.EARLY]
    started = time.perf_counter()
    model, curves = trainer.fit(
        np.ascontiguousarray(train_rows.features[:, :width]), train_rows.label,
        np.ascontiguousarray(early.features[:, :width]), early.label, parameters, settings.seed)
    seconds = time.perf_counter() - started
    onnx, native = directory / f"{name}.onnx", directory / f"{name}{trainer.SUFFIX}"
    trainer.export(model, width, onnx)
    trainer.save(model, native)
    variant = _judged(name, onnx, native, rows, settings, curves, seconds)
    found = variant.manifest.metrics
    print(f"{framework} {name}: {len(curves['early_logloss'])} rounds in {seconds:.1f} s, "
          f"validation F1 {found['validation_f1']:.3f}, AUPRC {found['validation_auprc']:.3f}")
    return variant


def _judged(name: str, onnx: Path, native: Path, rows: dict[str, Rows], settings: Settings,
            curves: dict, seconds: float) -> Variant:
    """Calibrate, choose thresholds and measure, all on late validation and through ONNX."""
    late, names = rows[splits.LATE], VARIANTS[name]
    logits = score_logits(onnx.read_bytes(), late.features[:, :len(names)])
    calibration = evaluation.fit_calibration(logits, late.label)
    scores = bundle.calibrated(logits, calibration)
    thresholds = evaluation.choose_thresholds(
        scores, late.label, settings.policy.alerts_per_day * late.days)
    return Variant(
        onnx=str(onnx), native=str(native), thresholds=thresholds, curves=curves, seconds=seconds,
        manifest=bundle.ModelManifest(
            file=onnx.name, sha256=bundle.sha256(onnx.read_bytes()), features=list(names),
            calibration=calibration, medians=_medians(rows[splits.TRAIN], names),
            metrics=evaluation.metrics(scores, late.label, thresholds.decline, late.days,
                                       "validation_")))


def _medians(rows: Rows, names: tuple[str, ...]) -> dict[str, float]:
    """Medians of honest payments: what explanations compare with."""
    honest = rows.features[rows.label == 0, :len(names)]
    return dict(zip(names, np.median(honest, axis=0).tolist()))


def score_logits(onnx: bytes, rows: np.ndarray) -> np.ndarray:
    """What an ONNX model says of float32 rows, with all cores: float32, shape (n,)."""
    session = bundle.open_session(onnx, threads=0)
    name = session.get_inputs()[0].name
    chunks = np.array_split(np.ascontiguousarray(rows), max(1, len(rows) // 100_000))
    return np.concatenate([session.run(None, {name: chunk})[0].reshape(-1) for chunk in chunks])
