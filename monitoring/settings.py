"""Settings of monitoring: its TOML files, parsed once, typed and frozen."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from fraud.training.errors import TrainingError
from fraud.training.settings import Count, Positive, Share, Strict

FOLDER = Path(__file__).parent


class DriftThresholds(Strict, frozen=True):
    """[drift] of report.toml."""

    false_discovery_rate: Share
    min_payments: Count             # in like hours, on each side


class LeastShare(Strict, frozen=True):
    """[least_share] of report.toml: the share of payments moved that matters, by kind of column."""

    payment: Share
    account: Share
    score: Share


class PerformanceMinimums(Strict, frozen=True):
    """[performance] of report.toml: the least data for a measurement."""

    min_labelled: Count
    min_frauds: Count


class ReportSettings(Strict, frozen=True):
    """report.toml: when drift and performance are reported."""

    seed: int
    drift: DriftThresholds
    least_share: LeastShare
    performance: PerformanceMinimums


class RetrainingTriggers(Strict, frozen=True):
    """retraining.toml: when a retraining is due."""

    drift_share: Share              # of the columns that drifted
    f1_fall: Share
    max_age_days: Positive


class MostTimes(Strict, frozen=True):
    """[most] of canary.toml: times as often as the champion."""

    errors: Positive
    slow_calls: Positive
    reviews: Positive
    declines: Positive
    false_declines: Positive

    def by_name(self) -> dict[str, float]:
        """Return the limits by the name of the rate."""
        return msgspec.structs.asdict(self)


class LeastTimes(Strict, frozen=True):
    """[least] of canary.toml: times as often as the champion."""

    reviews: Positive
    declines: Positive

    def by_name(self) -> dict[str, float]:
        """Return the limits by the name of the rate."""
        return msgspec.structs.asdict(self)


class CanaryLimits(Strict, frozen=True):
    """canary.toml: when the guard ends a canary."""

    window_hours: Positive
    false_alarm: Share
    design_effect: Annotated[float, msgspec.Meta(ge=1)]
    slow_seconds: Positive
    most: MostTimes
    least: LeastTimes


Kind = TypeVar("Kind", bound=Strict)


def read_settings(path: Path, kind: type[Kind]) -> Kind:
    """Return the settings in a file.

    Raises:
        TrainingError: it cannot be read, or a key is missing, unknown or out of range.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), kind)
    except (OSError, UnicodeError, RecursionError, tomllib.TOMLDecodeError,
            msgspec.ValidationError) as error:
        raise TrainingError(f"{path}: {error}; fix that file") from error
