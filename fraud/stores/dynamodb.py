"""History in a DynamoDB table, for many processes without a server of their own.

A claim reads, counts here, and writes everything in one transaction on the condition that nothing
was changed since; if something was, it starts again. Payments to one account at the same moment
therefore contend for it: a busy destination needs Redis. There is no order over all accounts, so
there are no sequence numbers.

The table's partition key is the string `pk`, its time to live the attribute `expires`. Items:

    recording       since, filled_until (after a fill, until the first claim)
    id#ID           digest of the payment, claim, answer
    account#NAME    account: `fraud.stores.account.encode`, version
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fraud.history import (BUCKET_MS, DAY_BUCKETS, MAX_GAP_MS, SUMS_BYTES, Claim, Finished, Past,
                           Reused, StoreNotEmpty, StoreUnavailable, digest)
from fraud.stores.account import Account, account_of, claim, decode, encode
from fraud.transaction import Transaction

RETRIES = 3
TRANSACTION = 100           # items that one transaction may write
CLAIMS = TRANSACTION // 3   # payments of one: an id and two accounts each
RECORDING = "recording"
ACCOUNT_TTL_MS = 2 * DAY_BUCKETS * BUCKET_MS
PARALLEL = 32               # calls at a time

_CLAIM = struct.Struct("<" + 4 * f"{SUMS_BYTES}s" + "?q")      # sums, late, recording since
_CHANGED = {"None", "ConditionalCheckFailed", "TransactionConflict"}


class DynamoStore:
    """A `Store` on one table.

    Args:
        table: its name; region, credentials and endpoint come from where AWS' tools take them.
        id_ttl_ms: how long an id is known; DynamoDB may take its time to forget it.
        deadline_ms: of a claim or finish, after which it raises `StoreUnavailable`.
    """

    def __init__(self, table: str, id_ttl_ms: int, deadline_ms: int):
        self._table, self._id_ttl_ms, self._deadline = table, id_ttl_ms, deadline_ms / 1000
        self._client = botocore.session.get_session().create_client("dynamodb", config=Config(
            connect_timeout=self._deadline, read_timeout=self._deadline,
            retries={"total_max_attempts": 1}, max_pool_connections=PARALLEL))
        self._threads = ThreadPoolExecutor(PARALLEL, "dynamodb")
        self._since: int | None = None

    def claim(self, payments: Sequence[Transaction], now: int) -> list[Claim | Finished | Reused]:
        return self._in_time(lambda part, end: self._claim(part, now, end), payments, CLAIMS)

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        return self._in_time(self._finish, list(zip(claims, answers)), TRANSACTION)

    def answer(self, transaction_id: str) -> bytes | None:
        [item] = self._in_time(
            lambda ids, end: [self._read([_id(ids[0])]).get(_id(ids[0]), {})], [transaction_id], 1)
        return item.get("answer")

    def fill(self, pasts: Iterable[Past], since: int, until: int) -> None:
        try:
            if not self._read([RECORDING]):
                for past in pasts:
                    self._client.put_item(TableName=self._table, Item=_typed(
                        pk=_account(past.account), expires=_expiry(ACCOUNT_TTL_MS), version=1,
                        account=encode(past.newest, past.buckets)))
                if self._write("Put", [_put(pk=RECORDING, since=since, filled_until=until)]):
                    return
        except (BotoCoreError, ClientError) as error:
            raise self._unavailable(error) from None
        raise StoreNotEmpty(f"DynamoDB table {self._table} has been recording already")

    def close(self) -> None:
        self._threads.shutdown(wait=False)
        self._client.close()

    def _in_time(self, work: Callable[[Sequence, float], list], things: Sequence,
                 size: int) -> list:
        """What the work returns for parts of the things, each part within the deadline."""
        results = []
        for start in range(0, len(things), size):
            end = time.monotonic() + self._deadline
            try:
                results += self._threads.submit(work, things[start:start + size], end).result(
                    self._deadline)
            except (Late, BotoCoreError, ClientError) as error:
                raise self._unavailable(error) from None
        return results

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        why = str(error) or f"no answer in {self._deadline * 1000:.0f} ms"
        return StoreUnavailable(f"DynamoDB table {self._table}: {why}")

    def _claim(self, payments: Sequence[Transaction], now: int, end: float) -> list:
        since = self._recording_since(now)
        keys = {key for payment in payments for key in (
            _id(payment.transaction_id), _account(payment.origin), _account(payment.destination))}
        for attempt in range(1 + RETRIES):
            if time.monotonic() > end:
                break
            results, puts = _counted(payments, self._read(keys), since, self._id_ttl_ms)
            if not puts or self._write("Put", puts):
                return results
            time.sleep(random.uniform(0, 0.005 * 2 ** attempt))
        raise Late("others change the same accounts all the time")

    def _finish(self, pairs: Sequence[tuple[Claim, bytes]], end: float) -> list[bytes]:
        keep = {claim.transaction_id: _keep(claim, answer) for claim, answer in pairs}
        if len(keep) == len(pairs) and self._write("Update", list(keep.values())):
            return [answer for _, answer in pairs]
        return [self._finish_one(claim, answer, end) for claim, answer in pairs]

    def _finish_one(self, claim: Claim, answer: bytes, end: float) -> bytes:
        key = _id(claim.transaction_id)
        while time.monotonic() < end:
            if self._write("Update", [_keep(claim, answer)]):
                return answer
            item = self._read({key}).get(key, {})
            if item.get("digest") != claim.digest:
                return answer               # forgotten meanwhile
            if "answer" in item:
                return item["answer"]
        raise Late("others finish the same payments all the time")

    def _recording_since(self, now: int) -> int:
        while self._since is None:
            item = self._read({RECORDING}).get(RECORDING, {})
            until = item.get("filled_until")
            if item and until is None:
                self._since = item["since"]
                continue
            since = item["since"] if item and now <= until + MAX_GAP_MS else now
            self._write("Put", [_put(item.get("version"), pk=RECORDING, since=since)])
        return self._since

    def _read(self, keys: Iterable[str]) -> dict[str, dict]:
        """Items by key, as they are now."""
        items = {}
        asked = {self._table: {"Keys": [_typed(pk=key) for key in keys], "ConsistentRead": True}}
        while asked:
            reply = self._client.batch_get_item(RequestItems=asked)
            items |= {item["pk"]: item for item in map(_plain, reply["Responses"][self._table])}
            asked = reply["UnprocessedKeys"]
        return items

    def _write(self, kind: str, writes: list[dict]) -> bool:
        """Do all, or nothing where a condition does not hold."""
        try:
            self._client.transact_write_items(TransactItems=[
                {kind: {"TableName": self._table, **write}} for write in writes])
        except self._client.exceptions.TransactionCanceledException as error:
            if {reason["Code"] for reason in error.response["CancellationReasons"]} <= _CHANGED:
                return False
            raise
        return True


def _counted(payments: Sequence[Transaction], items: dict[str, dict], since: int,
             id_ttl_ms: int) -> tuple[list[Claim | Finished | Reused], list[dict]]:
    """Results of payments, given the items they touch, and the puts that make them true."""
    accounts: dict[str, Account] = {}
    results, puts = [], []
    for payment in payments:
        key, its_digest = _id(payment.transaction_id), digest(payment)
        if key not in items:
            for name in (payment.origin, payment.destination):
                if name not in accounts:
                    accounts[name] = _account_in(items.get(_account(name)))
            items[key] = {"digest": its_digest, "claim": _packed(claim(
                accounts[payment.origin], accounts[payment.destination], payment, its_digest,
                None, since))}
            puts.append(_put(pk=key, expires=_expiry(id_ttl_ms), **items[key]))
        results.append(_result(items[key], payment.transaction_id, its_digest))
    expires = _expiry(ACCOUNT_TTL_MS)
    for name, account in accounts.items():
        version = items.get(_account(name), {}).get("version")
        puts.append(_put(version, pk=_account(name), expires=expires,
                         account=encode(account.newest, account.buckets())))
    return results, puts


def _result(item: dict, transaction_id: str, its_digest: bytes) -> Claim | Finished | Reused:
    if item["digest"] != its_digest:
        return Reused()
    if "answer" in item:
        return Finished(item["answer"])
    *before, late, since = _CLAIM.unpack(item["claim"])
    return Claim(transaction_id, its_digest, *(int.from_bytes(sums, "little") for sums in before),
                 None, late, since)


def _packed(claim: Claim) -> bytes:
    sums = (claim.origin_hour, claim.origin_day, claim.destination_hour, claim.destination_day)
    return _CLAIM.pack(*(its.to_bytes(SUMS_BYTES, "little") for its in sums),
                       claim.late, claim.recording_since)


def _account_in(item: dict | None) -> Account:
    return account_of(decode("", item["account"])) if item else Account()


def _put(had_version: int | None = None, **attributes) -> dict:
    """Put an item that is not there, or still has a version."""
    if had_version is None:
        return {"Item": _typed(version=1, **attributes),
                "ConditionExpression": "attribute_not_exists(pk)"}
    return {"Item": _typed(version=had_version + 1, **attributes),
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": _typed(**{":version": had_version})}


def _keep(claim: Claim, answer: bytes) -> dict:
    """Give a payment its answer, if it has none."""
    return {"Key": _typed(pk=_id(claim.transaction_id)), "UpdateExpression": "SET answer = :answer",
            "ConditionExpression": "digest = :digest AND attribute_not_exists(answer)",
            "ExpressionAttributeValues": _typed(**{":answer": answer, ":digest": claim.digest})}


def _id(transaction_id: str) -> str:
    return f"id#{transaction_id}"


def _account(name: str) -> str:
    return f"account#{name}"


def _expiry(ttl_ms: int) -> int:
    return int(time.time()) + ttl_ms // 1000


def _typed(**attributes: str | int | bytes) -> dict:
    kinds = {str: "S", int: "N", bytes: "B"}
    return {name: {kinds[type(value)]: str(value) if type(value) is int else value}
            for name, value in attributes.items()}


def _plain(item: dict) -> dict:
    return {name: int(value["N"]) if "N" in value else value.get("S", value.get("B"))
            for name, value in item.items()}
