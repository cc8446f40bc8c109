"""Labels as messages: verdicts that systems of analysts and chargebacks put into a topic.

    python -m monitoring.label_topic labels.csv

puts the labels of a file into the topic that FRAUD_TOPIC_LABELS names (default labels). A message
is JSON under the key transaction_id,

    {"transaction_id": "t-1", "is_fraud": 1, "label_time": 1704103200000, "source": "chargeback"}

with incident_id and fraud_type as in a file. The same label twice is one. KAFKA_BOOTSTRAP_SERVERS
names the brokers; `python -m stream.topics` makes the topic.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
import pandas as pd
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from fraud import brokers
from fraud.brokers import BrokerSettings, connection
from fraud.settings import SettingsError
from fraud.training.errors import TrainingError
from monitoring import label_table

BROKER_MS = 10_000          # to be found, and to answer
SILENCE_SECONDS = 30        # of a broker that still owes messages
FLUSH_SECONDS = 60
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Moment = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Label(msgspec.Struct, frozen=True, omit_defaults=True):
    """One verdict; `label_time`, ms since the epoch, is when it became known."""

    transaction_id: Name
    is_fraud: Literal[0, 1]
    label_time: Moment
    incident_id: str | None = None
    fraud_type: str | None = None
    source: str | None = None       # who says so


class Read(NamedTuple):
    """What a topic held: labels as a table of `label_table`, and what was none, a line each."""

    table: pd.DataFrame
    left_out: list[str]


def read(topic: str, settings: BrokerSettings) -> Read:
    """The labels of a topic, from its beginning to its end as it is now.

    Nothing is committed: who reads again gets the same again.

    Raises:
        TrainingError: the topic is missing, or the brokers do not answer.
    """
    labels, left_out = [], []
    try:
        with KafkaConsumer(**connection(settings), isolation_level="read_committed",
                           enable_auto_commit=False, auto_offset_reset="earliest",
                           allow_auto_create_topics=False,
                           bootstrap_timeout_ms=BROKER_MS) as reader:
            for record in _records(reader, topic, settings):
                try:
                    labels.append(_label(record))
                except msgspec.DecodeError as error:
                    left_out.append(f"{topic}, partition {record.partition}, offset "
                                    f"{record.offset}: {error}")
    except KafkaError as error:
        raise TrainingError(f"{topic}: cannot be read from {settings.brokers} ({error}); is "
                            f"{brokers.BROKERS} right?") from None
    rows = [msgspec.structs.astuple(label) for label in labels]
    table = pd.DataFrame(rows, columns=list(label_table.COLUMNS))
    return Read(table.astype(label_table.NEEDED | label_table.OPTIONAL), left_out)


def _label(record: ConsumerRecord) -> Label:
    if record.value is None:
        raise msgspec.DecodeError("it has no value; a label is taken back by a later one")
    try:
        return msgspec.json.decode(record.value, type=Label)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None


def _records(reader: KafkaConsumer, topic: str, settings: BrokerSettings
             ) -> Iterator[ConsumerRecord]:
    """Messages of all partitions up to their ends at the start."""
    numbers = reader.partitions_for_topic(topic)
    if not numbers:
        raise TrainingError(f"topic {topic!r} is missing on {settings.brokers}; make it with "
                            "python -m stream.topics")
    parts = [TopicPartition(topic, number) for number in sorted(numbers)]
    reader.assign(parts)
    reader.seek_to_beginning(*parts)
    ends, heard = reader.end_offsets(parts), time.monotonic()
    while any(reader.position(part) < ends[part] for part in parts):
        polled = reader.poll(timeout_ms=500)
        if polled:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_SECONDS:
            raise TrainingError(f"topic {topic!r}: {settings.brokers} has been silent for "
                                f"{SILENCE_SECONDS} s; look at the brokers, then read again")
        for part, records in polled.items():
            yield from (record for record in records if record.offset < ends[part])


def send(table: pd.DataFrame, topic: str, settings: BrokerSettings) -> int:
    """Put labels into a topic, each under its transaction_id; how many.

    Args:
        table: as `label_table.read` gives it.

    Raises:
        TrainingError: a label was not taken.
    """
    failures = []
    try:
        with KafkaProducer(**connection(settings), allow_auto_create_topics=False,
                           max_block_ms=BROKER_MS, bootstrap_timeout_ms=BROKER_MS) as producer:
            for row in table.astype(object).where(table.notna(), None).to_dict("records"):
                label = msgspec.convert(row, Label)
                producer.send(topic, msgspec.json.encode(label), label.transaction_id.encode()
                              ).add_errback(failures.append)
            producer.flush(FLUSH_SECONDS)
    except KafkaError as error:
        failures.append(error)
    except msgspec.ValidationError as error:
        raise TrainingError(f"{topic}: {row['transaction_id']} is no label ({error})") from None
    if failures:
        raise TrainingError(f"{topic}: {settings.brokers} did not take all labels ({failures[0]}); "
                            "send the file again: the same label twice is one")
    return len(table)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.label_topic", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="labels as CSV or Parquet")
    options = parser.parse_args(arguments)
    try:
        settings = brokers.read(os.environ)
        count = send(label_table.read(options.file), settings.topic_labels, settings)
    except (TrainingError, SettingsError) as error:
        sys.exit(f"error: {error}")
    print(f"{count:,} labels are in {settings.topic_labels}")


if __name__ == "__main__":
    main()
