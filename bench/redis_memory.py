"""Measure the memory of Redis that a payment and an account need, for `maxmemory`.

    python -m bench.redis_memory

Needs redis-server. Payments are simulated; each figure is of a new server.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import cast

import msgspec
import redis

from bench.history import ANSWER, BATCH, batches, busy, redis_server, row, simulated
from fraud.history import Claim
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.stores.script_functions import PREFIX
from fraud.transaction import Transaction

SIZES = (70_000, 100_000, 140_000, 200_000)     # Redis' tables of keys are full to a varying extent


def kept_bytes(url: str, payments: Iterable[list[Transaction]]) -> tuple[float, float]:
    """Bytes in a new Redis of a payment, with its answer and an id of 36 characters; of an account.
    """
    client = redis.Redis.from_url(url)
    store = open_store(Settings(history=url, history_deadline_ms=5_000.0))
    empty, count = client.info("memory")["used_memory"], 0
    for batch in payments:
        named = [msgspec.structs.replace(payment, transaction_id=f"{count + index:036}")
                 for index, payment in enumerate(batch)]
        claims = store.claim(named, named[0].event_time)
        store.finish(cast("list[Claim]", claims), [ANSWER] * len(claims))
        count += len(batch)
    store.close()
    full = client.info("memory")["used_memory"]
    accounts = list(client.scan_iter(f"{PREFIX}account:*", count=1_000))
    client.delete(*accounts)
    without_accounts = client.info("memory")["used_memory"]
    return (without_accounts - empty) / count, (full - without_accounts) / len(accounts)


def main() -> None:
    argparse.ArgumentParser(prog="python -m bench.redis_memory", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    payments = simulated(max(SIZES))
    print("| payments | bytes of a payment | bytes of an account |\n| ---: | ---: | ---: |")
    for size in SIZES:
        with redis_server() as url:
            payment, account = kept_bytes(url, batches(payments[:size], BATCH))
        row(f"{size:,}", f"{payment:,.0f}", f"{account:,.0f}")
    with redis_server() as url:
        payment, account = kept_bytes(url, busy())
    row("accounts with payments in all of their buckets", f"{payment:,.0f}",
        f"{account:,.0f}")


if __name__ == "__main__":
    main()
