"""A month of simulated payments, decided by the real scorer, with the simulation's labels."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pytest

from fraud import bundle
from fraud.decision import Decision
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.training.simulate.simulator import create
from fraud.transaction import Transaction

DAY = 86_400_000
START = 1_704_067_200_000       # of the simulation: a Monday
BATCH = 500


class Month(NamedTuple):
    decisions: list[Decision]       # in event order
    labels: pd.DataFrame            # transaction_id, is_fraud, label_time, incident_id, fraud_type

    def days(self, first: int, last: int) -> list[Decision]:
        """Decisions from the first day to before the last, counted from 0."""
        return [decision for decision in self.decisions
                if first * DAY <= decision.event_time - START < last * DAY]


def decide(table: pd.DataFrame, directory: Path) -> list[Decision]:
    """Decisions of the scorer on simulated payments, in their order."""
    settings = Settings(clock="event", memory_accounts=1_000_000)
    scorer = Scorer(open_store(settings), bundle.load(directory), settings,
                    fallback_on_store_error=True)
    cents = {name: np.rint(table[name].to_numpy() * 100).astype(np.int64).tolist()
             for name in ("amount", "origin_balance", "destination_balance")}
    payments = [Transaction(
        transaction_id=row.transaction_id, event_time=row.event_time,
        type=row.type, amount_cents=amount, origin=row.origin,
        destination=row.destination, origin_balance_cents=held,
        destination_balance_cents=theirs)
        for row, amount, held, theirs in zip(table.itertuples(), *cents.values(), strict=True)]
    return [answered.decision for first in range(0, len(payments), BATCH)
            for answered in scorer.score(payments[first:first + BATCH])]


def write_log(decisions: list[Decision], path: Path) -> Path:
    """Write a decision log."""
    encode = msgspec.json.Encoder().encode
    path.write_bytes(b"".join(encode(decision) + b"\n" for decision in decisions))
    return path


@pytest.fixture(scope="session")
def month(tmp_path_factory, bundle_directory) -> Month:
    path = tmp_path_factory.mktemp("month") / "payments.parquet"
    create(60_000, 7, path)
    table = pd.read_parquet(path)
    labels = table[["transaction_id", "is_fraud", "label_time", "incident_id", "fraud_type"]]
    return Month(decide(table, bundle_directory), labels)
