"""Compare the counts and features of decisions with those that Spark computes for training.

    python -m fraud.training.parity --decisions decisions.jsonl --transactions data/month.parquet
    python -m fraud.training.parity --store redis://localhost:6379/1 --model models/7 \\
        --transactions data/month.parquet

The first compares logged decisions with a file of the same payments. The second first scores the
payments of the file, in event order, with an empty store.

Spark counts in event order, a store in arrival order. If they differ, the logged counts must match
the order of the store sequence: then the difference is order skew and is reported by cause;
otherwise it is described.

Exit codes: 0 all is equal or explained, 1 something is not, 2 a user error.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from tqdm import tqdm

from fraud.bundle import Bundle
from fraud.champion import Champion
from fraud.command_line import Arguments, command, parser
from fraud.decision import Answered, Decision
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

BATCH = 100
REPLAY_DEADLINE_MS = 5_000.0     # no caller waits for a replay


def replayed(clean_file: str, scorer: Scorer, batch: int) -> Iterator[Decision]:
    """Give the scorer's decisions on the payments of a clean file, in event order."""
    for payments in clean.batches(clean_file, batch):
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
            scorer = _scorer(options.store, bundle, configured, prepared)
            decided = tqdm(replayed(prepared.transactions, scorer, options.batch), "scoring",
                           prepared.rows, disable=None, delay=5)
        logged = read_decisions(decided, bundle.features)
        listed = read_transactions(prepared.transactions, bundle.features.types,
                                   spark_job.session(), logged)
        return compare(logged, listed, bundle.features)


def _scorer(store_url: str, bundle: Bundle, configured: Settings, prepared: Prepared) -> Scorer:
    """Return a scorer for a replay; its store knows that nothing came before the file."""
    settings = msgspec.structs.replace(
        configured, history=store_url, clock="event",
        history_deadline_ms=configured.history_deadline_ms or REPLAY_DEADLINE_MS)
    store = open_store(settings)
    store.fill([], 0, prepared.first_time)
    return Scorer(store, bundle, settings, fallback_on_store_error=False)


if __name__ == "__main__":
    main()
