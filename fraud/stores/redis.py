"""History in Redis, for many processes: one atomic script a trip, a micro-batch in one round trip.

One primary holds everything; a replica may take over. Data that Redis loses is lost here: nothing
that was answered, with `appendonly yes` and `appendfsync always`; up to a second of payments, with
`everysec`; everything, without a file, and recording then starts anew. A server that may evict keys
is refused, because an evicted account would look like a quiet one. Accounts are kept for 32 days
after their last payment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha1
from typing import Any, TypeVar

from fraud.clock import DAY_MS
from fraud.history import (
    AccountSnapshot, AlreadyAnswered, Claim, ClaimResult, IdConflict, KnownFraud, PaymentAccounts,
    StoreMemory, StoreNotEmpty, digest)
from fraud.stores import script_functions, scripts
from fraud.stores.account import LIMB, TOTALS_FIELDS, claim_of, contact_bits, encode, totals_of
from fraud.stores.redis_connection import Command, RedisClient
from fraud.transaction import Transaction
from fraud.windows import MONTH_MS

PREFIX = "fraud:"
RECORDING = PREFIX + "recording"
TRIP_PAYMENTS = 100         # of one round trip
SCRIPT_PAYMENTS = 25        # of one script: it blocks the server's other clients while it runs
ACCOUNT_TTL_MS = FRAUD_TTL_MS = MONTH_MS + 2 * DAY_MS

_PAYMENT = struct.Struct(scripts.PAYMENT)
_CLAIMED = struct.Struct(scripts.CLAIMED)
_ID_HEADER = struct.Struct(script_functions.ID_HEADER)
_DIGESTS = {script: sha1(script.encode()).hexdigest()
            for script in (scripts.CLAIM, scripts.FINISH, scripts.LABEL, scripts.FILL)}
_MASK = 2 ** 32 - 1

Item = TypeVar("Item")


class RedisStore:
    """A `Store` on one Redis server.

    Args:
        url: redis://, rediss:// or unix://, as redis-py takes it.
        id_ttl_ms: time for which an id is known.
        deadline_ms: for Redis to reply; after it, a call raises `StoreUnavailable`.
    """

    def __init__(self, url: str, id_ttl_ms: int, deadline_ms: float):
        self._id_ttl_ms = id_ttl_ms
        self._client = RedisClient(url, deadline_ms / 1000, _DIGESTS.keys())
        self._trip = self._client.trip

    def claim(self, payments: Sequence[Transaction], now: int) -> list[ClaimResult]:
        digests = [digest(payment) for payment in payments]
        pairs = list(zip(payments, digests, strict=True))
        replies = self._run([self._claim_command(part, now)
                             for part in _parts(pairs, SCRIPT_PAYMENTS)])
        return [_claim_result(reply, payment, payment_digest)
                for reply, (payment, payment_digest) in zip(replies, pairs, strict=True)]

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        pairs = list(zip(claims, answers, strict=True))
        replies = self._run([self._finish_command(part)
                             for part in _parts(pairs, SCRIPT_PAYMENTS)])
        return [kept or answer for kept, answer in zip(replies, answers, strict=True)]

    def answer(self, transaction_id: str) -> bytes | None:
        [known] = self._trip([("GET", _id(transaction_id))])
        result = _result(known) if known else b""
        return result[1:] if result[:1] == b"f" else None

    def label(self, frauds: Sequence[KnownFraud]) -> list[bool]:
        replies = self._run([self._label_command(part)
                             for part in _parts(frauds, SCRIPT_PAYMENTS)])
        return [reply == 1 for reply in replies]

    def accounts(self, transaction_ids: Sequence[str]) -> list[PaymentAccounts | None]:
        values: list[bytes | None] = []
        for part in _parts(transaction_ids, TRIP_PAYMENTS):
            [reply] = self._trip([("MGET", *map(_id, part))])
            values += reply
        return [_accounts(value) if value else None for value in values]

    def forget(self, accounts: Sequence[str]) -> list[bool]:
        replies: list[int] = []
        for part in _parts(accounts, TRIP_PAYMENTS):
            replies += self._trip([("DEL", _account(account)) for account in part])
        return [reply == 1 for reply in replies]

    def fill(self, snapshots: Iterable[AccountSnapshot], since: int, until: int) -> None:
        [exists] = self._trip([("EXISTS", RECORDING)])
        if exists:
            raise StoreNotEmpty("Redis has been recording already")
        for part in _parts(list(snapshots), TRIP_PAYMENTS):
            self._trip([("SET", _account(snapshot.account), encode(snapshot), "PX",
                         ACCOUNT_TTL_MS) for snapshot in part])
        [filled] = self._trip([_command(scripts.FILL, [RECORDING], [since, until])])
        if not filled:
            raise StoreNotEmpty("Redis has been recording already")

    def memory(self) -> StoreMemory:
        fields = self._client.memory()
        return StoreMemory(int(fields["used_memory"]), int(fields["maxmemory"]))

    def close(self) -> None:
        self._client.close()

    def _claim_command(self, part: Sequence[tuple[Transaction, bytes]], now: int) -> Command:
        keys, arguments = [RECORDING], [now, self._id_ttl_ms, ACCOUNT_TTL_MS]
        encoded = []
        for payment, payment_digest in part:
            keys += [_id(payment.transaction_id), _account(payment.origin),
                     _account(payment.destination or "")]
            origin, destination = contact_bits(payment)
            encoded.append(_PAYMENT.pack(
                payment_digest, payment.event_time, *divmod(payment.amount_cents, LIMB),
                destination & _MASK, destination >> 32, origin & _MASK, origin >> 32))
        return _command(scripts.CLAIM, keys, [*arguments, *encoded])

    def _label_command(self, part: Sequence[KnownFraud]) -> Command:
        keys, encoded = [], []
        for fraud in part:
            keys += [_fraud(fraud.transaction_id), _account(fraud.origin),
                     _account(fraud.destination or "")]
            encoded.append(fraud.label_time // DAY_MS)
        return _command(scripts.LABEL, keys, [FRAUD_TTL_MS, ACCOUNT_TTL_MS, *encoded])

    def _finish_command(self, part: Sequence[tuple[Claim, bytes]]) -> Command:
        keys = [_id(claim.transaction_id) for claim, _ in part]
        entries = [item for claim, answer in part for item in (claim.digest, answer)]
        return _command(scripts.FINISH, keys, [self._id_ttl_ms, *entries])

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        """Run scripts that reply with one item a payment, and return all items."""
        items: list[Any] = []
        for part in _parts(commands, TRIP_PAYMENTS // SCRIPT_PAYMENTS):
            for reply in self._trip(part):
                items += reply
        return items


def _command(script: str, keys: Sequence[str], arguments: Sequence[bytes | int]) -> Command:
    """Build the call of a script that the server has loaded."""
    return ("EVALSHA", _DIGESTS[script], len(keys), *keys, *arguments)


def _claim_result(reply: bytes, payment: Transaction, payment_digest: bytes) -> ClaimResult:
    if reply[:1] == b"f":
        return AlreadyAnswered(reply[1:])
    if reply[:1] == b"r":
        return IdConflict()
    sequence, late, since, *numbers = _CLAIMED.unpack_from(reply, 1)
    event_time = payment.event_time
    return claim_of(payment, payment_digest, totals_of(numbers[:TOTALS_FIELDS], event_time),
                    totals_of(numbers[TOTALS_FIELDS:], event_time), contact_bits(payment),
                    int(sequence), bool(late), int(since))


def _accounts(value: bytes) -> PaymentAccounts | None:
    """Return the accounts in the value of an id, or None where it has none."""
    _, origin, destination = _ID_HEADER.unpack_from(value)
    middle = _ID_HEADER.size + origin
    if not origin:
        return None
    return PaymentAccounts(value[_ID_HEADER.size:middle].decode(),
                           value[middle:middle + destination].decode() or None)


def _result(value: bytes) -> bytes:
    """Return the claim or answer in the value of an id, with its kind ahead."""
    _, origin, destination = _ID_HEADER.unpack_from(value)
    return value[_ID_HEADER.size + origin + destination:]


def _id(transaction_id: str) -> str:
    return f"{PREFIX}id:{transaction_id}"


def _account(name: str) -> str:
    return f"{PREFIX}account:{name}"


def _fraud(transaction_id: str) -> str:
    return f"{PREFIX}fraud:{transaction_id}"


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start:start + size] for start in range(0, len(items), size))
