"""Fill a store of history with the last day of a file, so that serving starts with full history.

    python -m fraud.training.warm data/payments.parquet --store redis://localhost:6379/0
    python -m fraud.training.warm data/payments.parquet --store memory:///var/lib/fraud/history

The store must be empty. For memory a file is written, which the server reads where FRAUD_HISTORY
is the same URL. Start serving within an hour of the last payment in the file: after a longer gap
the store does not pass off silence as knowledge, and its recording begins anew.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tqdm import tqdm

from fraud.history import (BUCKET_MS, DAY_BUCKETS, Past, StoreNotEmpty, StoreUnavailable,
                           bucket_of)
from fraud.settings import SettingsError, from_environment
from fraud.stores import open_store
from fraud.stores.account import Account, claim, past_of
from fraud.stores.memory import write_file
from fraud.training import clean
from fraud.training.dataset import prepare
from fraud.training.errors import TrainingError
from fraud.training.files import reason

DEADLINE_MS = 5_000.0       # of one trip: nobody waits for an answer
MEMORY = "memory://"


@dataclass(frozen=True)
class LastDay:
    """What stores keep of a file."""

    payments: int
    accounts: dict[str, Account]
    since: int                  # ms since the epoch: complete from here
    until: int                  # to the last payment

    def pasts(self) -> Iterator[Past]:
        return (past_of(name, account) for name, account in self.accounts.items())


def last_day(clean_file: str, first_time: int, last_time: int) -> LastDay:
    """The day before the last payment of a clean Parquet file, in whole hours.

    Args:
        first_time, last_time: event_time of the first and last payment of the file.
    """
    since = max(first_time, (bucket_of(last_time) - DAY_BUCKETS + 1) * BUCKET_MS)
    accounts: dict[str, Account] = {}
    payments = 0
    for batch in clean.batches(clean_file, 10_000, since):
        for payment in batch:
            origin, destination = (accounts.setdefault(name, Account())
                                   for name in (payment.origin, payment.destination))
            claim(origin, destination, payment, b"", None, since)
        payments += len(batch)
    return LastDay(payments, accounts, since, last_time)


def fill(url: str, day: LastDay) -> None:
    """Hand a day to the store at a URL, or write it to the file that a memory:// URL names."""
    pasts = tqdm(day.pasts(), "filling", len(day.accounts), unit="account", disable=None, delay=5)
    if url.startswith(MEMORY):
        _write(url.removeprefix(MEMORY), pasts, day)
        return
    store = open_store(msgspec.structs.replace(
        from_environment(os.environ), history=url, history_deadline_ms=DEADLINE_MS))
    try:
        store.fill(pasts, day.since, day.until)
    finally:
        store.close()


def _write(path: str, pasts: Iterable[Past], day: LastDay) -> None:
    if not path.startswith("/"):
        raise TrainingError(f"--store is {MEMORY + path!r}: name the file to write, with its whole "
                            "path, as memory:///var/lib/fraud/history")
    try:
        write_file(path, pasts, day.since, day.until)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({reason(error)}); name a file in a "
                            "writable directory") from None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fraud.training.warm", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="payments: Parquet or CSV, local or s3://")
    parser.add_argument("--store", required=True, metavar="URL",
                        help="as FRAUD_HISTORY names it; redis://, dynamodb:// or memory:///FILE")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as directory:
            prepared = prepare(options.path, Path(directory))
            day = last_day(prepared.transactions, prepared.first_time, prepared.last_time)
        fill(options.store, day)
    except (TrainingError, SettingsError, StoreUnavailable) as error:
        sys.exit(f"error: {error}")
    except StoreNotEmpty as error:
        sys.exit(f"error: {error}; warm an empty store, another database or table, and then let "
                 "FRAUD_HISTORY name it")
    print(f"{day.payments:,} payments of {len(day.accounts):,} accounts, from "
          f"{_utc(day.since)} to {_utc(day.until)}, are in the store")


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(" ", "seconds")


if __name__ == "__main__":
    main()
