"""Point-in-time training data: payments with the labels that were known at a moment.

    python -m monitoring.labels --decisions decisions.jsonl --labels labels.csv \\
        --as-of 2026-11-25T00:00:00Z --out known

writes known/performance.parquet, the labelled payments, and known/training.parquet, all payments
for `flows/train_flow.py run --transactions`. Unlabelled payments have neither is_fraud nor
label_time there: they are unknown, not legitimate. A declined payment is labelled only if someone
checked it; those without a label are counted, since the model learns nothing from them.

Accounts are pseudonyms in a decision log; they stay the same from day to day only if
FRAUD_ACCOUNT_KEY is set.

Labels are a CSV or Parquet file with transaction_id, is_fraud (0 or 1), label_time (ms since the
epoch) and optionally source, incident_id and fraud_type, the log of labels that a server received
(`labels.jsonl`), or a topic: `--labels kafka:labels` reads `monitoring.label_topic`. A later label
replaces an earlier one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fraud.brokers import read_broker_settings
from fraud.command_line import Arguments, command, parser
from fraud.decision import Decision
from fraud.training import decision_log, label_table
from fraud.training.errors import TrainingError
from fraud.training.files import write_parquet
from fraud.training.label_table import read_label_table
from monitoring.label_topic import read_topic

TOPIC = "kafka:"
LABEL_COLUMNS = label_table.COLUMNS[1:]
PAYMENT_COLUMNS = ("transaction_id", "event_time", "type", "amount", "origin", "destination",
                   "origin_balance", "destination_balance")


@dataclass(frozen=True)
class LatestLabels:
    """The latest label of each payment at a moment, and counts of labels left out, by reason.

    `table` has the columns of the file, without index.
    """

    table: pd.DataFrame
    left_out: dict[str, int]


@dataclass(frozen=True)
class LabelledPayments:
    """Decided payments with the columns of their labels, null without a label."""

    payments: pd.DataFrame
    counts: dict[str, int]          # by meaning, for people

    @property
    def labelled(self) -> pd.DataFrame:
        """Payments with a label."""
        return self.payments[self.payments["is_fraud"].notna()].astype({"is_fraud": "int8"})

    @property
    def unlabelled_share(self) -> float:
        """The share of the declined payments without a label."""
        declined = self.payments[self.payments["decision"] == "decline"]
        return float(declined["is_fraud"].isna().mean()) if len(declined) else 0.0


def read_labels(*sources: str) -> pd.DataFrame:
    """Return the labels of files, and of the topics that `kafka:TOPIC` names.

    Invalid messages are left out and reported on stderr.

    Raises:
        TrainingError: a file cannot be read, or holds something other than labels.
        SettingsError, TopicError: a topic cannot be read.
    """
    return pd.concat(map(_read_source, sources), ignore_index=True)


def _read_source(source: str) -> pd.DataFrame:
    if not source.startswith(TOPIC):
        return read_label_table(Path(source))
    labels = read_topic(source.removeprefix(TOPIC), read_broker_settings(os.environ))
    for message in labels.left_out:
        print(f"left out: {message}", file=sys.stderr)
    return labels.table


def latest_labels(labels: pd.DataFrame, as_of: int) -> LatestLabels:
    """Return the last label of each payment that was known at a moment.

    Args:
        as_of: ms since the epoch.

    Raises:
        TrainingError: the last two labels of a payment are of the same moment and differ.
    """
    known = labels[labels["label_time"] <= as_of]
    distinct = known.drop_duplicates(["transaction_id", "label_time", "is_fraud"])
    newest = distinct.groupby("transaction_id")["label_time"].transform("max")
    conflicts = distinct[(distinct["label_time"] == newest)
                         & distinct.duplicated(["transaction_id", "label_time"])]
    if len(conflicts):
        raise TrainingError(f"{conflicts['transaction_id'].iloc[0]}: has labels 0 and 1 at the "
                            f"same label_time ({len(conflicts):,} such payments); remove the wrong "
                            "label, or add a later one")
    last = distinct.sort_values("label_time", kind="stable").drop_duplicates(
        "transaction_id", keep="last")
    return LatestLabels(last.reset_index(drop=True), {
        "labels known only later": len(labels) - len(known),
        "labels replaced by a later one": len(distinct) - len(last)})


def known_by(as_of: int, payments: pd.DataFrame, labels: pd.DataFrame) -> LabelledPayments:
    """Join the payments decided by a moment with the labels known by then.

    Args:
        as_of: ms since the epoch.
        payments: with transaction_id, event_time and decision.
        labels: from `read_labels`.

    Raises:
        TrainingError: see `latest_labels`.
    """
    decided = payments[payments["event_time"] <= as_of]
    latest = latest_labels(labels, as_of)
    joined = decided.merge(latest.table, on="transaction_id", how="left", validate="one_to_one")
    early = (joined["label_time"] < joined["event_time"]).fillna(False).to_numpy(bool)
    joined.loc[early, list(LABEL_COLUMNS)] = pd.NA
    unmatched = ~latest.table["transaction_id"].isin(decided["transaction_id"])
    return LabelledPayments(joined, {
        "payments": len(joined),
        "labelled payments": int(joined["is_fraud"].notna().sum()),
        **latest.left_out,
        "labels of payments that are not in the log": int(unmatched.sum()),
        "labels from before their payment": int(early.sum()),
        "payments decided only later": len(payments) - len(decided)})


def decided_payments(paths: list[str]) -> pd.DataFrame:
    """Return the payments of a decision log, once each, as training takes them.

    Raises:
        TrainingError: a file cannot be read or holds something else.
    """
    decisions: Iterator[Decision] = decision_log.read_decisions(paths)
    last = {decision.transaction_id: decision for decision in decisions}
    if not last:
        raise TrainingError(f"{', '.join(paths)}: holds no decisions; name a log that does")
    columns = [*PAYMENT_COLUMNS, "score", "decision", "model_version"]
    return pd.DataFrame([_row(decision) for decision in last.values()], columns=columns)


def _row(decision: Decision) -> tuple:
    return (decision.transaction_id, decision.event_time, decision.type,
            decision.amount_cents / 100, decision.origin, decision.destination,
            _units(decision.origin_balance_cents), _units(decision.destination_balance_cents),
            decision.score, decision.decision, decision.model_version)


def _units(cents: int | None) -> float | None:
    return None if cents is None else cents / 100


def moment(text: str) -> int:
    """Return ms since the epoch of an ISO 8601 date and time; without an offset it is UTC.

    Raises:
        ValueError: it is not one.
    """
    given = datetime.fromisoformat(text)
    return round((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1_000)


def write(known: LabelledPayments, directory: Path) -> None:
    """Write performance.parquet and training.parquet.

    Raises:
        TrainingError: the directory is not writable.
    """
    directory.mkdir(parents=True, exist_ok=True)
    labelled = known.labelled[["transaction_id", "event_time", "amount", "score", "decision",
                               "model_version", *LABEL_COLUMNS]]
    training = known.payments[[*PAYMENT_COLUMNS, *LABEL_COLUMNS]]
    for name, table in (("performance", labelled), ("training", training)):
        write_parquet(pa.Table.from_pandas(table, preserve_index=False),
                      directory / f"{name}.parquet")


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m monitoring.labels", __doc__)
    options.add_argument("--decisions", nargs="+", required=True, help="decision logs")
    options.add_argument("--labels", nargs="+", required=True,
                         help="CSV or Parquet files, label logs (.jsonl) or kafka:TOPIC")
    options.add_argument("--as-of", type=moment, required=True,
                         help="ISO 8601; UTC unless it has an offset")
    options.add_argument("--out", type=Path, required=True, help="a directory, made if absent")
    chosen = options.parse_args(arguments)
    known = known_by(chosen.as_of, decided_payments(chosen.decisions), read_labels(*chosen.labels))
    write(known, chosen.out)
    for meaning, count in known.counts.items():
        print(f"{count:>12,}  {meaning}")
    print(f"{known.unlabelled_share:>12.1%}  of the declined payments have no label: measurements "
          "of the others may not hold for them")


if __name__ == "__main__":
    main()
