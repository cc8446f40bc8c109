"""Stores of history: in memory, on Redis, on DynamoDB. The URL in FRAUD_HISTORY selects one."""

from __future__ import annotations

from fraud.clock import HOUR_MS
from fraud.history import Store
from fraud.settings import Settings, SettingsError

REDIS_DEADLINE_MS = 20.0
DYNAMODB_DEADLINE_MS = 150.0


def open_store(settings: Settings) -> Store:
    """Open the store that `settings.history` names. Imports its library; connects to nothing yet.

    Raises:
        SettingsError: the URL names no known store, or one that cannot be used.
    """
    url = settings.history
    scheme, separator, location = url.partition("://")
    id_ttl_ms = round(settings.idempotency_hours * HOUR_MS)
    if scheme == "memory" and separator and (not location or location.startswith("/")):
        return _memory(settings, id_ttl_ms, location)
    if scheme in ("redis", "rediss", "unix") and separator:
        return _redis(url, id_ttl_ms, settings.history_deadline_ms or REDIS_DEADLINE_MS)
    if scheme == "dynamodb" and location and "/" not in location:
        return _dynamodb(location, id_ttl_ms, settings.history_deadline_ms or DYNAMODB_DEADLINE_MS)
    raise SettingsError(f"FRAUD_HISTORY is {url!r}: use memory://, memory:///FILE, "
                        "redis://HOST:PORT or dynamodb://TABLE")


def _memory(settings: Settings, id_ttl_ms: int, file: str) -> Store:
    from fraud.stores.memory import MemoryStore, fill_from_file

    store = MemoryStore(id_ttl_ms, settings.memory_ids, settings.memory_accounts)
    if file:
        fill_from_file(store, file)
    return store


def _redis(url: str, id_ttl_ms: int, deadline_ms: float) -> Store:
    from fraud.stores.redis import RedisStore

    try:
        return RedisStore(url, id_ttl_ms, deadline_ms)
    except ValueError as error:
        raise SettingsError(f"FRAUD_HISTORY is not a URL of Redis ({error}); "
                            "use redis://USER:PASSWORD@HOST:PORT/NUMBER") from error


def _dynamodb(table: str, id_ttl_ms: int, deadline_ms: float) -> Store:
    from botocore.exceptions import BotoCoreError

    from fraud.stores.dynamodb import DynamoStore

    try:
        return DynamoStore(table, id_ttl_ms, deadline_ms)
    except BotoCoreError as error:
        raise SettingsError(f"FRAUD_HISTORY names table {table!r} of DynamoDB, which cannot be "
                            f"used: {error} Set AWS' variables, such as AWS_DEFAULT_REGION"
                            ) from error
