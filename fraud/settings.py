"""What is configured, read once from the environment where a program starts, typed and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class SettingsError(ValueError):
    """A setting that cannot be used. The message names it, its value and the fix."""


class Settings(msgspec.Struct, frozen=True):
    """Every field is the environment variable `FRAUD_` with its name in capitals."""

    model: str = "models"           # a bundle directory; a directory or s3:// with champion.json
    history: str = "memory://"      # memory://, memory:///FILE, redis://..., dynamodb://TABLE
    history_deadline_ms: Positive | None = None     # of a trip; 20 on Redis, 150 on DynamoDB
    id_hours: Positive = 24.0       # how long a transaction_id is known
    memory_ids: Count = 200_000     # in memory at most: 0.5 KiB each
    memory_accounts: Annotated[int, msgspec.Meta(ge=1_000)] = 1_000_000     # 0.6 KiB each
    max_ahead_minutes: Positive = 5.0       # how far event_time may be ahead of the wall clock
    clock: Literal["wall", "event"] = "wall"        # event: for replays; nothing is too far ahead
    account_key: str = ""           # of the HMAC by which logs name accounts
    model_seconds: Positive = 10.0  # between two looks at champion.json
    drain_seconds: Positive = 15.0  # to finish what was accepted, after SIGTERM
    decision_log: str = "-"         # a file, or - for stdout
    log_level: Literal["debug", "info", "warning", "error"] = "info"


Kind = TypeVar("Kind", bound=Settings)


def from_environment(environment: Mapping[str, str], kind: type[Kind] = Settings) -> Kind:
    """Settings from environment variables; one that is not set, or empty, has its default.

    Args:
        kind: `Settings`, or what a program adds to it.

    Raises:
        SettingsError: a value is not one, or out of its limits.
    """
    given = {field: environment.get(_variable(field)) for field in kind.__struct_fields__}
    values = {field: value for field, value in given.items() if value}
    for field, value in values.items():
        try:
            msgspec.convert({field: value}, kind, strict=False)
        except msgspec.ValidationError as error:
            why = str(error).split(" - at ")[0]
            raise SettingsError(f"{_variable(field)} is {value!r}: {why}") from None
    return msgspec.convert(values, kind, strict=False)


def _variable(field: str) -> str:
    return f"FRAUD_{field.upper()}"
