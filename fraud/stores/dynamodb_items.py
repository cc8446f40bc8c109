"""The items of the DynamoDB table, and the conditional writes that change them.

The table's partition key is the string `pk`, its time to live the attribute `expires`:

    recording       since, filled_until (after a fill, until the first claim)
    id#ID           digest of the payment, claim, answer
    account#NAME    account: `fraud.stores.account.encode`, version

Items are dicts of str, int and bytes here, and of DynamoDB's typed values in requests (`typed`).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fraud.history import (
    BUCKET_MS, DAY_BUCKETS, AlreadyAnswered, Claim, ClaimResult, IdConflict, digest)
from fraud.packing import PACKED_BYTES
from fraud.stores.account import Account, account_of, claim, decode, encode
from fraud.transaction import Transaction

RECORDING = "recording"
ACCOUNT_TTL_MS = 2 * DAY_BUCKETS * BUCKET_MS

Value = str | int | bytes
Item = dict[str, Any]           # attributes by name
Write = dict[str, Any]          # arguments of a Put or Update

_CLAIM = struct.Struct("<" + 4 * f"{PACKED_BYTES}s" + "?q")      # sums, late, recording since
_KINDS = {str: "S", int: "N", bytes: "B"}


def count(payments: Sequence[Transaction], items: dict[str, Item], since: int,
          id_ttl_ms: int) -> tuple[list[ClaimResult], list[Write]]:
    """Count payments, and return their results and the writes that keep them.

    Args:
        items: those of the payments' ids and accounts that exist, by key; new claims are added.
    """
    accounts: dict[str, Account] = {}
    results: list[ClaimResult] = []
    writes: list[Write] = []
    for payment in payments:
        key, payment_digest = id_key(payment.transaction_id), digest(payment)
        if key not in items:
            destination = payment.destination
            claimed = claim(_account(accounts, items, payment.origin),
                            None if destination is None
                            else _account(accounts, items, destination),
                            payment, payment_digest, None, since)
            items[key] = {"digest": payment_digest, "claim": _pack_claim(claimed)}
            writes.append(put(pk=key, expires=expiry(id_ttl_ms), **items[key]))
        results.append(_claim_result(items[key], payment.transaction_id, payment_digest))
    return results, writes + [_put_account(items, name, account)
                              for name, account in accounts.items()]


def _account(accounts: dict[str, Account], items: Mapping[str, Item], name: str) -> Account:
    if name not in accounts:
        item = items.get(account_key(name))
        accounts[name] = account_of(decode(name, item["account"])) if item else Account()
    return accounts[name]


def _put_account(items: Mapping[str, Item], name: str, account: Account) -> Write:
    key = account_key(name)
    return put(items.get(key, {}).get("version"), pk=key, expires=expiry(ACCOUNT_TTL_MS),
               account=encode(account.newest, account.buckets()))


def _claim_result(item: Item, transaction_id: str, payment_digest: bytes) -> ClaimResult:
    if item["digest"] != payment_digest:
        return IdConflict()
    if "answer" in item:
        return AlreadyAnswered(item["answer"])
    *packed, late, since = _CLAIM.unpack(item["claim"])
    origin_hour, origin_day, destination_hour, destination_day = (
        int.from_bytes(sums, "little") for sums in packed)
    return Claim(transaction_id, payment_digest, origin_hour, origin_day, destination_hour,
                 destination_day, None, late, since)


def _pack_claim(claim: Claim) -> bytes:
    sums = (claim.origin_hour, claim.origin_day, claim.destination_hour, claim.destination_day)
    return _CLAIM.pack(*(packed.to_bytes(PACKED_BYTES, "little") for packed in sums),
                       claim.late, claim.recording_since)


def put(expected_version: int | None = None, **attributes: Value) -> Write:
    """Return the put of an item, on condition that it still has a version, or does not exist."""
    if expected_version is None:
        return {"Item": typed(version=1, **attributes),
                "ConditionExpression": "attribute_not_exists(pk)"}
    return {"Item": typed(version=expected_version + 1, **attributes),
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": typed(**{":version": expected_version})}


def keep_answer(claim: Claim, answer: bytes) -> Write:
    """Return the update of a payment by its answer, on condition that it has none."""
    return {"Key": typed(pk=id_key(claim.transaction_id)),
            "UpdateExpression": "SET answer = :answer",
            "ConditionExpression": "digest = :digest AND attribute_not_exists(answer)",
            "ExpressionAttributeValues": typed(**{":answer": answer, ":digest": claim.digest})}


def id_key(transaction_id: str) -> str:
    """Return the key of a transaction_id's item."""
    return f"id#{transaction_id}"


def account_key(name: str) -> str:
    """Return the key of an account's item."""
    return f"account#{name}"


def expiry(ttl_ms: int) -> int:
    """Return the time at which an item that is written now expires, in seconds."""
    return int(time.time()) + ttl_ms // 1000


def typed(**attributes: Value) -> Item:
    """Return attributes as DynamoDB's typed values."""
    return {name: {_KINDS[type(value)]: str(value) if isinstance(value, int) else value}
            for name, value in attributes.items()}


def plain(item: Item) -> Item:
    """Return DynamoDB's typed values as str, int and bytes."""
    return {name: int(value["N"]) if "N" in value else value.get("S", value.get("B"))
            for name, value in item.items()}
