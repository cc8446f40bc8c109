"""What was known of payments at a moment: verdicts come days after decisions, and not for all.

    python -m monitoring.labels --decisions decisions.jsonl --labels labels.csv \\
        --as-of 2026-11-25T00:00:00Z --out known

writes known/performance.parquet, payments with a verdict, and known/training.parquet, all payments
for `flows/train_flow.py run --transactions`, those without a verdict with neither is_fraud nor
label_time: a payment without a label is not legitimate, it is unknown. A payment that was declined
has a verdict only where someone looked; those without are counted, as what is learned from them.

Accounts are HMACs in a decision log: they are the same accounts from day to day only where
FRAUD_ACCOUNT_KEY is set.

Labels are a CSV or Parquet file with transaction_id, is_fraud (0 or 1), label_time (ms since the
epoch) and perhaps source, incident_id and fraud_type, or a topic: `--labels kafka:labels` reads
`monitoring.label_topic`. A later verdict replaces an earlier one.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fraud import brokers
from fraud.scorer import Decision
from fraud.settings import SettingsError
from fraud.training import decision_log
from fraud.training.errors import TrainingError
from fraud.training.files import write_parquet
from monitoring import label_table, label_topic

TOPIC = "kafka:"
OF_A_VERDICT = label_table.COLUMNS[1:]
OF_A_PAYMENT = ("transaction_id", "event_time", "type", "amount", "origin", "destination",
                "origin_balance", "destination_balance")


@dataclass(frozen=True)
class Verdicts:
    """The verdicts that stood at a moment, one a payment, and what was passed over.

    `table` has the columns of the file, without index.
    """

    table: pd.DataFrame
    passed_over: dict[str, int]     # by why


@dataclass(frozen=True)
class Known:
    """Decided payments and what was known of each: `payments` with the verdicts' columns, null
    where there was none.
    """

    payments: pd.DataFrame
    told: dict[str, int]            # counts, by what

    @property
    def labelled(self) -> pd.DataFrame:
        """Payments with a verdict."""
        return self.payments[self.payments["is_fraud"].notna()].astype({"is_fraud": "int8"})

    @property
    def share_unjudged(self) -> float:
        """Of the declined payments, those that nobody has judged."""
        declined = self.payments[self.payments["decision"] == "decline"]
        return float(declined["is_fraud"].isna().mean()) if len(declined) else 0.0


def read(*sources: str) -> pd.DataFrame:
    """The labels of files, and of the topics that `kafka:TOPIC` names.

    Messages that are no labels are left out and said on stderr, each with where it lies.

    Raises:
        TrainingError: one cannot be read, or a file holds something else than labels.
    """
    return pd.concat(map(_read, sources), ignore_index=True)


def _read(source: str) -> pd.DataFrame:
    if not source.startswith(TOPIC):
        return label_table.read(Path(source))
    try:
        found = label_topic.read(source.removeprefix(TOPIC), brokers.read(os.environ))
    except SettingsError as error:
        raise TrainingError(str(error)) from None
    for one in found.left_out:
        print(f"left out: {one}", file=sys.stderr)
    return found.table


def standing(labels: pd.DataFrame, as_of: int) -> Verdicts:
    """The verdict of each payment that stood at a moment: the last one known by then.

    Args:
        as_of: ms since the epoch.

    Raises:
        TrainingError: the last two verdicts of a payment are of the same moment and differ.
    """
    known = labels[labels["label_time"] <= as_of]
    once = known.drop_duplicates(["transaction_id", "label_time", "is_fraud"])
    newest = once.groupby("transaction_id")["label_time"].transform("max")
    conflicts = once[(once["label_time"] == newest)
                     & once.duplicated(["transaction_id", "label_time"])]
    if len(conflicts):
        raise TrainingError(f"{conflicts['transaction_id'].iloc[0]}: is called fraud and not fraud "
                            f"at the same label_time ({len(conflicts):,} such payments); remove "
                            "the wrong label, or add a later one")
    last = once.sort_values("label_time", kind="stable").drop_duplicates(
        "transaction_id", keep="last")
    return Verdicts(last.reset_index(drop=True), {
        "labels known only later": len(labels) - len(known),
        "labels that a later one replaced": len(once) - len(last)})


def known_by(as_of: int, payments: pd.DataFrame, labels: pd.DataFrame) -> Known:
    """What was known at a moment of the payments that were decided by then.

    Args:
        as_of: ms since the epoch.
        payments: with transaction_id, event_time and decision.
        labels: from `read`.

    Raises:
        TrainingError: see `standing`.
    """
    then = payments[payments["event_time"] <= as_of]
    verdicts = standing(labels, as_of)
    joined = then.merge(verdicts.table, on="transaction_id", how="left", validate="one_to_one")
    early = (joined["label_time"] < joined["event_time"]).fillna(False).to_numpy(bool)
    joined.loc[early, list(OF_A_VERDICT)] = pd.NA
    unknown = ~verdicts.table["transaction_id"].isin(then["transaction_id"])
    return Known(joined, {
        "payments": len(joined),
        "with a verdict": int(joined["is_fraud"].notna().sum()),
        **verdicts.passed_over,
        "labels of payments that are not in the log": int(unknown.sum()),
        "labels from before their payment": int(early.sum()),
        "payments decided only later": len(payments) - len(then)})


def decided(paths: list[str]) -> pd.DataFrame:
    """Payments of a decision log, once each, as training takes them: accounts are HMACs.

    Raises:
        TrainingError: a file cannot be read or holds something else.
    """
    last = {one.transaction_id: one for one in decision_log.decisions(paths)}
    if not last:
        raise TrainingError(f"{', '.join(paths)}: holds no decisions; name a log that does")
    columns = [*OF_A_PAYMENT, "score", "decision", "model_version"]
    return pd.DataFrame([_row(one) for one in last.values()], columns=columns)


def _row(one: Decision) -> tuple:
    return (one.transaction_id, one.event_time, one.type, one.amount_cents / 100, one.origin,
            one.destination, one.origin_balance_cents / 100, one.destination_balance_cents / 100,
            one.score, one.decision, one.model_version)


def moment(text: str) -> int:
    """ms since the epoch of an ISO 8601 date and time; without an offset it is UTC.

    Raises:
        ValueError: it is none.
    """
    given = datetime.fromisoformat(text)
    return round((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp() * 1_000)


def write(known: Known, directory: Path) -> None:
    """Write what was known as performance.parquet and training.parquet.

    Raises:
        TrainingError: the directory is not writable.
    """
    directory.mkdir(parents=True, exist_ok=True)
    judged = known.labelled[["transaction_id", "event_time", "amount", "score", "decision",
                             "model_version", *OF_A_VERDICT]]
    training = known.payments[[*OF_A_PAYMENT, *OF_A_VERDICT]]
    for name, table in (("performance", judged), ("training", training)):
        write_parquet(pa.Table.from_pandas(table, preserve_index=False),
                      directory / f"{name}.parquet")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.labels", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", nargs="+", required=True, help="decision logs")
    parser.add_argument("--labels", nargs="+", required=True,
                        help="CSV or Parquet files, or kafka:TOPIC")
    parser.add_argument("--as-of", type=moment, required=True, help="ISO 8601; UTC if not said")
    parser.add_argument("--out", type=Path, required=True, help="a directory")
    options = parser.parse_args(arguments)
    try:
        known = known_by(options.as_of, decided(options.decisions), read(*options.labels))
        write(known, options.out)
    except TrainingError as error:
        sys.exit(f"error: {error}")
    for what, count in known.told.items():
        print(f"{count:>12,}  {what}")
    print(f"{known.share_unjudged:>12.1%}  of the declined payments have no verdict: what is "
          "measured on the others need not hold for them")


if __name__ == "__main__":
    main()
