"""What a training run does: `flows/train_flow.toml`, parsed once, typed and frozen."""

from __future__ import annotations

from typing import Annotated

import msgspec

from fraud.training.errors import TrainingError

Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: a misspelt key is an error, not a default."""


class Data(Strict):
    max_bad_share: Fraction
    label_delay_hours: NotNegative


class Split(Strict):
    train: Share
    early: Share
    late: Share

    def __post_init__(self):
        if self.train + self.early + self.late >= 1:
            raise ValueError("split.train + split.early + split.late must leave a test period")


class Alerts(Strict):
    alerts_per_day: Positive
    review_cost: NotNegative


class BoostedTrees(Strict):
    max_depth: Count
    learning_rate: Positive
    rounds: Count
    early_stopping_rounds: Count
    min_child_weight: NotNegative
    subsample: Annotated[float, msgspec.Meta(gt=0, le=1)]
    colsample_bytree: Annotated[float, msgspec.Meta(gt=0, le=1)]
    max_bin: Annotated[int, msgspec.Meta(ge=2)]


class NeuralNetwork(Strict):
    units: Annotated[list[Count], msgspec.Meta(min_length=1)]
    learning_rate: Positive
    batch_size: Annotated[int, msgspec.Meta(ge=32)]
    fraud_share: Share
    steps_per_epoch: Count
    epochs: Count
    patience: Count


class Audit(Strict):
    rows: Annotated[int, msgspec.Meta(ge=1_000, le=500_000)]
    alone_auprc: Share
    allowed: dict[str, Annotated[str, msgspec.Meta(min_length=1)]]


class Floors(Strict):
    test_f1: Fraction
    test_auprc: Fraction


class Gate(Strict):
    margin: NotNegative
    incidents: Count


class Settings(Strict):
    """The whole file."""

    seed: int
    data: Data
    split: Split
    policy: Alerts
    xgboost: BoostedTrees
    tensorflow: NeuralNetwork
    audit: Audit
    floors: Floors
    gate: Gate


def parse(tables) -> Settings:
    """Typed settings from the parsed TOML.

    Raises:
        TrainingError: a key is missing, unknown or out of its limits; the message has its path.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(dict(tables)), Settings)
    except msgspec.ValidationError as error:
        raise TrainingError(f"flows/train_flow.toml: {error}; mend that key") from None
