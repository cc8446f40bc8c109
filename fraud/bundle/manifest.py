"""bundle.json and champion.json: the contents of a bundle, and the bundle that serves."""

from __future__ import annotations

import hashlib

import msgspec

from fraud.errors import FraudError
from fraud.transaction import TYPES

MANIFEST_FILE = "bundle.json"
POINTER_FILE = "champion.json"  # next to the bundles of a published folder
CHALLENGER_FILE = "challenger.json"     # a `Pointer` too: the bundle that scores in shadow
CANARY_FILE = "canary.json"             # a `CanaryPointer`


class BundleError(FraudError):
    """A bundle that must not be served. The message names the file, the problem and the fix."""


class Calibration(msgspec.Struct, frozen=True):
    """Platt scaling: the score is sigmoid(slope * logit + intercept).

    J. Platt, "Probabilistic Outputs for Support Vector Machines" (1999).
    """

    slope: float
    intercept: float


class ModelManifest(msgspec.Struct, frozen=True):
    """One ONNX file of a bundle."""

    file: str
    sha256: str
    features: list[str]           # names, in the order of the model's input columns
    calibration: Calibration
    metrics: dict[str, float]
    medians: dict[str, float]     # of legitimate payments
    medians_by_type: dict[str, dict[str, float]]    # of each type: explanations compare with them


class Manifest(msgspec.Struct, frozen=True):
    """bundle.json: both models and their lineage."""

    name: str
    version: str
    framework: str
    data_digest: str
    git_commit: str
    metaflow_run: str
    mlflow_run: str
    model: ModelManifest
    fallback: ModelManifest
    types: tuple[str, ...] = TYPES          # of the payments that it scores
    left_out: tuple[str, ...] = ()          # features that were not known in the training data
    time_base: str = "event_time"           # or step: hours that the training data gave dates to
    mapping_digest: str = ""                # sha256 of the mapping of its columns, if it has one
    tuned_until: int = 0          # event_time before which it was trained and tuned; 0: unknown
    trained_at: int = 0           # ms since the epoch, when training began; 0: unknown
    data_file: str = ""           # the training data, as the user named it; data_digest: its sha256
    data_md5: str = ""            # by which DVC keeps that file; empty where it does not


class Pointer(msgspec.Struct, frozen=True):
    """champion.json: the bundle of a published folder that serves, with its digests."""

    version: str
    folder: str                   # next to the pointer
    sha256: str                   # of bundle.json, which holds the digests of the models
    policy_sha256: str


class CanaryPointer(Pointer, frozen=True):
    """canary.json: the bundle that decides for a share of the accounts."""

    share: float                  # percent, above 0 and below 100
    since: int                    # ms since the epoch: it decides from then on


def sha256(content: bytes) -> str:
    """Return the hexadecimal digest that identifies a file of a bundle."""
    return hashlib.sha256(content).hexdigest()
