"""History in Redis, for many processes: one atomic script a trip, a micro-batch in one round trip.

One primary holds everything; a replica may take over. What Redis loses is lost here: nothing that
was answered with `appendonly yes` and `appendfsync always`, up to a second of payments, which later
ones then do not see, with `everysec`, everything without a file, and then recording starts anew. A
server that may evict keys is refused: an evicted account would pass for a quiet one. Accounts are
kept for two days after their last payment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha1
from time import monotonic
from typing import NamedTuple

from redis import ConnectionPool, RedisError
from redis.backoff import NoBackoff
from redis.connection import Connection
from redis.exceptions import ConnectionError, NoScriptError
from redis.retry import Retry

from fraud.history import (BUCKET_MS, DAY_BUCKETS, Claim, Finished, Past, Reused, StoreNotEmpty,
                           StoreUnavailable, digest)
from fraud.stores import scripts
from fraud.stores.account import LIMB, encode, sums_in_limbs
from fraud.transaction import Transaction

PREFIX = "fraud:"
RECORDING = PREFIX + "recording"
TRIP = 100                  # payments a round trip, each of which has the deadline
CHUNK = 25                  # payments a script: other clients wait no longer than it runs
ACCOUNT_TTL_MS = 2 * DAY_BUCKETS * BUCKET_MS

_PAYMENT = struct.Struct("<16sddd")
_CLAIMED = struct.Struct(scripts.CLAIMED)


class _Call(NamedTuple):
    """One run of a script."""

    script: str
    keys: list[str]
    arguments: list


class RedisStore:
    """A `Store` on one Redis server.

    Args:
        url: redis://, rediss:// or unix://, as redis-py takes it.
        id_ttl_ms: how long an id is known.
        deadline_ms: of a round trip, after which it raises `StoreUnavailable`.
    """

    def __init__(self, url: str, id_ttl_ms: int, deadline_ms: int):
        self._id_ttl_ms, self._deadline = id_ttl_ms, deadline_ms / 1000
        self._pool = ConnectionPool.from_url(
            url, protocol=2, retry=Retry(NoBackoff(), 0), redis_connect_func=_prepare,
            socket_timeout=self._deadline, socket_connect_timeout=self._deadline)

    def claim(self, payments: Sequence[Transaction], now: int) -> list[Claim | Finished | Reused]:
        pairs = [(payment, digest(payment)) for payment in payments]
        calls = [_Call(
            scripts.CLAIM,
            [RECORDING, *(key for payment, _ in part for key in (
                _id(payment.transaction_id), _account(payment.origin),
                _account(payment.destination)))],
            [now, self._id_ttl_ms, ACCOUNT_TTL_MS, *(
                _PAYMENT.pack(its_digest, payment.event_time, *divmod(payment.amount_cents, LIMB))
                for payment, its_digest in part)],
        ) for part in _parts(pairs, CHUNK)]
        return [_result(kept, *pair) for kept, pair in zip(self._run(calls), pairs)]

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        pairs = list(zip(claims, answers))
        calls = [_Call(scripts.FINISH, [_id(claim.transaction_id) for claim, _ in part],
                       [self._id_ttl_ms, *(claim.digest + b"f" + answer for claim, answer in part)])
                 for part in _parts(pairs, CHUNK)]
        return [kept or answer for kept, answer in zip(self._run(calls), answers)]

    def answer(self, transaction_id: str) -> bytes | None:
        [known] = self._trip([("GET", _id(transaction_id))])
        return known[17:] if known and known[16:17] == b"f" else None

    def fill(self, pasts: Iterable[Past], since: int, until: int) -> None:
        [exists] = self._trip([("EXISTS", RECORDING)])
        if not exists:
            for part in _parts(list(pasts), TRIP):
                self._trip([("SET", _account(past.account), encode(past.newest, past.buckets),
                             "PX", ACCOUNT_TTL_MS) for past in part])
            [filled] = self._trip([_command(_Call(scripts.FILL, [RECORDING], [since, until]))])
        if exists or not filled:
            raise StoreNotEmpty("Redis has been recording already")

    def close(self) -> None:
        self._pool.disconnect()

    def _run(self, calls: list[_Call]) -> Iterator[bytes]:
        """The replies of scripts, flat."""
        for part in _parts(calls, TRIP // CHUNK):
            for replies in self._trip([_command(call) for call in part]):
                yield from replies

    def _trip(self, commands: list[tuple]) -> list:
        """One round trip; a second one where a connection was found dead at once."""
        end = monotonic() + self._deadline
        try:
            try:
                return self._exchange(commands, end)
            except (ConnectionError, NoScriptError):
                if monotonic() > end - self._deadline / 2:
                    raise
                return self._exchange(commands, end)
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"Redis: {error}") from None

    def _exchange(self, commands: list[tuple], end: float) -> list:
        connection = self._pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            return [connection.read_response(timeout=max(end - monotonic(), 0.001))
                    for _ in commands]
        except BaseException:
            connection.disconnect()         # replies may be on their way
            raise
        finally:
            self._pool.release(connection)


def _prepare(connection: Connection) -> None:
    """Make a new connection ready: scripts are loaded, and the server keeps what it is told."""
    connection.on_connect()
    for script in (scripts.CLAIM, scripts.FINISH, scripts.FILL):
        connection.send_command("SCRIPT", "LOAD", script)
        connection.read_response()
    connection.send_command("INFO", "memory")
    told = dict(line.split(":", 1) for line in connection.read_response().decode().splitlines()
                if ":" in line)
    policy = told.get("maxmemory_policy", "not told")
    if told.get("maxmemory") != "0" and policy != "noeviction":
        raise ConnectionError(f"maxmemory-policy is {policy}: it may forget accounts; set it to "
                              "noeviction")


def _command(call: _Call) -> tuple:
    return ("EVALSHA", _DIGESTS[call.script], len(call.keys), *call.keys, *call.arguments)


def _result(kept: bytes, payment: Transaction, its_digest: bytes) -> Claim | Finished | Reused:
    if kept[:1] == b"f":
        return Finished(kept[1:])
    if kept[:1] == b"r":
        return Reused()
    sequence, late, since, *seen = _CLAIMED.unpack_from(kept, 1)
    return Claim(payment.transaction_id, its_digest,
                 *(sums_in_limbs(*seen[start:start + 6]) for start in range(0, 24, 6)),
                 int(sequence), bool(late), int(since))


def _id(transaction_id: str) -> str:
    return f"{PREFIX}id:{transaction_id}"


def _account(name: str) -> str:
    return f"{PREFIX}account:{name}"


def _parts(items: list, size: int) -> Iterator[list]:
    return (items[start:start + size] for start in range(0, len(items), size))


_DIGESTS = {script: sha1(script.encode()).hexdigest()
            for script in (scripts.CLAIM, scripts.FINISH, scripts.FILL)}
