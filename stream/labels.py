"""Record the labels of a topic: count known frauds in history, and keep all labels in a log.

    python -m stream.labels

A message is a label as JSON (`fraud.labels`). FRAUD_HISTORY and FRAUD_ACCOUNT_KEY are those of the
scorers; FRAUD_TOPIC_LABELS names the topic, FRAUD_LABEL_LOG the log. Labels are recorded at least
once and each fraud is counted once: offsets are committed after their labels are recorded. An
invalid message is logged and counted, and does not stop the others.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import closing, suppress
from threading import Event

from kafka import KafkaConsumer, OffsetAndMetadata
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from fraud import metrics, topics
from fraud.command_line import Arguments, command, parser
from fraud.history import StoreUnavailable
from fraud.label_recorder import LabelRecorder
from fraud.labels import InvalidLabel, Label
from fraud.logs import LabelLogError
from fraud.settings import SettingsError, check_account_key
from fraud.stores import open_store
from stream import clients, positions
from stream.backoff import backoff
from stream.program import running
from stream.settings import StreamSettings, read_stream_settings
from stream.worker import POLL_MS

logger = logging.getLogger(__name__)


class LabelConsumer:
    """A member of the consumer group of labels, for one thread.

    Raises:
        SettingsError: the topic is missing.
    """

    def __init__(self, settings: StreamSettings, recorder: LabelRecorder):
        self._settings, self._recorder = settings, recorder
        self._consumer: KafkaConsumer | None = None
        self._is_checked = False            # that the topic exists
        self._must_rewind = False           # more was polled than is committed

    def run(self, stop: Event) -> None:
        """Record labels until `stop` is set; the current batch is finished then."""
        failures = 0
        while not stop.is_set():
            try:
                self._turn()
                failures = 0
            except (KafkaError, StoreUnavailable, LabelLogError) as error:
                failures += 1
                self._must_rewind = True
                logger.warning("resuming after the last commit: %s", error)
                if isinstance(error, KafkaError):
                    self._close()
                stop.wait(backoff(failures, self._settings.backoff_seconds))
        self._close()

    def _turn(self) -> None:
        consumer = self._connect()
        polled = consumer.poll(POLL_MS, self._settings.stream_batch)
        if not polled:
            topics.check_broker(consumer, self._settings.topic_labels)
            return
        records = [record for part in polled.values() for record in part]
        labels = self._parsed(records)
        self._recorder.record(labels)
        metrics.count_labels({"invalid": len(records) - len(labels)})
        consumer.commit({partition: OffsetAndMetadata(part[-1].offset + 1)
                         for partition, part in polled.items()}, timeout_ms=clients.REQUEST_MS)

    def _connect(self) -> KafkaConsumer:
        """Return the consumer, reading after the last commit."""
        settings = self._settings
        if self._consumer is None:
            consumer = clients.group_member(settings, settings.label_group, settings.topic_labels)
            if not self._is_checked and not consumer.partitions_for_topic(settings.topic_labels):
                raise clients.missing_topic(settings.topic_labels, settings)
            self._consumer, self._is_checked, self._must_rewind = consumer, True, False
        if self._must_rewind:
            positions.rewind(self._consumer)
            self._must_rewind = False
        return self._consumer

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer:
            with suppress(KafkaError):
                consumer.close(timeout_ms=clients.REQUEST_MS)

    def _parsed(self, records: Sequence[ConsumerRecord]) -> list[Label]:
        labels = []
        for record in records:
            try:
                labels.append(self._recorder.parse(record.value))
            except InvalidLabel as error:
                logger.warning("left out: %s, partition %d, offset %d: %s", record.topic,
                               record.partition, record.offset, error)
        return labels


def check(settings: StreamSettings) -> None:
    """Check that labels reach the accounts of the scorers.

    Raises:
        SettingsError: a setting cannot be used.
    """
    if settings.history.startswith("memory://"):
        raise SettingsError(f"FRAUD_HISTORY is {settings.history!r}, which scorers do not share; "
                            "name their store, or send labels to POST /v1/labels of their API")
    check_account_key(settings)


@command
def main(arguments: Arguments) -> None:
    parser("python -m stream.labels", __doc__).parse_args(arguments)
    settings = read_stream_settings(os.environ)
    check(settings)
    with closing(metrics.TimedStore(open_store(settings))) as store, running(
            settings, f"recording {settings.topic_labels} of {settings.brokers}") as stop:
        recorder = LabelRecorder(store, settings.account_key.encode(), settings)
        LabelConsumer(settings, recorder).run(stop)


if __name__ == "__main__":
    main()
