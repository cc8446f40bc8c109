"""What a model is: a directory that is loaded with its digests checked, scores, explains, decides.

    model.onnx      the champion: features -> logit
    fallback.onnx   the same framework without history features, for when history is not known
    bundle.json     `Manifest`: what both models expect, how they are calibrated, where from
    policy.json     `Policy`: the thresholds, which change without retraining

What serves has no training framework and no pickle: only ONNX is loaded.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from fraud import features

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")     # else it reports models to its vendor
import onnxruntime  # noqa: E402

MANIFEST_FILE = "bundle.json"
POLICY_FILE = "policy.json"
POINTER_FILE = "champion.json"  # beside the bundles of a published folder: which one serves
LARGEST_EXPONENT = 700.0      # e to the power of more is infinite in float64
REASONS = 3                     # how many reasons an answer names at most


class BundleError(ValueError):
    """A bundle that must not be served. The message says which, what is wrong and what to do."""


class Calibration(msgspec.Struct, frozen=True):
    """Platt scaling: the score is sigmoid(slope * logit + intercept).

    J. Platt, "Probabilistic Outputs for Support Vector Machines" (1999).
    """

    slope: float
    intercept: float


class ModelManifest(msgspec.Struct, frozen=True):
    """What one ONNX file of a bundle is."""

    file: str
    sha256: str
    features: list[str]           # names, in the order of the model's input columns
    calibration: Calibration
    metrics: dict[str, float]
    medians: dict[str, float]     # of legitimate payments: what explanations compare with


class Manifest(msgspec.Struct, frozen=True):
    """bundle.json: the two models and where they come from."""

    name: str
    version: str
    framework: str
    data_digest: str
    git_commit: str
    metaflow_run: str
    mlflow_run: str
    model: ModelManifest
    fallback: ModelManifest
    tuned_until: int = 0          # event_time before which it learned and was tuned; 0: not known
    trained_at: int = 0           # ms since the epoch, when training began; 0: made before it said
    data_file: str = ""           # what it learned from, as it was named; its sha256 is data_digest
    data_md5: str = ""            # by which DVC keeps that file; empty where it does not


class Thresholds(msgspec.Struct, frozen=True):
    """Scores from which a payment is reviewed, or declined."""

    review: float
    decline: float

    def __post_init__(self):
        if not 0 <= self.review <= self.decline <= 1:
            raise ValueError(f"thresholds must satisfy 0 <= review <= decline <= 1, "
                             f"not review={self.review}, decline={self.decline}")

    def decide(self, score: float) -> str:
        """`approve`, `review` or `decline`."""
        if score >= self.decline:
            return "decline"
        return "review" if score >= self.review else "approve"


class Policy(msgspec.Struct, frozen=True):
    """policy.json: thresholds of both models, with a version of its own."""

    version: str
    model: Thresholds
    fallback: Thresholds


class Pointer(msgspec.Struct, frozen=True):
    """champion.json: which bundle of a published folder serves, and what it must be."""

    version: str
    folder: str                   # beside the pointer
    sha256: str                   # of bundle.json, which names the digests of the models
    policy_sha256: str


class Reason(msgspec.Struct, frozen=True):
    """Why a score is high: a group of features, and how far the logit falls without it."""

    code: str
    text: str
    logit_fall: float
    value: dict[str, float]
    reference: dict[str, float]


class Model:
    """One ONNX graph with its calibration: scores and explains feature rows."""

    def __init__(self, session: onnxruntime.InferenceSession, manifest: ModelManifest):
        self.features = tuple(manifest.features)
        self.metrics = manifest.metrics
        self._session = session
        self._input = session.get_inputs()[0].name
        self._calibration = manifest.calibration
        self._medians = np.array([manifest.medians[name] for name in self.features], np.float32)
        groups = [features.GROUPS[name] for name in self.features]
        self._groups = tuple(dict.fromkeys(groups))
        self._in_group = np.array([[group == name for group in groups] for name in self._groups])

    @property
    def groups(self) -> dict[str, np.ndarray]:
        """The input columns of each group of features that explanations set together."""
        return {group: np.flatnonzero(members)
                for group, members in zip(self._groups, self._in_group)}

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """Raw outputs of float32 rows of shape (n, features): float32, shape (n,)."""
        return self._session.run(None, {self._input: rows})[0].reshape(-1)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Calibrated probabilities of fraud: float64, shape (n,)."""
        return calibrated(self.logits(rows), self._calibration)

    def explain(self, row: np.ndarray) -> list[Reason]:
        """The groups of features that raise the score of one row, shape (1, features), most first.

        Each group in turn is set to its reference medians together; one ONNX batch does them all.
        """
        without = np.where(self._in_group, self._medians, row)
        logits = self.logits(np.concatenate([row, without]))
        falls = self._calibration.slope * (logits[0] - logits[1:].astype(np.float64))
        largest = np.argsort(-falls, kind="stable")[:REASONS]
        return [self._reason(index, float(falls[index]), row[0])
                for index in largest if falls[index] > 0]

    def _reason(self, index: int, fall: float, row: np.ndarray) -> Reason:
        columns = np.flatnonzero(self._in_group[index])
        group = self._groups[index]
        return Reason(
            code=group.replace(" ", "-"),
            text=f"{group} is unlike that of a usual payment",
            logit_fall=fall,
            value={self.features[column]: float(row[column]) for column in columns},
            reference={self.features[column]: float(self._medians[column]) for column in columns},
        )


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle: two models, their policy, and digests that name exactly what decided."""

    manifest: Manifest
    policy: Policy
    model: Model
    fallback: Model
    digest: str
    policy_digest: str


def load(directory: Path | str, expected_digest: str | None = None, threads: int = 1) -> Bundle:
    """The bundle in a directory.

    Args:
        directory: holds the four files.
        expected_digest: sha256 of bundle.json that a pointer promised, if there is one.
        threads: of one ONNX run; one is the fastest for single payments.

    Raises:
        BundleError: a file is missing, not what its digest says, or expects other features than
            this code computes.
    """
    directory = Path(directory)
    raw_manifest, raw_policy = _read(directory / MANIFEST_FILE), _read(directory / POLICY_FILE)
    digest = sha256(raw_manifest)
    if expected_digest not in (None, digest):
        raise BundleError(f"{directory / MANIFEST_FILE}: sha256 is {digest}, not the promised "
                          f"{expected_digest}; publish the bundle again")
    manifest = _decode(directory / MANIFEST_FILE, raw_manifest, Manifest)
    return Bundle(
        manifest=manifest,
        policy=_decode(directory / POLICY_FILE, raw_policy, Policy),
        model=_model(directory, manifest.model, features.NAMES, threads),
        fallback=_model(directory, manifest.fallback, features.FALLBACK_NAMES, threads),
        digest=digest,
        policy_digest=sha256(raw_policy),
    )


def model_files(place: str, raw_manifest: bytes) -> list[str]:
    """The names of the ONNX files that a bundle.json names.

    Raises:
        BundleError: it is no manifest, or names a file that is not beside it.
    """
    manifest = _decode(Path(place) / MANIFEST_FILE, raw_manifest, Manifest)
    return [_beside(Path(place), model.file).name for model in (manifest.model, manifest.fallback)]


def open_session(onnx: bytes, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the content of a file; 0 threads are as many as there are cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def calibrated(logits: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Probabilities of float logits of any shape: float64."""
    negated = np.multiply(logits, -calibration.slope, dtype=np.float64) - calibration.intercept
    return 1.0 / (1.0 + np.exp(np.minimum(negated, LARGEST_EXPONENT)))


