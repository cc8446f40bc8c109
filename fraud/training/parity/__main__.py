"""Compare the counts and features of decisions with those that Spark computes for training.

    python -m fraud.training.parity --decisions decisions.jsonl --transactions data/month.parquet
    python -m fraud.training.parity --store redis://localhost:6379/1 --model models/7 \\
        --transactions data/month.parquet

The first compares logged decisions with a file of the same payments. The second first scores the
payments of the file, in event order, with an empty store, and counts the file's known frauds at
their label_time.

Spark counts in event order, a store in arrival order. If they differ, the logged counts must match
the order of the store sequence: then the difference is order skew and is reported by cause;
otherwise it is described.

Exit codes: 0 all is equal or explained, 1 something is not, 2 a user error.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import msgspec
from tqdm import tqdm

from fraud.bundle import Bundle
from fraud.champion import Champion
from fraud.command_line import Arguments, command, parser
from fraud.decision import Answered, Decision
from fraud.history import Store
from fraud.scorer import Scorer
from fraud.settings import Settings, from_environment
from fraud.stores import open_store
from fraud.training import decision_log
from fraud.training.data import clean
from fraud.training.data.dataset import Prepared, prepare
from fraud.training.data.options import add_flags, from_flags
from fraud.training.errors import TrainingError
from fraud.training.features import spark_job
from fraud.training.parity.comparison import Parity, compare, read_transactions
from fraud.training.parity.logged_decisions import read_decisions
from fraud.transaction import EVENT_TIME_LIMIT, Transaction

BATCH = 100
REPLAY_DEADLINE_MS = 5_000.0     # no caller waits for a replay


def in_event_order(clean_file: str, store: Store, batch: int) -> Iterator[list[Transaction]]:
    """Give the payments of a clean file in event order, in batches of at most a size.

    Before a batch is given, the frauds that were known by then are counted in the store.
    """
    frauds = clean.known_frauds(clean_file, 0, EVENT_TIME_LIMIT)
    label_times = [fraud.label_time for fraud in frauds]

    def known(payment: Transaction) -> int:
        return bisect_right(label_times, payment.event_time)

    counted = 0
    for payments in clean.batches(clean_file, batch):
        for number, part in groupby(payments, known):
            if number > counted:
                store.label(frauds[counted:number])
                counted = number
            yield list(part)


def replayed(clean_file: str, scorer: Scorer, store: Store, batch: int) -> Iterator[Decision]:
    """Give the scorer's decisions on a clean file, in event order, with labels at their time.

    Args:
        store: that of the scorer.
    """
    for payments in in_event_order(clean_file, store, batch):
        for payment, outcome in zip(payments, scorer.score(payments), strict=True):
            if not isinstance(outcome, Answered) or outcome.decision is None:
                raise TrainingError(f"{payment.transaction_id} is already known to the store; "
                                    "name an empty one")
            yield outcome.decision


@command
def main(arguments: Arguments) -> int:
    options = parser("python -m fraud.training.parity", __doc__)
    options.add_argument("--transactions", required=True, metavar="PATH",
                         help="the payments: Parquet or CSV, local or s3://")
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--decisions", nargs="+", metavar="LOG", help="decision logs")
    source.add_argument("--store", metavar="URL",
                        help="an empty store, as in FRAUD_HISTORY, to replay the file with")
    options.add_argument("--model", metavar="PATH", help="the model that decided or decides, as in "
                         "FRAUD_MODEL (default: FRAUD_MODEL)")
    options.add_argument("--batch", type=int, default=BATCH,
                         help="payments that are scored together (default %(default)s)")
    add_flags(options)
    parity = _run(options.parse_args(arguments))
    print(parity)
    return 1 if parity.different else 0


def _run(options: argparse.Namespace) -> Parity:
    with tempfile.TemporaryDirectory() as directory:
        configured = from_environment(os.environ)
        bundle = Champion(options.model or configured.model).bundle
        prepared = prepare(options.transactions, Path(directory),
                           from_flags(options)._replace(types=bundle.features.types))
        if options.decisions:
            decided: Iterable[Decision] = decision_log.read_decisions(options.decisions)
        else:
            scorer, store = _replay(options.store, bundle, configured, prepared)
            decided = tqdm(replayed(prepared.transactions, scorer, store, options.batch),
                           "scoring", prepared.rows, disable=None, delay=5)
        logged = read_decisions(decided, bundle.features)
        listed = read_transactions(prepared.transactions, bundle.features.types,
                                   spark_job.session(), logged)
        return compare(logged, listed, bundle.features)


def _replay(store_url: str, bundle: Bundle, configured: Settings, prepared: Prepared
            ) -> tuple[Scorer, Store]:
    """Return scorer and store for a replay; the store knows that nothing came before the file."""
    settings = msgspec.structs.replace(
        configured, history=store_url, clock="event",
        history_deadline_ms=configured.history_deadline_ms or REPLAY_DEADLINE_MS)
    store = open_store(settings)
    store.fill([], 0, prepared.first_time)
    return Scorer(store, bundle, settings, fallback_on_store_error=False), store


if __name__ == "__main__":
    main()
