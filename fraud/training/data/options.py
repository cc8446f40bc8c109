"""The settings and the mapping with which a file of payments is read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from fraud import clock
from fraud.training import settings
from fraud.training.data.mapping import MappingFile, load
from fraud.training.errors import TrainingError
from fraud.training.settings import Data
from fraud.transaction import EVENT_TIME_LIMIT, TYPES


class Reading(NamedTuple):
    """The way in which rows become payments.

    Raises:
        TrainingError: from `check`, with the value that is out of its limits.
    """

    types: tuple[str, ...] = TYPES          # that a payment may have; a mapping may name others
    label_delay_hours: float = 0.0          # from a payment to its label, without label_time
    max_bad_share: float = 0.01             # of the file's rows, and of its frauds
    mapping: MappingFile | None = None

    @property
    def payment_types(self) -> tuple[str, ...]:
        """The types of the mapping if it names some, or else those of the settings."""
        return self.mapping.mapping.payment_types(self.types) if self.mapping else self.types

    @property
    def label_delay_ms(self) -> int:
        """The delay of the mapping if it has one, or else that of the settings."""
        delay = self.mapping.mapping.labels.delay_hours if self.mapping else None
        return round((self.label_delay_hours if delay is None else delay) * clock.HOUR_MS)

    def check(self) -> None:
        """Raise TrainingError if a value is out of its limits."""
        if not 0 <= self.max_bad_share <= 1:
            raise TrainingError(f"max_bad_share is {self.max_bad_share}: give a share from 0 to 1")
        if not 0 <= self.label_delay_hours * clock.HOUR_MS < EVENT_TIME_LIMIT:
            raise TrainingError(f"label_delay_hours is {self.label_delay_hours}: give 0 or more "
                                "hours")


DEFAULTS = Reading()


def reading(data: Data, columns: str | None) -> Reading:
    """Return the settings and the mapping with which a file is read.

    Args:
        data: the settings.
        columns: the path of a mapping, if the file needs one.

    Raises:
        TrainingError: the mapping cannot be read.
    """
    return Reading(tuple(data.types), data.label_delay_hours, data.max_bad_share,
                   load(columns) if columns else None)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `from_flags` takes: --columns and --settings."""
    parser.add_argument("--columns", metavar="MAPPING",
                        help="a mapping of the file's columns, see docs/your-data.md")
    parser.add_argument("--settings", type=Path, default=settings.FILE,
                        help="of training: [data] (default: flows/train_flow.toml)")


def from_flags(options: argparse.Namespace) -> Reading:
    """Return the same from the flags of a command.

    Raises:
        TrainingError: the mapping or the settings cannot be read.
    """
    return reading(settings.load(options.settings).data, options.columns)