def sha256(content: bytes) -> str:
    """The hexadecimal digest by which files of a bundle are known."""
    return hashlib.sha256(content).hexdigest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); "
                          "a bundle holds bundle.json, policy.json and two ONNX files") from None


def _decode(path: Path, raw: bytes, kind):
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}; train or export the bundle again") from None


def _model(directory: Path, manifest: ModelManifest, names: tuple[str, ...],
           threads: int) -> Model:
    path = _beside(directory, manifest.file)
    content = _read(path)
    if sha256(content) != manifest.sha256:
        raise BundleError(f"{path}: sha256 is {sha256(content)}, but bundle.json says "
                          f"{manifest.sha256}; publish the bundle again")
    _check_features(path, manifest, names)
    try:
        session = open_session(content, threads)
    except Exception as error:      # onnxruntime raises classes of its own without a common base
        raise BundleError(f"{path}: ONNX Runtime cannot load it ({error}); "
                          "train or export the bundle again") from None
    width = session.get_inputs()[0].shape[1]
    if width != len(names):
        raise BundleError(f"{path}: takes {width} columns, bundle.json names {len(names)}; "
                          "train or export the bundle again")
    return Model(session, manifest)


def _beside(directory: Path, file: str) -> Path:
    if Path(file).name != file:
        raise BundleError(f"{directory / MANIFEST_FILE}: names the file {file!r}, which is not "
                          "beside it; publish the bundle again")
    return directory / file


def _check_features(path: Path, manifest: ModelManifest, names: tuple[str, ...]) -> None:
    for position, (has, computed) in enumerate(zip(manifest.features, names)):
        if has != computed:
            raise BundleError(f"{path}: feature {position} is {has!r}, this code computes "
                              f"{computed!r} there; use the code the model was trained with")
    if len(manifest.features) != len(names):
        raise BundleError(f"{path}: has {len(manifest.features)} features, this code computes "
                          f"{len(names)}; use the code the model was trained with")
    missing = [name for name in names if name not in manifest.medians]
    if missing:
        raise BundleError(f"{path}: bundle.json has no median of {missing[0]!r}; "
                          "train or export the bundle again")
