"""Configuration: read once from the environment where a program starts, typed and frozen.

The description of each field states its unit and range; docs/reference.md is generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, overload

import msgspec
from msgspec import Meta

from fraud.errors import FraudError

Positive = Annotated[float, Meta(gt=0, le=1e6)]
Count = Annotated[int, Meta(ge=1)]
LogLevel = Literal["debug", "info", "warning", "error"]


class SettingsError(FraudError):
    """A setting that cannot be used. The message names the variable, its value and the fix."""


class Settings(msgspec.Struct, frozen=True):
    """The settings of scoring: each field is the variable `FRAUD_` and its name in capitals."""

    model: Annotated[str, Meta(description=(
        "a bundle directory, or a folder or `s3://` prefix with `champion.json`"))] = "models"
    rules: Annotated[str, Meta(description=(
        "a folder or `s3://` prefix with `rules.json`; empty: that of the model"))] = ""
    history: Annotated[str, Meta(description=(
        "the store of history: `memory://`, `memory:///FILE`, `redis://HOST:PORT/NUMBER` "
        "(also `rediss://`, `unix://`) or `dynamodb://TABLE`"))] = "memory://"
    history_deadline_ms: Annotated[Positive | None, Meta(description=(
        "milliseconds for the store to reply, above 0; empty: 20 for Redis, 150 for DynamoDB"
        ))] = None
    idempotency_hours: Annotated[Positive, Meta(description=(
        "hours for which a `transaction_id` and its answer are known, above 0"))] = 24.0
    memory_ids: Annotated[Count, Meta(description=(
        "limit on the transaction ids of the store in memory, at least 1; 0.5 KiB each"
        ))] = 200_000
    memory_accounts: Annotated[int, Meta(ge=1_000, description=(
        "limit on the accounts of the store in memory, at least 1,000; 2 KiB each on "
        "average, 3.2 KiB at most"
        ))] = 1_000_000
    max_clock_skew_minutes: Annotated[Positive, Meta(description=(
        "minutes that `event_time` may be ahead of the clock, above 0"))] = 5.0
    clock: Annotated[Literal["wall", "event"], Meta(description=(
        "`wall`; or `event` for replays: no payment is too far ahead, and recording starts at the "
        "first `event_time`"))] = "wall"
    account_key: Annotated[str, Meta(description=(
        "key of the HMAC that replaces account names in store and logs, the same in every process; "
        "empty: a random one, only with `memory://`"))] = ""
    model_refresh_seconds: Annotated[Positive, Meta(description=(
        "seconds between checks of `champion.json`, `canary.json`, `challenger.json` and "
        "`rules.json`, above 0"))] = 1.0
    drain_seconds: Annotated[Positive, Meta(description=(
        "seconds to finish accepted payments after SIGTERM, above 0"))] = 15.0
    decision_log: Annotated[str, Meta(description=(
        "a file to append decisions to; `-` for stdout"))] = "-"
    label_log: Annotated[str, Meta(description=(
        "a file to append labels to, made with the first one; `-` for stdout"
        ))] = "labels.jsonl"
    log_level: Annotated[LogLevel, Meta(description=(
        "`debug`, `info`, `warning` or `error`: level of the log on stderr"))] = "info"


Kind = TypeVar("Kind", bound=Settings)


@overload
def from_environment(environment: Mapping[str, str]) -> Settings: ...


@overload
def from_environment(environment: Mapping[str, str], kind: type[Kind]) -> Kind: ...


def from_environment(environment: Mapping[str, str], kind: type[Any] = Settings) -> Any:
    """Return settings from environment variables; an unset or empty one has its default.

    Args:
        kind: `Settings`, or the subclass of a program.

    Raises:
        SettingsError: a value has the wrong type or is out of its range.
    """
    given = {field: environment.get(_variable(field)) for field in kind.__struct_fields__}
    values = {field: value for field, value in given.items() if value}
    for field, value in values.items():
        try:
            msgspec.convert({field: value}, kind, strict=False)
        except msgspec.ValidationError as error:
            problem = str(error).split(" - at ")[0]
            raise SettingsError(f"{_variable(field)} is {value!r}: {problem}; "
                                f"give {description(kind, field)}") from error
    return msgspec.convert(values, kind, strict=False)


def check_account_key(settings: Settings) -> None:
    """Check that accounts keep their pseudonyms for as long as their store.

    Raises:
        SettingsError: a store that outlives this process has no FRAUD_ACCOUNT_KEY.
    """
    if not settings.account_key and settings.history != "memory://":
        scheme = settings.history.partition("://")[0]       # the URL may hold a password
        raise SettingsError(f"FRAUD_ACCOUNT_KEY is not set, and FRAUD_HISTORY is {scheme}://..., "
                            "which outlives this process: no later one would find its accounts; "
                            "set the same key in every process, such as one of "
                            "openssl rand -hex 32")


def description(kind: type[msgspec.Struct], field: str) -> str:
    """Return the description of a field, with its unit and range."""
    fields = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    return str(fields[field].get("description", "another value"))


def _variable(field: str) -> str:
    return f"FRAUD_{field.upper()}"
