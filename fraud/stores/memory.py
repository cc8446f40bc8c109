"""History in the memory of this process: fast, bounded, and lost when the process ends.

Ids are forgotten in the order in which they came. Accounts live in two generations: an account that
is used moves to the young one, which becomes the old one when its time is over or it is full; the
former old one is dropped. Only idle accounts are lost, and `recording_since` moves accordingly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock

import msgspec

from fraud.history import (
    MAX_GAP_MS, AccountSnapshot, AlreadyAnswered, Claim, ClaimResult, IdConflict, KnownFraud,
    PaymentAccounts, StoreNotEmpty)
from fraud.settings import SettingsError
from fraud.stores.account import Account, account_of, claim
from fraud.stores.encoding import VERSION, decode, encode
from fraud.transaction import Transaction
from fraud.windows import DAY_HOURS, MONTH_DAYS, hour_of

# A payment may be twelve hours late and see all; a day is added because days begin at midnight.
GENERATION_HOURS = MONTH_DAYS * DAY_HOURS + 24 + 12


class _Answered(msgspec.Struct, frozen=True, gc=False):
    """The entry of a transaction_id that has an answer; before that, its claim."""

    digest: bytes           # the encoded payment
    answer: bytes


class MemoryStore:
    """A `Store` of Python objects, for one process.

    Args:
        id_ttl_ms: time for which an id is known.
        max_ids: limit on ids; beyond it the oldest are forgotten early.
        max_accounts: limit on accounts; beyond it those idle for the longest are forgotten.
    """

    def __init__(self, id_ttl_ms: int, max_ids: int, max_accounts: int):
        self._id_ttl_ms, self._max_ids, self._max_accounts = id_ttl_ms, max_ids, max_accounts
        self._lock = Lock()
        self._ids: dict[str, Claim | _Answered] = {}
        self._by_age: deque[tuple[int, list[str]]] = deque()      # `now` and new ids of a batch
        self._labelled: dict[str, None] = {}        # ids of counted frauds, oldest first
        self._accounts: dict[str, Account] = {}
        self._old: dict[str, Account] = {}
        self._dropped: dict[str, Account] = {}
        self._newest = 0                # event_time, of all accounts
        self._old_until = 0             # `_newest` when the old generation was closed
        self._store_sequence = 0
        self._is_empty = True           # neither filled nor claimed from
        self._since = 0                 # start of recording
        self._filled_until: int | None = None

    def claim(self, payments: Sequence[Transaction], now: int) -> list[ClaimResult]:
        with self._lock:
            self._start_recording(now)
            self._forget(now, len(payments))
            new: list[str] = []
            self._by_age.append((now, new))
            return [self._claim(payment, new) for payment in payments]

    def finish(self, claims: Sequence[Claim], answers: Sequence[bytes]) -> list[bytes]:
        with self._lock:
            return [self._finish(claim, answer)
                    for claim, answer in zip(claims, answers, strict=True)]

    def answer(self, transaction_id: str) -> bytes | None:
        known = self._ids.get(transaction_id)
        return known.answer if isinstance(known, _Answered) else None

    def label(self, frauds: Sequence[KnownFraud]) -> list[bool]:
        with self._lock:
            return [self._label(fraud) for fraud in frauds]

    def accounts(self, transaction_ids: Sequence[str]) -> list[PaymentAccounts | None]:
        return [_accounts(self._ids.get(transaction_id)) for transaction_id in transaction_ids]

    def forget(self, accounts: Sequence[str]) -> list[bool]:
        with self._lock:
            return [self._forget_account(account) for account in accounts]

    def fill(self, snapshots: Iterable[AccountSnapshot], since: int, until: int) -> None:
        with self._lock:
            if not self._is_empty:
                raise StoreNotEmpty(f"memory has been recording since {self._since}; fill a new "
                                    "store")
            self._is_empty = False
            self._accounts = {snapshot.account: account_of(snapshot) for snapshot in snapshots}
            self._newest = max((account.newest for account in self._accounts.values()), default=0)
            self._old_until = self._newest
            self._since, self._filled_until = since, until

    def memory(self) -> None:
        return None

    def close(self) -> None:
        pass

    def _start_recording(self, now: int) -> None:
        if self._is_empty or (self._filled_until is not None
                              and now > self._filled_until + MAX_GAP_MS):
            self._since = now
        self._is_empty, self._filled_until = False, None

    def _forget_account(self, name: str) -> bool:
        generations = (self._accounts, self._old, self._dropped)
        kept = [generation.pop(name, None) for generation in generations]
        return any(account is not None for account in kept[:2])

    def _forget(self, now: int, room: int) -> None:
        """Forget expired ids and idle accounts, and make room for so many payments."""
        while self._by_age and (len(self._ids) + room > self._max_ids
                                or self._by_age[0][0] + self._id_ttl_ms <= now):
            for transaction_id in self._by_age.popleft()[1]:
                del self._ids[transaction_id]
        if (hour_of(self._newest) >= hour_of(self._old_until) + GENERATION_HOURS
                or len(self._accounts) + 2 * room > self._max_accounts // 2):
            self._drop_idle()
        for _ in range(min(len(self._dropped), 4 * room)):      # a few at a time, to avoid a pause
            self._dropped.popitem()

    def _drop_idle(self) -> None:
        if self._old:
            self._since = max(self._since, self._old_until + 1)
        self._dropped, self._old, self._accounts = self._old, self._accounts, {}
        self._old_until = self._newest

    def _claim(self, payment: Transaction, new: list[str]) -> ClaimResult:
        name, digest = payment.transaction_id, _encode(payment)     # faster than a hash
        known = self._ids.get(name)
        if known is None:
            accounts, destination = self._accounts, payment.destination
            self._store_sequence += 1
            result = self._ids[name] = claim(
                accounts.get(payment.origin) or self._account(payment.origin),
                None if destination is None
                else accounts.get(destination) or self._account(destination),
                payment, digest, self._store_sequence, self._since)
            new.append(name)
            if payment.event_time > self._newest:
                self._newest = payment.event_time
            return result
        if known.digest != digest:
            return IdConflict()
        return AlreadyAnswered(known.answer) if isinstance(known, _Answered) else known

    def _label(self, fraud: KnownFraud) -> bool:
        if fraud.transaction_id in self._labelled:
            return False
        if len(self._labelled) >= self._max_ids:
            del self._labelled[next(iter(self._labelled))]
        self._labelled[fraud.transaction_id] = None
        for name, sent, received in ((fraud.origin, 1, 0), (fraud.destination, 0, 1)):
            if name is not None:
                account = self._accounts.get(name) or self._account(name)
                account.label(fraud.label_time, sent, received)
        return True

    def _account(self, name: str) -> Account:
        """Return an account, moved to the young generation."""
        account = self._old.pop(name) if name in self._old else Account()
        self._accounts[name] = account
        return account

    def _finish(self, claim: Claim, answer: bytes) -> bytes:
        known = self._ids.get(claim.transaction_id)
        if known is None or known.digest != claim.digest:
            return answer               # the claim was forgotten in the meantime
        if isinstance(known, _Answered):
            return known.answer
        self._ids[claim.transaction_id] = _Answered(claim.digest, answer)
        return answer


def _accounts(known: Claim | _Answered | None) -> PaymentAccounts | None:
    if known is None:
        return None
    payment = _decode(known.digest)
    return PaymentAccounts(payment.origin, payment.destination)


class _File(msgspec.Struct, array_like=True):
    """The history of a store as a file of MessagePack."""

    version: int            # `fraud.stores.encoding.VERSION`
    since: int
    until: int
    accounts: list[tuple[str, bytes]]       # names and `fraud.stores.encoding`


def write_file(path: Path | str, snapshots: Iterable[AccountSnapshot],
               since: int, until: int) -> None:
    """Write a file for `fill_from_file`; it gets this name only when it is complete."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    accounts = [(snapshot.account, encode(snapshot)) for snapshot in snapshots]
    partial.write_bytes(msgspec.msgpack.encode(_File(VERSION, since, until, accounts)))
    partial.replace(path)


def fill_from_file(store: MemoryStore, path: Path | str) -> None:
    """Fill a store from a file.

    Raises:
        SettingsError: the file cannot be read or holds something else.
    """
    try:
        file = msgspec.msgpack.decode(Path(path).read_bytes(), type=_File)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path}: is not a history file ({error}); write it with "
                            "python -m fraud.training.warm") from error
    if file.version != VERSION:
        raise SettingsError(f"{path}: has version {file.version} of the encoding, this program "
                            f"reads {VERSION}; write it again with python -m fraud.training.warm")
    store.fill((decode(name, content) for name, content in file.accounts), file.since, file.until)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Transaction).decode
