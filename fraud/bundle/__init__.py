"""A model bundle: a directory of four files that is loaded, scores and explains.

    model.onnx      the champion: features -> logit
    fallback.onnx   the same framework without history features, for when history is not known
    bundle.json     `Manifest`: inputs, calibration and lineage of both models
    policy.json     `Policy`: the thresholds, which change without retraining

A bundle needs no training framework where it serves, and no pickle is loaded: only ONNX.
"""

from fraud.bundle.loading import Bundle, load, model_files, read_champion_file
from fraud.bundle.manifest import (
    CANARY_FILE, CHALLENGER_FILE, MANIFEST_FILE, POINTER_FILE, BundleError, Calibration,
    CanaryPointer, Manifest, ModelManifest, Pointer, sha256)
from fraud.bundle.onnx_model import MAX_REASONS, OnnxModel, calibrated, open_session
from fraud.bundle.policy import HIGHEST_RANK, POLICY_FILE, Policy, ReviewBy, Thresholds

__all__ = [
    "CANARY_FILE",
    "CHALLENGER_FILE",
    "HIGHEST_RANK",
    "MANIFEST_FILE",
    "MAX_REASONS",
    "POINTER_FILE",
    "POLICY_FILE",
    "Bundle",
    "BundleError",
    "Calibration",
    "CanaryPointer",
    "Manifest",
    "ModelManifest",
    "OnnxModel",
    "Pointer",
    "Policy",
    "ReviewBy",
    "Thresholds",
    "calibrated",
    "load",
    "model_files",
    "open_session",
    "read_champion_file",
    "sha256",
]
