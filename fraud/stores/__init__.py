"""Stores of history: in memory, on Redis, on DynamoDB. Which one, a URL says."""

from __future__ import annotations

from fraud.history import Store
from fraud.settings import Settings, SettingsError

REDIS_DEADLINE_MS = 20
DYNAMODB_DEADLINE_MS = 150
HOUR_MS = 3_600_000


def open_store(settings: Settings) -> Store:
    """The store that `settings.history` names. Only what it needs is imported, nothing connected.

    Raises:
        SettingsError: no store has such a URL, or what it names cannot be used.
    """
    url = settings.history
    scheme, separator, place = url.partition("://")
    id_ttl_ms = round(settings.id_hours * HOUR_MS)
    if scheme == "memory" and separator and (not place or place.startswith("/")):
        return _memory(settings, id_ttl_ms, place)
    if scheme in ("redis", "rediss", "unix") and separator:
        return _redis(url, id_ttl_ms, settings.history_deadline_ms or REDIS_DEADLINE_MS)
    if scheme == "dynamodb" and place and "/" not in place:
        return _dynamodb(place, id_ttl_ms, settings.history_deadline_ms or DYNAMODB_DEADLINE_MS)
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
                            "use redis://USER:PASSWORD@HOST:PORT/NUMBER") from None


def _dynamodb(table: str, id_ttl_ms: int, deadline_ms: float) -> Store:
    from botocore.exceptions import BotoCoreError

    from fraud.stores.dynamodb import DynamoStore

    try:
        return DynamoStore(table, id_ttl_ms, deadline_ms)
    except BotoCoreError as error:
        raise SettingsError(f"FRAUD_HISTORY is table {table!r} of DynamoDB: {error} "
                            "Use AWS' variables, as AWS_DEFAULT_REGION") from None
