"""Are the counts and features of decisions those that Spark computes for training?

    python -m fraud.training.parity --decisions decisions.jsonl --transactions data/month.parquet
    python -m fraud.training.parity --store redis://localhost:6379/1 --model models/7 \\
        --transactions data/month.parquet

The first compares logged decisions with a file of the same payments. The second has the scorer
decide on the payments of the file first, in event order, with an empty store.

Spark counts in event order, a store in the order of arrival. Where the two differ, what counts is
whether the logged counts are those in the order of the store's sequence numbers: if they are, the
difference is order skew and is reported by cause; if not, it is spelled out.

Exit codes: 0 all is equal or explained, 1 something is not, 2 the command cannot be carried out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
from tqdm import tqdm

from fraud.bundle import BundleError
from fraud.champion import Champion
from fraud.history import StoreNotEmpty, StoreUnavailable
from fraud.scorer import Answered, Decision, Scorer
from fraud.settings import SettingsError, from_environment
from fraud.stores import open_store
from fraud.training import clean, decision_log, feature_job
from fraud.training.comparison import Parity, compare, read_decisions, read_transactions
from fraud.training.dataset import Prepared, prepare
from fraud.training.errors import TrainingError

BATCH = 100
REPLAY_DEADLINE_MS = 5_000.0     # nobody waits for the answers of a replay


def replayed(clean_file: str, scorer: Scorer, batch: int) -> Iterator[Decision]:
    """The scorer's decisions on the payments of a clean file, in event order."""
    for payments in clean.batches(clean_file, batch):
        for payment, outcome in zip(payments, scorer.score(payments)):
            if not isinstance(outcome, Answered) or outcome.decision is None:
                raise TrainingError(f"{payment.transaction_id} is known to the store already; "
                                    "name an empty one")
            yield outcome.decision


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m fraud.training.parity", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", required=True, metavar="PATH",
                        help="the payments: Parquet or CSV, local or s3://")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--decisions", nargs="+", metavar="LOG", help="decision logs")
    source.add_argument("--store", metavar="URL",
                        help="an empty store, as FRAUD_HISTORY names it, to replay the file with")
    parser.add_argument("--model", metavar="PATH", help="the bundle to replay with, where "
                        "FRAUD_MODEL may name it (default: where it does)")
    parser.add_argument("--batch", type=int, default=BATCH,
                        help="payments that are scored together (default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        parity = _run(options)
    except (TrainingError, SettingsError, StoreUnavailable, StoreNotEmpty,
            BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(parity)
    sys.exit(1 if parity.different else 0)


def _run(options: argparse.Namespace) -> Parity:
    with tempfile.TemporaryDirectory() as directory:
        prepared = prepare(options.transactions, Path(directory))
        if options.decisions:
            logged = read_decisions(decision_log.decisions(options.decisions))
        else:
            decided = replayed(prepared.transactions, _scorer(options, prepared), options.batch)
            logged = read_decisions(tqdm(decided, "scoring", prepared.rows, disable=None, delay=5))
        return compare(logged, read_transactions(prepared.transactions, feature_job.session()))


def _scorer(options: argparse.Namespace, prepared: Prepared) -> Scorer:
    """A scorer for a replay: its store knows that there was nothing before the file."""
    configured = from_environment(os.environ)
    settings = msgspec.structs.replace(
        configured, history=options.store, clock="event",
        history_deadline_ms=configured.history_deadline_ms or REPLAY_DEADLINE_MS)
    champion = Champion(options.model or configured.model)
    store = open_store(settings)
    store.fill([], 0, prepared.first_time)
    return Scorer(store, champion.bundle, settings, degrade=False)


if __name__ == "__main__":
    main()
