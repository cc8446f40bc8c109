"""Mappings: how the columns of a file become the fields of a payment, as a TOML file says.

    [fields]
    transaction_id = "trans_num"                        # a column
    event_time = { columns = ["day", "hour"] }          # several, joined with a blank
    type = { constant = "PAYMENT" }
    amount = { expression = "amt + fee" }               # SQL of DuckDB over the columns
    origin = { columns = ["bank", "account"], separator = "-" }
    is_fraud = "label"

    [time]
    pattern = "%Y-%m-%d %H"
    zone = "Europe/Berlin"

docs/your-data.md explains every key.
"""

from __future__ import annotations

import hashlib
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from fraud.training.errors import TrainingError
from fraud.training.files import reason
from fraud.training.settings import Strict, TypeName

UNITS = {"nanoseconds": 1e-6, "microseconds": 1e-3, "milliseconds": 1.0, "seconds": 1e3,
         "minutes": 6e4, "hours": 3.6e6, "days": 8.64e7}         # in ms
Unit = Literal["nanoseconds", "microseconds", "milliseconds", "seconds", "minutes", "hours", "days"]


class Field(Strict, frozen=True):
    """A field of a payment: exactly one of column, columns, constant and expression."""

    column: str | None = None
    columns: list[str] = []         # joined; missing where one of them is
    separator: str = " "            # between them
    constant: str | int | float | None = None
    expression: str | None = None   # SQL of DuckDB over the columns

    def __post_init__(self):
        given = [self.column, self.columns or None, self.constant, self.expression]
        if sum(source is not None for source in given) != 1:
            raise ValueError("give exactly one of column, columns, constant and expression")


Source = str | Field


class Fields(Strict, frozen=True):
    """The source of each field; the keys are those of a payment."""

    event_time: Source
    type: Source
    amount: Source
    origin: Source
    is_fraud: Source | None = None              # None: [labels] names a file
    transaction_id: Source | None = None        # None: made of the file's digest and row numbers
    destination: Source | None = None
    origin_balance: Source | None = None
    destination_balance: Source | None = None
    label_time: Source | None = None
    incident_id: Source | None = None
    fraud_type: Source | None = None


class Time(Strict, frozen=True):
    """The form of event_time and label_time."""

    pattern: str = ""               # of text, as strptime has it; empty: numbers or timestamps
    zone: str = ""                  # of times that have none, such as UTC or Europe/Berlin
    unit: Unit = "milliseconds"     # of numbers
    start: str = ""                 # when a number is 0; empty: 1970-01-01, UTC

    def __post_init__(self):
        if self.zone:
            try:
                ZoneInfo(self.zone)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(f"zone {self.zone!r} is not known; such as UTC, Europe/Berlin"
                                 ) from error
        if self.pattern and not self.zone and "%z" not in self.pattern:
            raise ValueError("pattern needs a zone, such as UTC")
        self.start_ms       # an invalid start is an error of the mapping

    @property
    def start_ms(self) -> int:
        """The start in ms since the epoch."""
        start = datetime.fromisoformat(self.start or "1970-01-01")
        return round((start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp() * 1000)


class Numbers(Strict, frozen=True):
    """The form of amounts and balances in text."""

    decimal: Annotated[str, Meta(min_length=1, max_length=1)] = "."
    thousands: Annotated[str, Meta(max_length=1)] = ""
    currency: list[str] = []        # signs and words that are removed, such as $ or EUR
    negative: TypeName | None = None    # type of payments of a negative amount; None: refused


class Labels(Strict, frozen=True):
    """The form of labels, and where they are."""

    fraud: list[str] = []           # words for fraud
    legitimate: list[str] = []      # words for legitimate payments
    delay_hours: Annotated[float, Meta(ge=0)] | None = None  # from payment to label; None: settings
    file: str = ""                  # of labels; beside the mapping, or an absolute path
    id: str = ""                    # its column with transaction ids
    label: str = ""                 # its column of labels; empty: it lists frauds
    others: Literal["legitimate", "unlabelled"] = "legitimate"      # payments that it does not list


class Columns(Strict, frozen=True):
    """Other columns."""

    ignore: list[str] = []          # not worth a warning


class Mapping(Strict, frozen=True):
    """A mapping file."""

    fields: Fields
    time: Time = Time()
    numbers: Numbers = Numbers()
    types: dict[str, TypeName] = {}     # the type of each word in the file
    labels: Labels = Labels()
    columns: Columns = Columns()

    def __post_init__(self):
        if (self.fields.is_fraud is None) != bool(self.labels.file):
            raise ValueError("give either is_fraud under [fields] or file under [labels]")
        if self.labels.file and (not self.labels.id or self.fields.transaction_id is None):
            raise ValueError("labels in a file need id under [labels], and transaction_id under "
                             "[fields]")

    def payment_types(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Return the types of its payments; the default ones if it names none."""
        names = set(self.types.values())
        if isinstance(self.fields.type, Field) and self.fields.type.constant is not None:
            names.add(str(self.fields.type.constant))
        if not names:
            return default
        return tuple(sorted(names | ({self.numbers.negative} if self.numbers.negative else set())))


class MappingFile(msgspec.Struct, frozen=True):
    """A mapping, with its place and what identifies it."""

    path: Path
    mapping: Mapping
    digest: str         # sha256 of the file's bytes and of those of its labels, hexadecimal


def load(path: Path | str) -> MappingFile:
    """Load a mapping.

    Raises:
        TrainingError: it cannot be read, or a key is missing, unknown or wrong.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        mapping = msgspec.convert(tomllib.loads(content.decode()), Mapping)
        labels = path.parent / mapping.labels.file if mapping.labels.file else None
        digest = hashlib.sha256(content + (labels.read_bytes() if labels else b"")).hexdigest()
    # A ValueError is a UnicodeError, TOMLDecodeError or ValidationError.
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path}: is not a mapping ({reason(error)}); docs/your-data.md "
                            "explains its keys") from error
    return MappingFile(path, mapping, digest)
