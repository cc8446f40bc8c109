"""History in Redis, for many processes: one atomic script a trip, a micro-batch in one round trip.

One primary holds everything; a replica may take over. Data that Redis loses is lost here: nothing
that was answered, with `appendonly yes` and `appendfsync always`; up to a second of payments, with
`everysec`; everything, without a file, and recording then starts anew. A server that may evict keys
is refused, because an evicted account would look like a quiet one. Accounts are kept for 32 days
after their last payment.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha1
from typing import Any, TypeVar

from fraud.clock import DAY_MS
from fraud.history import (
    AccountSnapshot, AlreadyAnswered, Claim, ClaimResult, IdConflict, KnownFraud, PaymentAccounts,
    StoreMemory, StoreNotEmpty, digest)
from fraud.stores import script_functions, scripts
from fraud.stores.account import claim_of, contact_bits
from fraud.stores.encoding import TOTALS_FIELDS, encode, totals_of
from fraud.stores.redis_connection import Command, RedisClient
from fraud.stores.script_functions import PREFIX
from fraud.transaction import Transaction
from fraud.windows import MONTH_MS

RECORDING = PREFIX + "recording"
TRIP_PAYMENTS = 100         # of one round trip
SCRIPT_PAYMENTS = 25        # of one script: it blocks the server's other clients while it runs
ACCOUNT_TTL_MS = FRAUD_TTL_MS = MONTH_MS + 2 * DAY_MS

_PAYMENT = struct.Struct(scripts.PAYMENT)
_CLAIMED = struct.Struct(scripts.CLAIMED)
_ID_HEADER = struct.Struct(script_functions.ID_HEADER)
_DIGESTS = {script: sha1(script.encode()).hexdigest()
            for script in (scripts.CLAIM, scripts.FINISH, scripts.LABEL, scripts.FILL)}

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        def command(part: Sequence[Transaction]) -> Command:
            return self._claim_command(part, now)

        return self._run(payments, command, _claim_results)

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        return self._run(list(zip(claims, answers, strict=True)), self._finish_command, _answers)

    def answer(self, transaction_id: str) -> bytes | None:
        [known] = self._trip([("GET", _id(transaction_id))])
        result = known[_result_position(known):] if known else b""
        return result[1:] if result[:1] == b"f" else None

    def label(self, frauds: Sequence[KnownFraud]) -> list[bool]:
        return self._run(frauds, self._label_command, _are_new)

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

    def _claim_command(self, part: Sequence[Transaction], now: int) -> Command:
        keys, arguments = [RECORDING], [now, self._id_ttl_ms, ACCOUNT_TTL_MS]
        encoded = []
        for payment in part:
            keys += [_id(payment.transaction_id), _account(payment.origin),
                     _account(payment.destination or "")]
            origin, destination = contact_bits(payment)
            encoded.append(_PAYMENT.pack(digest(payment), payment.event_time, payment.amount_cents,
                                         destination, origin))
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

    def _run(self, items: Sequence[Item], command: Callable[[Sequence[Item]], Command],
             results: Callable[[Sequence[Item], Any], list[Result]]) -> list[Result]:
        """Run scripts, each on a part of the items, and return the results of all."""
        everything: list[Result] = []
        for trip in _parts(items, TRIP_PAYMENTS):
            for part in self._client.map(list(_parts(trip, SCRIPT_PAYMENTS)), command, results):
                everything += part
        return everything


def _command(script: str, keys: Sequence[str], arguments: Sequence[bytes | int]) -> Command:
    """Build the call of a script that the server has loaded."""
    return ("EVALSHA", _DIGESTS[script], len(keys), *keys, *arguments)


def _claim_results(part: Sequence[Transaction], reply: Sequence[bytes]) -> list[ClaimResult]:
    return [_claim_result(payment, result) for payment, result in zip(part, reply, strict=True)]


def _claim_result(payment: Transaction, value: bytes) -> ClaimResult:
    if not value:
        return IdConflict()
    payment_digest, position = value[:16], _result_position(value)
    if value[position:position + 1] == b"f":
        return AlreadyAnswered(value[position + 1:])
    sequence, late, since, *numbers = _CLAIMED.unpack_from(value, position + 1)
    event_time = payment.event_time
    return claim_of(payment, payment_digest, totals_of(numbers[:TOTALS_FIELDS], event_time),
                    totals_of(numbers[TOTALS_FIELDS:], event_time), contact_bits(payment),
                    sequence, bool(late), since)


def _answers(part: Sequence[tuple[Claim, bytes]], reply: Sequence[Any]) -> list[bytes]:
    """Return the answers, those that were kept before in their place."""
    answers = [answer for _, answer in part]
    for index, kept in zip(reply[::2], reply[1::2], strict=True):
        answers[index] = kept
    return answers


def _are_new(part: Sequence[KnownFraud], reply: Sequence[int]) -> list[bool]:
    return [number == 1 for number in reply]


def _accounts(value: bytes) -> PaymentAccounts | None:
    """Return the accounts in the value of an id, or None where it has none."""
    _, origin, destination = _ID_HEADER.unpack_from(value)
    middle = _ID_HEADER.size + origin
    if not origin:
        return None
    return PaymentAccounts(value[_ID_HEADER.size:middle].decode(),
                           value[middle:middle + destination].decode() or None)


def _result_position(value: bytes) -> int:
    """Return the position of claim or answer in the value of an id, with its kind ahead."""
    _, origin, destination = _ID_HEADER.unpack_from(value)
    position: int = _ID_HEADER.size + origin + destination
    return position


def _id(transaction_id: str) -> str:
    return f"{PREFIX}id:{transaction_id}"


def _account(name: str) -> str:
    return f"{PREFIX}account:{name}"


def _fraud(transaction_id: str) -> str:
    return f"{PREFIX}fraud:{transaction_id}"


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start:start + size] for start in range(0, len(items), size))
