"""Settings of a training run: `flows/train_flow.toml`, parsed once, typed and frozen."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from fraud.bundle import ReviewBy
from fraud.training.errors import TrainingError
from fraud.transaction import NAME_LENGTH

FILE = Path(__file__).resolve().parents[2] / "flows" / "train_flow.toml"

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
TypeName = Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9_]*$", max_length=NAME_LENGTH)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: a misspelt key is an error, not a default."""


class Data(Strict, frozen=True):
    max_bad_share: Fraction
    label_delay_hours: NotNegative
    types: Annotated[list[TypeName], msgspec.Meta(min_length=1, max_length=100)]


class Split(Strict, frozen=True):
    train: Share
    early_stopping: Share
    calibration: Share

    def __post_init__(self):
        if self.train + self.early_stopping + self.calibration >= 1:
            raise ValueError(
                "split.train + split.early_stopping + split.calibration must leave a test period")


class Alerts(Strict, frozen=True):
    alerts_per_day: Positive
    review_by: ReviewBy
    decline_from: NotNegative
    review_cost: NotNegative


class BoostedTrees(Strict, frozen=True):
    max_depth: Count
    learning_rate: Positive
    rounds: Count
    early_stopping_rounds: Count
    min_child_weight: NotNegative
    subsample: Annotated[float, msgspec.Meta(gt=0, le=1)]
    colsample_bytree: Annotated[float, msgspec.Meta(gt=0, le=1)]
    reg_lambda: NotNegative
    max_bin: Annotated[int, msgspec.Meta(ge=2)]


class NeuralNetwork(Strict, frozen=True):
    units: Annotated[list[Count], msgspec.Meta(min_length=1)]
    bins: Count
    learning_rate: Positive
    batch_size: Annotated[int, msgspec.Meta(ge=32)]
    fraud_share: Share
    steps_per_epoch: Count
    epochs: Count
    patience: Count


class Audit(Strict, frozen=True):
    rows: Annotated[int, msgspec.Meta(ge=1_000, le=500_000)]
    alone_auprc: Share
    trace_auprc: Share
    allowed: dict[str, Annotated[str, msgspec.Meta(min_length=1)]]


class Floors(Strict, frozen=True):
    test_f1: Fraction
    test_auprc: Fraction


class Gate(Strict, frozen=True):
    incidents: Count
    margin: NotNegative
    narrow_from: Count
    narrow_margin: NotNegative

    def __post_init__(self):
        if self.narrow_from < self.incidents or self.narrow_margin > self.margin:
            raise ValueError("gate.narrow_from must be at least gate.incidents, and "
                             "gate.narrow_margin at most gate.margin")

    def margin_of(self, incidents: int) -> float:
        """Return the non-inferiority margin for a comparison on so many incidents."""
        return self.narrow_margin if incidents >= self.narrow_from else self.margin


class TrainingSettings(Strict, frozen=True):
    """The whole file."""

    seed: int
    data: Data
    split: Split
    alerts: Alerts
    xgboost: BoostedTrees
    tensorflow: NeuralNetwork
    audit: Audit
    floors: Floors
    gate: Gate


def load(file: Path) -> TrainingSettings:
    """Load the settings from a TOML file.

    Raises:
        TrainingError: it cannot be read, or see `parse`.
    """
    try:
        return parse(tomllib.loads(file.read_text()))
    except (OSError, UnicodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise TrainingError(f"{file}: cannot be read as TOML ({error}); name the flow's settings"
                            ) from error


def with_new_reasons(settings: TrainingSettings, file: Path) -> Audit:
    """Return the audit's settings with the reasons that their file gives now.

    A resumed run has the settings that it began with, and its audit may have asked for a reason.
    A file that differs in anything else, or is not there, is not that of the run.

    Raises:
        TrainingError: see `load`.
    """
    if not file.exists():
        return settings.audit
    now = load(file)
    audit = replace(settings.audit, allowed=now.audit.allowed)
    return audit if replace(settings, audit=audit) == now else settings.audit


def parse(tables) -> TrainingSettings:
    """Typed settings from the parsed TOML.

    Raises:
        TrainingError: a key is missing, unknown or out of its limits; the message has its path.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(dict(tables)), TrainingSettings)
    except msgspec.ValidationError as error:
        raise TrainingError(f"flows/train_flow.toml: {error}; fix that key") from error
