"""History in this process: fast, bounded, and gone with it.

Ids are forgotten in the order in which they came. Accounts live in two generations: what is touched
moves to the young one, which becomes the old one when its time is over or it is full; the old one
then goes. Only what was idle goes, and `recording_since` says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock

import msgspec

from fraud.history import (DAY_BUCKETS, MAX_GAP_MS, Claim, Finished, Past, Reused, StoreNotEmpty,
                           bucket_of)
from fraud.settings import SettingsError
from fraud.stores.account import Account, account_of, claim, decode, encode
from fraud.transaction import Transaction

GENERATION_BUCKETS = DAY_BUCKETS + 12       # a payment may be twelve hours late and see all


class _Answered(msgspec.Struct, frozen=True, gc=False):
    """What is kept under a transaction_id in place of its claim, once it has an answer."""

    digest: bytes
    answer: bytes


class MemoryStore:
    """A `Store` of Python objects, for one process.

    Args:
        id_ttl_ms: how long an id is known.
        max_ids: at most; beyond it the oldest are forgotten before their time.
        max_accounts: at most; beyond it those idle for the longest are forgotten.
    """

    def __init__(self, id_ttl_ms: int, max_ids: int, max_accounts: int):
        self._id_ttl_ms, self._max_ids, self._max_accounts = id_ttl_ms, max_ids, max_accounts
        self._lock = Lock()
        self._ids: dict[str, Claim | _Answered] = {}
        self._by_age: deque[tuple[int, list[str]]] = deque()      # `now` and new ids of a batch
        self._accounts: dict[str, Account] = {}
        self._old: dict[str, Account] = {}
        self._dropped: dict[str, Account] = {}
        self._newest = 0                # event_time, of all accounts
        self._old_until = 0             # `_newest` when the old generation was closed
        self._sequence = 0
        self._since: int | None = None
        self._filled_until: int | None = None

    def claim(self, payments: Sequence[Transaction], now: int) -> list[Claim | Finished | Reused]:
        with self._lock:
            self._begin(now)
            self._forget(now, len(payments))
            new: list[str] = []
            self._by_age.append((now, new))
            return [self._claim(payment, new) for payment in payments]

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        with self._lock:
            return [self._finish(claim, answer) for claim, answer in zip(claims, answers)]

    def answer(self, transaction_id: str) -> bytes | None:
        known = self._ids.get(transaction_id)
        return known.answer if isinstance(known, _Answered) else None

    def fill(self, pasts: Iterable[Past], since: int, until: int) -> None:
        with self._lock:
            if self._since is not None:
                raise StoreNotEmpty(f"memory has been recording since {self._since}")
            self._accounts = {past.account: account_of(past) for past in pasts}
            self._newest = max((account.newest for account in self._accounts.values()), default=0)
            self._old_until = self._newest
            self._since, self._filled_until = since, until

    def close(self) -> None:
        pass

    def _begin(self, now: int) -> None:
        """Know since when recording goes on."""
        if self._since is None:
            self._since = now
        elif self._filled_until is not None:
            if now > self._filled_until + MAX_GAP_MS:
                self._since = now
            self._filled_until = None

    def _forget(self, now: int, room: int) -> None:
        while self._by_age and (len(self._ids) + room > self._max_ids
                                or self._by_age[0][0] + self._id_ttl_ms <= now):
            for transaction_id in self._by_age.popleft()[1]:
                del self._ids[transaction_id]
        if (bucket_of(self._newest) >= bucket_of(self._old_until) + GENERATION_BUCKETS
                or len(self._accounts) + 2 * room > self._max_accounts // 2):
            self._drop_idle()
        for _ in range(min(len(self._dropped), 4 * room)):      # a few at a time: no pause
            self._dropped.popitem()

    def _drop_idle(self) -> None:
        if self._old:
            self._since = max(self._since, self._old_until + 1)
        self._dropped, self._old, self._accounts = self._old, self._accounts, {}
        self._old_until = self._newest

    def _claim(self, payment: Transaction, new: list[str]) -> Claim | Finished | Reused:
        name, its_digest = payment.transaction_id, _encode(payment)     # exact, and fast
        known = self._ids.get(name)
        if known is None:
            accounts = self._accounts
            self._sequence += 1
            result = self._ids[name] = claim(
                accounts.get(payment.origin) or self._account(payment.origin),
                accounts.get(payment.destination) or self._account(payment.destination),
                payment, its_digest, self._sequence, self._since)
            new.append(name)
            if payment.event_time > self._newest:
                self._newest = payment.event_time
            return result
        if known.digest != its_digest:
            return Reused()
        return known if type(known) is Claim else Finished(known.answer)

    def _account(self, name: str) -> Account:
        """The account, in the young generation."""
        account = self._accounts[name] = self._old.pop(name, None) or Account()
        return account

    def _finish(self, claim: Claim, answer: bytes) -> bytes:
        known = self._ids.get(claim.transaction_id)
        if known is None or known.digest != claim.digest:
            return answer               # forgotten meanwhile
        if type(known) is Claim:
            known = self._ids[claim.transaction_id] = _Answered(claim.digest, answer)
        return known.answer


class _File(msgspec.Struct, array_like=True):
    """A store's past as a file of MessagePack."""

    since: int
    until: int
    accounts: list[tuple[str, bytes]]       # names and `fraud.stores.account.encode`


def write_file(path: Path | str, pasts: Iterable[Past], since: int, until: int) -> None:
    """Write what `fill_from_file` reads, under its name only when complete."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    accounts = [(past.account, encode(past.newest, past.buckets)) for past in pasts]
    partial.write_bytes(msgspec.msgpack.encode(_File(since, until, accounts)))
    partial.replace(path)


def fill_from_file(store: MemoryStore, path: Path | str) -> None:
    """Fill a store with a file.

    Raises:
        SettingsError: it cannot be read or is something else.
    """
    try:
        file = msgspec.msgpack.decode(Path(path).read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path}: is no history to start from ({error}); write it with "
                            "python -m fraud.training.warm") from None
    store.fill((decode(name, content) for name, content in file.accounts), file.since, file.until)


_encode = msgspec.msgpack.Encoder().encode
