"""The loop of a scorer: messages in, decisions and dead letters out, each message exactly once.

A batch is one Kafka transaction of its decisions, its dead letters and its offsets. The broker
takes the offsets only from a member of the group in the generation in which the batch was polled,
so nothing that this process still holds can be committed after others took over (KIP-447). After
any failure the producer is replaced, which ends what it left open, and reading goes on behind what
is committed: there is one way back, however it failed.
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

from kafka import (ConsumerGroupMetadata, KafkaConsumer, KafkaProducer, OffsetAndMetadata,
                   TopicPartition)
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import KafkaError

from fraud.history import StoreUnavailable
from fraud.transaction import Transaction
from stream import clients, messages, metrics
from stream.messages import Poison, Produced
from stream.scoring import Scoring
from stream.settings import StreamSettings
from stream.topics import DEAD_LETTER_BYTES

POLL_MS = 500
FIRST_BACKOFF_SECONDS = 0.1
LAG_SECONDS = 1.0
log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """What one poll brought."""

    records: list[ConsumerRecord]
    offsets: dict[TopicPartition, OffsetAndMetadata]    # behind it
    member: ConsumerGroupMetadata                       # who polled it: the broker's fence


class Outputs(NamedTuple):
    """What becomes of a batch."""

    decisions: list[Produced]
    dead_letters: list[Produced]
    reasons: Counter[str]           # of the dead letters


class Worker:
    """A member of the consumer group. One thread runs it.

    Raises:
        SettingsError: a topic is missing, or topics do not fit together.
    """

    def __init__(self, settings: StreamSettings, scoring: Scoring):
        self._settings, self._scoring = settings, scoring
        self._consumer: KafkaConsumer | None = None
        self._producer: KafkaProducer | None = None
        self._must_rewind = False           # more was polled than is committed
        self._refreshed = self._measured = 0.0

    def run(self, stop: Event) -> None:
        """Score until `stop` is set; the batch in hand is finished then."""
        failures = 0
        while not stop.is_set():
            try:
                self._turn()
                failures = 0
            except (KafkaError, StoreUnavailable) as error:
                failures += 1
                self._give_up(error)
                self._wait(stop, backoff(failures, self._settings.backoff_seconds))
        self._close()

    def _turn(self) -> None:
        self._connect()
        self._look_around()
        batch = self.poll()
        if batch:
            outputs = self.score(batch.records)
            self.produce(batch, outputs)
            self.commit()
            _observe(batch, outputs)

    def _connect(self) -> None:
        """Have clients, and read behind what is committed."""
        if self._consumer is None:
            consumer = clients.consumer(self._settings)
            clients.check_topics(consumer, self._settings)
            self._consumer = consumer
        if self._producer is None:
            self._producer = clients.transactional(self._settings,
                                                   self._settings.stream_instance)
            self._producer.init_transactions()
        if self._must_rewind:
            self._rewind()

    def _rewind(self) -> None:
        for partition in self._consumer.assignment():
            committed = self._consumer.committed(partition, timeout_ms=clients.REQUEST_MS)
            if committed is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, committed)
        self._consumer.resume(*self._consumer.paused())
        self._must_rewind = False

    def poll(self) -> Batch | None:
        """The next messages: of a partition in their order, of several by their timestamps."""
        polled = self._consumer.poll(POLL_MS, self._settings.stream_batch)
        # At once: a generation learnt later would let through what was polled in an earlier one.
        member = self._consumer.group_metadata()
        if not polled:
            return None
        if member.generation_id < 0:
            raise KafkaError("the group dropped this scorer while it polled")
        return Batch(
            list(merge(*polled.values(), key=attrgetter("timestamp"))),
            {partition: OffsetAndMetadata(records[-1].offset + 1)
             for partition, records in polled.items()}, member)

    def score(self, records: Sequence[ConsumerRecord]) -> Outputs:
        """Decisions and dead letters; payments that the store refuses are dead letters too."""
        told = [messages.read(record) for record in records]
        payments = [payment for payment in told if isinstance(payment, Transaction)]
        scored = iter(self._scoring.score(payments) if payments else ())
        outputs = Outputs([], [], Counter())
        for record, payment in zip(records, told):
            outcome = next(scored) if isinstance(payment, Transaction) else payment
            if isinstance(outcome, Poison):
                outputs.reasons[outcome.reason] += 1
                outputs.dead_letters.append(
                    messages.dead_letter(record, outcome, DEAD_LETTER_BYTES))
            else:
                outputs.decisions.append(messages.decision(record, payment, outcome))
        return outputs

    def produce(self, batch: Batch, outputs: Outputs) -> None:
        """Put the outcomes of a batch and its offsets into a transaction."""
        producer, settings = self._producer, self._settings
        producer.begin_transaction()
        for topic, produced in ((settings.topic_decisions, outputs.decisions),
                                (settings.topic_dead_letters, outputs.dead_letters)):
            for partition, key, value, headers in produced:
                producer.send(topic, value, key, headers, partition)
        producer.send_offsets_to_transaction(batch.offsets, batch.member)

    def commit(self) -> None:
        """Make the transaction visible, as a whole."""
        self._producer.commit_transaction()

    def _give_up(self, error: KafkaError | StoreUnavailable) -> None:
        self._must_rewind = True
        if isinstance(error, StoreUnavailable):     # no transaction was begun
            metrics.OUTAGES.inc()
            log.warning("scoring is put off: %s", error)
            return
        metrics.ABORTED.labels(type(error).__name__).inc()
        log.warning("starting anew behind what is committed: %s", error)
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
                self._look_around()
            except KafkaError as error:
                log.warning("waiting for the broker: %s", error)
                stop.wait(min(left, POLL_MS / 1000))

    def _look_around(self) -> None:
        """Follow the champion, and measure the lag, now and then."""
        now = time.monotonic()
        if now > self._refreshed + self._settings.model_seconds:
            self._refreshed = now
            self._scoring.refresh()
        if now > self._measured + LAG_SECONDS:
            self._measured = now
            self._measure_lag()

    def _measure_lag(self) -> None:
        partitions = self._consumer.assignment()
        ends = self._consumer.end_offsets(partitions, timeout_ms=clients.REQUEST_MS)
        metrics.LAG.clear()             # of partitions that others have now
        for partition in partitions:
            position = self._consumer.position(partition, timeout_ms=clients.REQUEST_MS)
            metrics.LAG.labels(partition.partition).set(ends[partition] - (position or 0))

    def _close(self) -> None:
        """Leave the group, so that others take over at once."""
        for client in (self._producer, self._consumer):
            if client:
                with suppress(KafkaError):
                    client.close()


def backoff(failures: int, limit: float) -> float:
    """Seconds to wait after so many failures in a row: twice as long each time, up to `limit`,
    and by chance up to a half less, so that scorers do not come back all at once.
    """
    return random.uniform(0.5, 1) * min(limit, FIRST_BACKOFF_SECONDS * 2 ** min(failures, 30))


def _observe(batch: Batch, outputs: Outputs) -> None:
    now = time.time()
    metrics.MESSAGES.inc(len(batch.records))
    metrics.BATCHES.observe(len(batch.records))
    for record in batch.records:
        metrics.LATENCY.observe(now - record.timestamp / 1000)
    for reason, count in outputs.reasons.items():
        metrics.DEAD_LETTERS.labels(reason).inc(count)
