"""Remove accounts from a history store, to erase a person.

    python -m fraud.training.forget --store redis://localhost:6379/0 C1231006815

The store forgets what the accounts sent and received and their known frauds; their next payments
are those of new accounts. Answers stay for FRAUD_IDEMPOTENCY_HOURS, and sketches of counterparties
name nobody. Logs and label tables are files: remove lines with the pseudonym there.
FRAUD_ACCOUNT_KEY is the key of the service.
"""

from __future__ import annotations

import os
from contextlib import closing

import msgspec

from fraud.command_line import Arguments, command, parser
from fraud.settings import from_environment
from fraud.stores import open_store
from fraud.training.errors import TrainingError
from fraud.training.pseudonym import pseudonym_of

DEADLINE_MS = 5_000.0       # of one trip: no caller waits
MEMORY = "memory://"


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m fraud.training.forget", __doc__)
    options.add_argument("--store", required=True, metavar="URL",
                         help="as in FRAUD_HISTORY: redis:// or dynamodb://")
    options.add_argument("accounts", nargs="+", metavar="account", help="names of accounts")
    chosen = options.parse_args(arguments)
    if chosen.store.startswith(MEMORY):
        raise TrainingError(f"--store is {chosen.store!r}, which belongs to one process; restart "
                            "that process with a file that warm wrote without the accounts")
    pseudonyms = [pseudonym_of(account, os.environ) for account in chosen.accounts]
    settings = msgspec.structs.replace(
        from_environment(os.environ), history=chosen.store, history_deadline_ms=DEADLINE_MS)
    with closing(open_store(settings)) as store:
        forgotten = store.forget(pseudonyms)
    for account, pseudonym, removed in zip(chosen.accounts, pseudonyms, forgotten, strict=True):
        print(f"{account} ({pseudonym}): {'removed' if removed else 'not in the store'}")


if __name__ == "__main__":
    main()
