"""History in a DynamoDB table, for many processes without a server to run.

A claim reads, counts here, and writes everything in one transaction on condition that nothing has
changed since; if something has, it starts again. Concurrent payments to one account therefore
contend for it: a busy destination needs Redis. There is no order over all accounts, so claims have
no sequence numbers. `fraud.stores.dynamodb_items` describes the table.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, TimeoutError as Late
from typing import TypeVar

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError

from fraud.history import (
    MAX_GAP_MS, AccountSnapshot, Claim, ClaimResult, KnownFraud, PaymentAccounts, StoreNotEmpty,
    StoreUnavailable)
from fraud.stores.dynamodb_items import (
    RECORDING, Item, Write, account_key, count, count_frauds, fraud_key, id_key, keep_answer, plain,
    put, put_snapshot, typed)
from fraud.transaction import Transaction

CONNECT_SECONDS = 1.0                       # DNS, TLS and credentials, before the first answer
IDLE_SECONDS = 30.0                         # after which a connection is not trusted
RETRIES = 3
RETRY_SECONDS = 0.005                       # longest first wait; doubles with each retry
TRANSACTION_ITEMS = 100                     # DynamoDB's limit on the items of one transaction
READ_ITEMS = 100                            # and of one read
CLAIM_PAYMENTS = TRANSACTION_ITEMS // 3     # an id and two accounts each; so has a known fraud
PARALLEL_CALLS = 32

_CHANGED = {"None", "ConditionalCheckFailed", "TransactionConflict"}
Argument = TypeVar("Argument")
Result = TypeVar("Result")


class DynamoStore:
    """A `Store` on one table.

    Args:
        table: its name; region, credentials and endpoint come from AWS' variables and files.
        id_ttl_ms: time for which an id is known; DynamoDB may forget it later.
        deadline_ms: of a claim or finish; after it, a call raises `StoreUnavailable`. The first
            call, also after an idle time, has `CONNECT_SECONDS` if that is longer.
    """

    def __init__(self, table: str, id_ttl_ms: int, deadline_ms: float):
        self._table, self._id_ttl_ms, self._deadline = table, id_ttl_ms, deadline_ms / 1000
        self._longest = max(self._deadline, CONNECT_SECONDS)
        self._used = float("-inf")
        self._client = botocore.session.get_session().create_client("dynamodb", config=Config(
            connect_timeout=self._longest, read_timeout=self._longest,
            retries={"total_max_attempts": 1}, max_pool_connections=PARALLEL_CALLS))
        self._threads = ThreadPoolExecutor(PARALLEL_CALLS, "dynamodb")
        self._since: int | None = None

    def claim(self, payments: Sequence[Transaction], now: int) -> list[ClaimResult]:
        def claim_part(part: Sequence[Transaction], end: float) -> list[ClaimResult]:
            return self._claim(part, now, end)

        return self._in_time(claim_part, payments, CLAIM_PAYMENTS)

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        pairs = list(zip(claims, answers, strict=True))
        return self._in_time(self._finish, pairs, TRANSACTION_ITEMS)

    def answer(self, transaction_id: str) -> bytes | None:
        [answer] = self._in_time(self._answers, [transaction_id], 1)
        return answer

    def label(self, frauds: Sequence[KnownFraud]) -> list[bool]:
        return self._in_time(self._label, frauds, CLAIM_PAYMENTS)

    def accounts(self, transaction_ids: Sequence[str]) -> list[PaymentAccounts | None]:
        return self._in_time(self._accounts, transaction_ids, READ_ITEMS)

    def forget(self, accounts: Sequence[str]) -> list[bool]:
        return self._in_time(self._forget, accounts, 1)

    def fill(self, snapshots: Iterable[AccountSnapshot], since: int, until: int) -> None:
        try:
            is_empty = not self._read([RECORDING])
            if is_empty:
                for snapshot in snapshots:
                    self._client.put_item(TableName=self._table,
                                          Item=put_snapshot(snapshot)["Item"])
                write = put(pk=RECORDING, since=since, filled_until=until)
                is_empty = self._write("Put", [write])
        except (BotoCoreError, ClientError) as error:
            raise self._unavailable(error) from error
        if not is_empty:
            raise StoreNotEmpty(f"DynamoDB table {self._table} has been recording already")

    def memory(self) -> None:
        return None

    def close(self) -> None:
        self._threads.shutdown(wait=False)
        self._client.close()

    def _in_time(self, work: Callable[[Sequence[Argument], float], list[Result]],
                 arguments: Sequence[Argument], size: int) -> list[Result]:
        """Run the work on parts of this size, each within the deadline, and return all results."""
        results: list[Result] = []
        for start in range(0, len(arguments), size):
            seconds = self._seconds_for_a_call()
            part = arguments[start:start + size]
            try:
                results += self._threads.submit(
                    work, part, time.monotonic() + seconds).result(seconds)
            except Late as error:
                problem = str(error) or f"no answer in {seconds * 1000:.0f} ms"
                raise self._unavailable(problem) from error
            except (BotoCoreError, ClientError) as error:
                raise self._unavailable(error) from error
        return results

    def _seconds_for_a_call(self) -> float:
        """Return the deadline of a call; drop connections that may have died while idle.

        The wall clock also runs while Lambda has frozen the process.
        """
        before, self._used = self._used, time.time()
        if before <= self._used < before + IDLE_SECONDS:
            return self._deadline
        self._client.close()        # it connects again with the next call
        return self._longest

    def _unavailable(self, problem: object) -> StoreUnavailable:
        return StoreUnavailable(f"DynamoDB table {self._table}: {problem}")

    def _claim(self, payments: Sequence[Transaction], now: int, end: float) -> list[ClaimResult]:
        since = self._recording_since(now)
        keys: set[str] = set()
        for payment in payments:
            keys |= {id_key(payment.transaction_id), account_key(payment.origin)}
            if payment.destination is not None:
                keys.add(account_key(payment.destination))
        return self._changed(
            keys, lambda items: count(payments, items, since, self._id_ttl_ms), end)

    def _label(self, frauds: Sequence[KnownFraud], end: float) -> list[bool]:
        keys: set[str] = set()
        for fraud in frauds:
            keys |= {fraud_key(fraud.transaction_id), account_key(fraud.origin)}
            if fraud.destination is not None:
                keys.add(account_key(fraud.destination))
        return self._changed(keys, lambda items: count_frauds(frauds, items), end)

    def _changed(self, keys: Iterable[str],
                 change: Callable[[dict[str, Item]], tuple[list[Result], list[Write]]],
                 end: float) -> list[Result]:
        """Read items and write their change, again until nothing has changed in between."""
        for attempt in range(1 + RETRIES):
            if time.monotonic() > end:
                break
            results, writes = change(self._read(keys))
            if not writes or self._write("Put", writes):
                return results
            time.sleep(random.uniform(0, RETRY_SECONDS * 2 ** attempt))
        raise Late("other writers keep changing the same accounts; use Redis for busy ones")

    def _finish(self, pairs: Sequence[tuple[Claim, bytes]], end: float) -> list[bytes]:
        updates = {claim.transaction_id: keep_answer(claim, answer) for claim, answer in pairs}
        if len(updates) == len(pairs) and self._write("Update", list(updates.values())):
            return [answer for _, answer in pairs]
        return [self._finish_one(claim, answer, end) for claim, answer in pairs]

    def _finish_one(self, claim: Claim, answer: bytes, end: float) -> bytes:
        key = id_key(claim.transaction_id)
        while time.monotonic() < end:
            if self._write("Update", [keep_answer(claim, answer)]):
                return answer
            item = self._read([key]).get(key, {})
            if item.get("digest") != claim.digest:
                return answer               # the claim was forgotten in the meantime
            if "answer" in item:
                kept: bytes = item["answer"]
                return kept
        raise Late("other writers keep finishing the same payments")

    def _answers(self, transaction_ids: Sequence[str], end: float) -> list[bytes | None]:
        keys = [id_key(transaction_id) for transaction_id in transaction_ids]
        items = self._read(keys)
        return [items.get(key, {}).get("answer") for key in keys]

    def _accounts(self, transaction_ids: Sequence[str], end: float
                  ) -> list[PaymentAccounts | None]:
        keys = [id_key(transaction_id) for transaction_id in transaction_ids]
        items = self._read(set(keys))
        return [PaymentAccounts(items[key]["origin"], items[key].get("destination"))
                if key in items else None for key in keys]

    def _forget(self, accounts: Sequence[str], end: float) -> list[bool]:
        replies = [self._client.delete_item(
            TableName=self._table, Key=typed(pk=account_key(account)), ReturnValues="ALL_OLD")
            for account in accounts]
        return ["Attributes" in reply for reply in replies]

    def _recording_since(self, now: int) -> int:
        while self._since is None:
            item = self._read([RECORDING]).get(RECORDING, {})
            filled_until = item.get("filled_until")
            if item and filled_until is None:
                self._since = int(item["since"])
                break
            is_filled = filled_until is not None and now <= filled_until + MAX_GAP_MS
            since = item["since"] if is_filled else now
            self._write("Put", [put(item.get("version"), pk=RECORDING, since=since)])
        return self._since

    def _read(self, keys: Iterable[str]) -> dict[str, Item]:
        """Return the present items by key."""
        items: dict[str, Item] = {}
        request = {self._table: {"Keys": [typed(pk=key) for key in keys], "ConsistentRead": True}}
        while request:
            reply = self._call(self._client.batch_get_item, RequestItems=request)
            items |= {item["pk"]: item for item in map(plain, reply["Responses"][self._table])}
            request = reply["UnprocessedKeys"]
        return items

    def _write(self, kind: str, writes: list[Write]) -> bool:
        """Write all, and return True; or nothing where a condition fails."""
        try:
            self._call(self._client.transact_write_items, TransactItems=[
                {kind: {"TableName": self._table, **write}} for write in writes])
        except self._client.exceptions.TransactionCanceledException as error:
            if {reason["Code"] for reason in error.response["CancellationReasons"]} <= _CHANGED:
                return False
            raise
        return True

    def _call(self, operation: Callable[..., Result], **request: object) -> Result:
        """Call an operation, once more if the service has closed the connection.

        Both may have been carried out: conditions of writes make that harmless.
        """
        try:
            return operation(**request)
        except ConnectionClosedError:
            return operation(**request)
