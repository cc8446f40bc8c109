"""Labels by Kafka, from the systems of analysts and chargebacks.

    python -m monitoring.label_topic --labels labels.csv

sends the labels of a file to the topic that FRAUD_TOPIC_LABELS names (default labels). A message is
JSON under the key transaction_id,

    {"transaction_id": "t-1", "is_fraud": 1, "label_time": 1704103200000, "source": "chargeback"}

with incident_id, fraud_type and accounts as in a file (`fraud.labels` has all fields). Repeated
labels count once. KAFKA_BOOTSTRAP_SERVERS names the brokers; `python -m stream.topics` creates the
topic.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import pandas as pd
from kafka import KafkaProducer
from kafka.errors import KafkaError

from fraud.brokers import BrokerSettings, connection, read_broker_settings
from fraud.command_line import Arguments, command, parser
from fraud.labels import InvalidLabel, Label, parse, parse_value
from fraud.topics import read_to_end
from fraud.training import label_table
from fraud.training.errors import TrainingError
from fraud.training.label_table import read_named_labels

BROKER_MS = 10_000          # to be found, and to answer
FLUSH_SECONDS = 60


class TopicLabels(NamedTuple):
    """The labels of a topic, as a table of `label_table`, and a line for each invalid message."""

    table: pd.DataFrame
    left_out: list[str]


def read_topic(topic: str, settings: BrokerSettings) -> TopicLabels:
    """Return the labels of a topic, up to its present end. Re-reading is safe.

    Raises:
        TopicError: the topic is missing, or the brokers do not answer.
    """
    labels, left_out = [], []
    for record in read_to_end(topic, settings):
        try:
            labels.append(parse_value(record.value))
        except InvalidLabel as error:
            left_out.append(f"{topic}, partition {record.partition}, offset {record.offset}: "
                            f"{error}")
    return TopicLabels(label_table.table_of(labels)[list(label_table.COLUMNS)], left_out)


def send(table: pd.DataFrame, topic: str, settings: BrokerSettings) -> int:
    """Send labels to a topic, each under its transaction_id, and return their number.

    Args:
        table: from `label_table.read_named_labels`.

    Raises:
        TrainingError: a label was refused.
    """
    failures: list[Exception] = []
    labels = [_from_row(topic, row) for row in
              table.astype(object).where(table.notna(), None).to_dict("records")]
    try:
        with KafkaProducer(**connection(settings), allow_auto_create_topics=False,
                           max_block_ms=BROKER_MS, bootstrap_timeout_ms=BROKER_MS) as producer:
            for label in labels:
                producer.send(topic, msgspec.json.encode(label), label.transaction_id.encode()
                              ).add_errback(failures.append)
            producer.flush(FLUSH_SECONDS)
    except KafkaError as error:
        failures.append(error)
    if failures:
        raise TrainingError(f"{topic}: {settings.brokers} refused labels ({failures[0]}); send the "
                            "file again: repeated labels count once") from failures[0]
    return len(labels)


def _from_row(topic: str, row: dict) -> Label:
    try:
        return parse(msgspec.json.encode(row))
    except InvalidLabel as error:
        raise TrainingError(f"{topic}: {row['transaction_id']}: {error}; fix it in the file"
                            ) from error


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m monitoring.label_topic", __doc__)
    options.add_argument("--labels", type=Path, required=True,
                         help="labels as CSV, Parquet or a label log (.jsonl)")
    file = options.parse_args(arguments).labels
    settings = read_broker_settings(os.environ)
    count = send(read_named_labels(file), settings.topic_labels, settings)
    print(f"{count:,} labels are in {settings.topic_labels}")


if __name__ == "__main__":
    main()
