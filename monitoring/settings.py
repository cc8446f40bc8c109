"""What monitoring is told by its TOML files, parsed once, typed and frozen."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from fraud.training.errors import TrainingError
from fraud.training.settings import Count, Positive, Share, Strict

FOLDER = Path(__file__).parent


class Drift(Strict):
    false_discovery_rate: Share
    min_payments: Count


class LeastShare(Strict):
    payment: Share
    account: Share
    score: Share


class Performance(Strict):
    min_labelled: Count
    min_frauds: Count


class ReportSettings(Strict):
    """report.toml"""

    seed: int
    drift: Drift
    least_share: LeastShare
    performance: Performance


class Policy(Strict):
    """retraining.toml: when a retraining is due."""

    drift_share: Share
    f1_fall: Share
    max_age_days: Positive


Kind = TypeVar("Kind", bound=Strict)


def read(path: Path, kind: type[Kind]) -> Kind:
    """The settings in a file.

    Raises:
        TrainingError: it cannot be read, or a key is missing, unknown or out of its limits.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), kind)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TrainingError(f"{path}: {error}; mend that file") from None
