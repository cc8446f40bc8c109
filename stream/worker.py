"""The loop of a scorer: messages in, decisions and dead letters out, each message exactly once.

A batch is one Kafka transaction of decisions, dead letters and offsets. The broker accepts offsets
only from a group member in the generation that polled the batch, so a process that others replaced
can commit nothing (KIP-447). After any failure the producer is replaced, which aborts its open
transaction, and reading resumes after the last commit: every failure recovers in the same way.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from heapq import merge
from operator import attrgetter
from threading import Event
from typing import NamedTuple

from kafka import (
    ConsumerGroupMetadata, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition)
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from fraud.transaction import Transaction
from stream import clients, messages, metrics
from stream.messages import Poison, Produced, StreamAnswer
from stream.scoring import Scoring, ScoringUnavailable
from stream.settings import StreamSettings
from stream.topics import DEAD_LETTER_BYTES

POLL_MS = 500
FIRST_BACKOFF_SECONDS = 0.1
LAG_SECONDS = 1.0
log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """The messages of one poll."""

    records: list[ConsumerRecord]
    offsets: dict[TopicPartition, OffsetAndMetadata]    # after the batch
    member: ConsumerGroupMetadata                       # that polled it: the broker's fence


class Outputs(NamedTuple):
    """The outcomes of a batch."""

    decisions: list[Produced]
    dead_letters: list[Produced]
    reasons: Counter[str]           # of the dead letters


class Worker:
    """A member of the consumer group, for one thread.

    Raises:
        SettingsError: a topic is missing, or the topics do not fit together.
    """

    def __init__(self, settings: StreamSettings, scoring: Scoring):
        self._settings, self._scoring = settings, scoring
        self._consumer: KafkaConsumer | None = None
        self._producer: KafkaProducer | None = None
        self._must_rewind = False           # more was polled than is committed
        self._refreshed = self._measured = 0.0

    def run(self, stop: Event) -> None:
        """Score until `stop` is set; the current batch is finished then."""
        failures = 0
        while not stop.is_set():
            try:
                self._turn()
                failures = 0
            except (KafkaError, ScoringUnavailable) as error:
                failures += 1
                self._give_up(error)
                self._wait(stop, backoff(failures, self._settings.backoff_seconds))
        self._close()

    def _turn(self) -> None:
        consumer, producer = self._connect()
        self._maintain(consumer)
        batch = self.poll(consumer)
        if batch:
            outputs = self.score(batch.records)
            self.produce(producer, batch, outputs)
            self.commit(producer)
            _observe(batch, outputs)

    def _connect(self) -> tuple[KafkaConsumer, KafkaProducer]:
        """Return the clients, connected and reading after the last commit."""
        if self._consumer is None:
            consumer = clients.consumer(self._settings)
            clients.check_topics(consumer, self._settings)
            self._consumer = consumer
        if self._producer is None:
            self._producer = clients.transactional(self._settings, self._settings.stream_instance)
            self._producer.init_transactions()
        if self._must_rewind:
            clients.rewind(self._consumer)
            self._must_rewind = False
        return self._consumer, self._producer

    def poll(self, consumer: KafkaConsumer) -> Batch | None:
        """Poll messages: in order within a partition, by timestamp across partitions."""
        polled = consumer.poll(POLL_MS, self._settings.stream_batch)
        # At once: a later generation would accept a batch that was polled in an earlier one.
        member = consumer.group_metadata()
        if not polled:
            return None
        if member.generation_id < 0:
            raise KafkaError("the group dropped this scorer while it polled")
        offsets = {partition: OffsetAndMetadata(records[-1].offset + 1)
                   for partition, records in polled.items()}
        return Batch(list(merge(*polled.values(), key=attrgetter("timestamp"))), offsets, member)

    def score(self, records: Sequence[ConsumerRecord]) -> Outputs:
        """Return decisions and dead letters; payments that the store refuses are dead letters."""
        parsed = [messages.parse_message(record) for record in records]
        payments = [message for message in parsed if isinstance(message, Transaction)]
        answers = self._scoring.score(payments) if payments else []
        outputs = Outputs([], [], Counter())
        answer_of = _by_position(parsed, answers)
        for position, (record, message) in enumerate(zip(records, parsed, strict=True)):
            outcome = message if isinstance(message, Poison) else answer_of[position]
            if isinstance(outcome, Poison):
                outputs.reasons[outcome.reason] += 1
                outputs.dead_letters.append(
                    messages.dead_letter(record, outcome, DEAD_LETTER_BYTES))
            elif isinstance(message, Transaction):
                outputs.decisions.append(messages.decision(record, message, outcome))
        return outputs

    def produce(self, producer: KafkaProducer, batch: Batch, outputs: Outputs) -> None:
        """Put the outcomes of a batch and its offsets into a transaction."""
        settings = self._settings
        producer.begin_transaction()
        for topic, produced in ((settings.topic_decisions, outputs.decisions),
                                (settings.topic_dead_letters, outputs.dead_letters)):
            for partition, key, value, headers in produced:
                producer.send(topic, value, key, headers, partition)
        producer.send_offsets_to_transaction(batch.offsets, batch.member)

    def commit(self, producer: KafkaProducer) -> None:
        """Commit the transaction, which makes all of it visible."""
        producer.commit_transaction()

    def _give_up(self, error: KafkaError | ScoringUnavailable) -> None:
        self._must_rewind = True
        if isinstance(error, ScoringUnavailable):     # no transaction was begun
            metrics.OUTAGES.inc()
            log.warning("scoring is postponed: %s", error)
            return
        metrics.ABORTED.labels(type(error).__name__).inc()
        log.warning("resuming after the last commit: %s", error)
        if self._producer:
            with suppress(KafkaError):
                self._producer.close(timeout=0)
            self._producer = None

    def _wait(self, stop: Event, seconds: float) -> None:
        """Stay in the group for some time; what is polled meanwhile is polled again."""
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            if self._consumer is None:
                stop.wait(left)
                continue
            try:
                self._consumer.pause(*self._consumer.assignment())
                self._consumer.poll(min(round(left * 1000), POLL_MS))
                self._maintain(self._consumer)
            except KafkaError as error:
                log.warning("waiting for the broker: %s", error)
                stop.wait(min(left, POLL_MS / 1000))

    def _maintain(self, consumer: KafkaConsumer) -> None:
        """Follow the champion and measure the lag, at intervals."""
        now = time.monotonic()
        if now > self._refreshed + self._settings.model_refresh_seconds:
            self._refreshed = now
            self._scoring.refresh()
        if now > self._measured + LAG_SECONDS:
            self._measured = now
            _measure_lag(consumer)

    def _close(self) -> None:
        """Leave the group, so that others take over at once."""
        for client in (self._producer, self._consumer):
            if client:
                with suppress(KafkaError):
                    client.close()


def _by_position(parsed: Sequence[Transaction | Poison], answers: Sequence[StreamAnswer | Poison]
                 ) -> dict[int, StreamAnswer | Poison]:
    """Return the answer to each payment, by its position among the messages.

    Raises:
        ValueError: there are more or fewer answers than payments.
    """
    positions = [position for position, message in enumerate(parsed)
                 if isinstance(message, Transaction)]
    return dict(zip(positions, answers, strict=True))


def _measure_lag(consumer: KafkaConsumer) -> None:
    partitions = consumer.assignment()
    ends = consumer.end_offsets(partitions, timeout_ms=clients.REQUEST_MS)
    metrics.LAG.clear()             # of partitions that moved to others
    for partition in partitions:
        position = consumer.position(partition, timeout_ms=clients.REQUEST_MS)
        metrics.LAG.labels(partition.partition).set(ends[partition] - (position or 0))


def backoff(failures: int, limit: float) -> float:
    """Return the seconds to wait after a number of failures in a row.

    They double each time, up to `limit`, less a random part of up to a half, so that scorers do not
    return all at once.
    """
    seconds: float = min(limit, FIRST_BACKOFF_SECONDS * 2 ** min(failures, 30))
    return random.uniform(0.5, 1) * seconds


def _observe(batch: Batch, outputs: Outputs) -> None:
    now = time.time()
    metrics.MESSAGES.inc(len(batch.records))
    metrics.BATCHES.observe(len(batch.records))
    for record in batch.records:
        metrics.LATENCY.observe(now - record.timestamp / 1000)
    for reason, count in outputs.reasons.items():
        metrics.DEAD_LETTERS.labels(reason).inc(count)
