"""An ONNX model: scores feature rows, and explains the scores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fraud import reasons
from fraud.bundle.manifest import Calibration, ModelManifest
from fraud.feature_definitions import TYPE
from fraud.features import ExactValues, FeatureTable
from fraud.reasons import Reason, UsualPayment

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")     # else it reports models to its vendor
import onnxruntime  # noqa: E402

MAX_EXPONENT = 700.0    # e to a larger power is infinite in float64
MAX_REASONS = 3         # of one answer


class OnnxModel:
    """One ONNX graph with its calibration.

    `groups` has the input columns of each group of features that explanations set together. A
    feature that is not known is NaN, for the graph as it was in training.
    """

    def __init__(self, session: onnxruntime.InferenceSession, manifest: ModelManifest,
                 table: FeatureTable):
        self.table = table
        self.features = tuple(manifest.features)
        self.metrics = manifest.metrics
        self._session = session
        self._input = session.get_inputs()[0].name
        self._calibration = manifest.calibration
        self._usual = {name: UsualPayment(manifest.medians_by_type[name], name)
                       for name in table.types}
        self._usual_rows = {name: _row(usual, self.features) for name, usual in self._usual.items()}
        self.groups = _columns_of_groups(self.features, table)
        self._explained = {group: columns for group, columns in self.groups.items()
                           if group != TYPE}
        self._in_group = np.array([[column in columns for column in range(len(self.features))]
                                   for columns in self._explained.values()])

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Return the raw outputs for float32 rows of shape (n, features): float32, shape (n,)."""
        outputs: list[Any] = self._session.run(None, {self._input: rows})
        logits: np.ndarray = outputs[0].reshape(-1)
        return logits

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities of fraud: float64, shape (n,)."""
        return calibrated(self.logits(rows), self._calibration)

    def explain(self, row: np.ndarray, exact: ExactValues) -> list[Reason]:
        """Return the groups of features that raise the score of one row, the strongest first.

        Each group in turn is set to the medians of legitimate payments of the same type; one ONNX
        batch scores all variants. What is not known is neither set nor a reason.

        Args:
            row: float32, shape (1, features).
            exact: the features before they were rounded to float32, for the sentences.
        """
        is_unknown = np.isnan(row)
        unknown = set(np.flatnonzero(is_unknown).tolist())
        usual = np.where(self._in_group & ~is_unknown, self._usual_rows[exact.type], row)
        logits = self.logits(np.concatenate([row, usual]))
        drops = self._calibration.slope * (logits[0] - logits[1:].astype(np.float64))
        by_group = dict(zip(self._explained, drops.tolist(), strict=True))
        strongest = sorted(by_group, key=by_group.__getitem__, reverse=True)
        raising = [group for group in strongest
                   if by_group[group] > 0 and not unknown.issuperset(self._explained[group])]
        values = row[0].tolist()
        return [self._reason(group, by_group[group], values, unknown, exact)
                for group in raising[:MAX_REASONS]]

    def _reason(self, group: str, drop: float, row: list[float], unknown: set[int],
                exact: ExactValues) -> Reason:
        names = [self.features[column] for column in self._explained[group]
                 if column not in unknown]
        usual = self._usual[exact.type]
        values = dict(zip(self.features, row, strict=True))
        return Reason(
            code=group,
            text=reasons.sentence(group, exact, usual),
            logit_drop=drop,
            value={name: values[name] for name in names},
            reference={name: usual[name] for name in names},
        )


def _row(values: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    return np.array([values[name] for name in names], np.float32)


def _columns_of_groups(names: Sequence[str], table: FeatureTable) -> dict[str, list[int]]:
    """Return the input columns of each group of features, in the order of the features."""
    columns: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        columns.setdefault(table.groups[name], []).append(column)
    return columns


def calibrated(logits: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return probabilities of float logits of any shape: float64."""
    negated = np.multiply(logits, -calibration.slope, dtype=np.float64) - calibration.intercept
    scores: np.ndarray = 1.0 / (1.0 + np.exp(np.minimum(negated, MAX_EXPONENT)))
    return scores


def open_session(onnx: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Open the content of an ONNX file; 0 threads: one for each core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
