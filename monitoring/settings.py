"""What monitoring is told by its TOML files, parsed once, typed and frozen."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from fraud.training.errors import TrainingError

FOLDER = Path(__file__).parent
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a file: a misspelt key is an error, not a default."""


class Drift(_Strict):
    false_discovery_rate: Share
    min_payments: Count


class LeastShare(_Strict):
    payment: Share
    account: Share
    score: Share


class Performance(_Strict):
    min_labelled: Count
    min_frauds: Count


class ReportSettings(_Strict):
    """report.toml"""

    seed: int
    drift: Drift
    least_share: LeastShare
    performance: Performance


class Policy(_Strict):
    """retraining.toml: when a retraining is due."""

    drift_share: Share
    f1_fall: Share
    max_age_days: Positive


Kind = TypeVar("Kind", bound=_Strict)


def read(path: Path, kind: type[Kind]) -> Kind:
    """The settings in a file.

    Raises:
        TrainingError: it cannot be read, or a key is missing, unknown or out of its limits.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), kind)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TrainingError(f"{path}: {error}; mend that file") from None
