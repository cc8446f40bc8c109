"""Warm a history store: fill it with the last month of a file, so that serving starts with history.

    python -m fraud.training.warm --transactions payments.parquet --store redis://localhost:6379/0
    python -m fraud.training.warm --transactions payments.parquet \\
        --store memory:///var/lib/fraud/history

The store must be empty. For memory a file is written, which a server with the same URL in
FRAUD_HISTORY reads. Start serving within an hour of the last payment in the file: after a longer
gap the store does not treat silence as knowledge, and its recording starts again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tqdm import tqdm

from fraud import clock
from fraud.clock import DAY_MS
from fraud.command_line import Arguments, command, parser
from fraud.history import AccountSnapshot, StoreNotEmpty
from fraud.pseudonym import pseudonym, with_pseudonyms
from fraud.settings import Settings, check_account_key, from_environment
from fraud.stores import open_store
from fraud.stores.account import Account, claim, snapshot_of
from fraud.stores.memory import write_file
from fraud.training.data import clean
from fraud.training.data.dataset import prepare
from fraud.training.data.options import add_flags, from_flags
from fraud.training.errors import TrainingError
from fraud.training.files import reason
from fraud.windows import MONTH_DAYS, day_of

DEADLINE_MS = 5_000.0       # of one trip: no caller waits
MEMORY = "memory://"


@dataclass(frozen=True)
class LastMonth:
    """The part of a file that stores keep."""

    payments: int
    accounts: dict[str, Account]
    since: int                  # ms since the epoch: complete from here
    until: int                  # to the last payment

    def snapshots(self) -> Iterator[AccountSnapshot]:
        return (snapshot_of(name, account) for name, account in self.accounts.items())


def last_month(clean_file: str, recording_since: int, last_time: int, key: bytes | None
               ) -> LastMonth:
    """Return the month before the last payment of a clean Parquet file, in whole days.

    Args:
        recording_since: ms since the epoch: payments from before it may be missing in the file.
        last_time: event_time of the last payment of the file.
        key: of the pseudonyms; None keeps the accounts' names.
    """
    def named(account: str) -> str:
        return account if key is None else pseudonym(key, account)

    since = (day_of(last_time) - MONTH_DAYS + 1) * DAY_MS
    accounts: dict[str, Account] = {}
    payments = 0
    for batch in clean.batches(clean_file, 10_000, since):
        for payment in batch if key is None else [with_pseudonyms(key, each) for each in batch]:
            origin = accounts.setdefault(payment.origin, Account())
            destination = (None if payment.destination is None
                           else accounts.setdefault(payment.destination, Account()))
            claim(origin, destination, payment, b"", None, since)
        payments += len(batch)
    for fraud in clean.known_frauds(clean_file, since, last_time):
        accounts.setdefault(named(fraud.origin), Account()).label(fraud.label_time, 1, 0)
        if fraud.destination is not None:
            accounts.setdefault(named(fraud.destination), Account()).label(fraud.label_time, 0, 1)
    return LastMonth(payments, accounts, max(recording_since, since), last_time)


def fill(settings: Settings, month: LastMonth) -> None:
    """Fill the store of the settings with a month, or write the file that memory:// names."""
    snapshots = tqdm(month.snapshots(), "filling", len(month.accounts), unit="account",
                     disable=None, delay=5)
    if settings.history.startswith(MEMORY):
        _write(settings.history.removeprefix(MEMORY), snapshots, month)
        return
    store = open_store(settings)
    try:
        store.fill(snapshots, month.since, month.until)
    finally:
        store.close()


def _write(path: str, snapshots: Iterable[AccountSnapshot], month: LastMonth) -> None:
    if not path.startswith("/"):
        raise TrainingError(f"--store is {MEMORY + path!r}: name the file to write by its absolute "
                            "path, such as memory:///var/lib/fraud/history")
    try:
        write_file(path, snapshots, month.since, month.until)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({reason(error)}); name a file in a "
                            "writable directory") from error


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m fraud.training.warm", __doc__)
    options.add_argument("--transactions", required=True, metavar="PATH",
                         help="payments: Parquet or CSV, local or s3://")
    options.add_argument("--store", required=True, metavar="URL",
                         help="as in FRAUD_HISTORY: redis://, dynamodb:// or memory:///FILE")
    add_flags(options)
    chosen = options.parse_args(arguments)
    settings = msgspec.structs.replace(
        from_environment(os.environ), history=chosen.store, history_deadline_ms=DEADLINE_MS)
    check_account_key(settings)
    with tempfile.TemporaryDirectory() as directory:
        prepared = prepare(chosen.transactions, Path(directory), from_flags(chosen))
        month = last_month(prepared.transactions, prepared.recording_since, prepared.last_time,
                           settings.account_key.encode())
    try:
        fill(settings, month)
    except StoreNotEmpty as error:
        raise TrainingError(f"{error}; warm an empty store, another database or table, and then "
                            "set FRAUD_HISTORY to it") from error
    print(f"{month.payments:,} payments of {len(month.accounts):,} accounts, from "
          f"{clock.utc_second(month.since)} to {clock.utc_second(month.until)}, are in the store")


if __name__ == "__main__":
    main()
