"""The items of the DynamoDB table, and the conditional writes that change them.

The table's partition key is the string `pk`, its time to live the attribute `expires`. Keys begin
with the `VERSION` of the encoding, so that an earlier one is never misread:

    2#recording     since, filled_until (after a fill, until the first claim)
    2#id#ID         digest of the payment, origin and destination, claim, answer
    2#account#NAME  account: `fraud.stores.encoding`, version
    2#fraud#ID      nothing: a payment that was counted as fraud

Items are dicts of str, int and bytes here, and of DynamoDB's typed values in requests (`typed`).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fraud.clock import DAY_MS
from fraud.history import (
    AccountSnapshot, AlreadyAnswered, Claim, ClaimResult, IdConflict, KnownFraud, digest)
from fraud.stores.account import Account, account_of, claim, claim_of, contact_bits, snapshot_of
from fraud.stores.encoding import (
    TOTALS, TOTALS_FIELDS, VERSION, decode, encode, pack_totals, totals_of)
from fraud.transaction import Transaction
from fraud.windows import MONTH_MS

RECORDING = f"{VERSION}#recording"
ACCOUNT_TTL_MS = FRAUD_TTL_MS = MONTH_MS + 2 * DAY_MS

Value = str | int | bytes
Item = dict[str, Any]           # attributes by name
Write = dict[str, Any]          # arguments of a Put or Update

_CLAIM = struct.Struct("<?Q" + 2 * TOTALS)      # late, recording since; origin, destination
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
            items[key] = {"digest": payment_digest, "claim": _pack_claim(claimed),
                          "origin": payment.origin}
            if destination is not None:
                items[key]["destination"] = destination
            writes.append(put(pk=key, expires=expiry(id_ttl_ms), **items[key]))
        results.append(_claim_result(items[key], payment, payment_digest))
    return results, writes + [_put_account(items, name, account)
                              for name, account in accounts.items()]


def _account(accounts: dict[str, Account], items: Mapping[str, Item], name: str) -> Account:
    if name not in accounts:
        item = items.get(account_key(name))
        accounts[name] = account_of(decode(name, item["account"])) if item else Account()
    return accounts[name]


def count_frauds(frauds: Sequence[KnownFraud], items: dict[str, Item]
                 ) -> tuple[list[bool], list[Write]]:
    """Count known frauds, and return whether each was new, and the writes that keep them.

    Args:
        items: those of the frauds and accounts that exist, by key; new frauds are added.
    """
    accounts: dict[str, Account] = {}
    results: list[bool] = []
    writes: list[Write] = []
    for fraud in frauds:
        key = fraud_key(fraud.transaction_id)
        results.append(key not in items)
        if key in items:
            continue
        items[key] = {}
        writes.append(put(pk=key, expires=expiry(FRAUD_TTL_MS)))
        _account(accounts, items, fraud.origin).label(fraud.label_time, 1, 0)
        if fraud.destination is not None:
            _account(accounts, items, fraud.destination).label(fraud.label_time, 0, 1)
    return results, writes + [_put_account(items, name, account)
                              for name, account in accounts.items()]


def _put_account(items: Mapping[str, Item], name: str, account: Account) -> Write:
    return put_snapshot(snapshot_of(name, account),
                        items.get(account_key(name), {}).get("version"))


def put_snapshot(snapshot: AccountSnapshot, expected_version: int | None = None) -> Write:
    """Return the put of an account's item; see `put`."""
    return put(expected_version, pk=account_key(snapshot.account), expires=expiry(ACCOUNT_TTL_MS),
               account=encode(snapshot))


def _claim_result(item: Item, payment: Transaction, payment_digest: bytes) -> ClaimResult:
    if item["digest"] != payment_digest:
        return IdConflict()
    if "answer" in item:
        return AlreadyAnswered(item["answer"])
    late, since, *numbers = _CLAIM.unpack(item["claim"])
    return claim_of(payment, payment_digest,
                    totals_of(numbers[:TOTALS_FIELDS], payment.event_time),
                    totals_of(numbers[TOTALS_FIELDS:], payment.event_time), contact_bits(payment),
                    None, late, since)


def _pack_claim(claim: Claim) -> bytes:
    return _CLAIM.pack(claim.late, claim.recording_since, *pack_totals(claim.origin),
                       *pack_totals(claim.destination))


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
    return f"{VERSION}#id#{transaction_id}"


def account_key(name: str) -> str:
    """Return the key of an account's item."""
    return f"{VERSION}#account#{name}"


def fraud_key(transaction_id: str) -> str:
    """Return the key of the item of a counted fraud."""
    return f"{VERSION}#fraud#{transaction_id}"


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
