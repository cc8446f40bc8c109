"""The loop of a scorer: messages in, decisions and dead letters out, each message exactly once.

A batch is one Kafka transaction of decisions, their log lines, dead letters and offsets. The broker
accepts offsets only from a group member in the generation that polled the batch, so a process that
others replaced can commit nothing (KIP-447). After any failure both clients are replaced, which
aborts the open transaction, and reading resumes after the last commit: every failure recovers in
the same way.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from heapq import merge
from operator import attrgetter
from threading import Event
from typing import NamedTuple

from kafka import ConsumerGroupMetadata, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from fraud.errors import FraudError
from fraud.transaction import Transaction
from stream import clients, messages, metrics, positions
from stream.backoff import backoff
from stream.clients import TransactionalProducer
from stream.messages import Poison, Produced, Record, StreamAnswer
from stream.scoring import Scoring, ScoringUnavailable
from stream.settings import StreamSettings
from stream.topics import DEAD_LETTER_BYTES

POLL_MS = 500
LAG_SECONDS = 1.0
ABANDON_MS = 1_000              # to leave the group after a failure
log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """The messages of one poll."""

    records: list[Record]           # none if only positions moved, past markers of transactions
    offsets: dict[TopicPartition, OffsetAndMetadata]    # after the batch
    member: ConsumerGroupMetadata                       # that polled it: the broker's fence


class Outputs(NamedTuple):
    """The outcomes of a batch."""

    decisions: list[Produced]
    log_lines: list[Produced]       # none without a topic of decision lines
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
        self._producer: TransactionalProducer | None = None
        self._committed: dict[TopicPartition, int] = {}
        self._must_rewind = False           # more was polled than is committed
        self._batch = settings.stream_batch     # messages of a poll, at most
        self._is_checked = False            # that the topics exist
        self._refreshed = self._measured = self._heard = 0.0

    def run(self, stop: Event) -> None:
        """Score until `stop` is set; the current batch is finished then."""
        failures = 0
        while not stop.is_set():
            try:
                self._turn()
                failures = 0
            except ScoringUnavailable as error:     # no transaction was begun
                failures += 1
                self._postpone(error)
                self._wait(stop, backoff(failures, self._settings.backoff_seconds))
            except FraudError:
                self._close()
                raise
            except Exception as error:      # Kafka's client raises more than its own errors
                failures += 1
                self._give_up(error)
                stop.wait(backoff(failures, self._settings.backoff_seconds))
        self._close()

    def _turn(self) -> None:
        consumer, producer = self._connect()
        self._maintain(consumer)
        batch = self.poll(consumer)
        if batch:
            outputs = self.score(batch.records)
            self.produce(producer, batch, outputs)
            self.commit(producer)
            self._committed |= {partition: after.offset
                                for partition, after in batch.offsets.items()}
            self._batch = min(2 * self._batch, self._settings.stream_batch)
            metrics.observe(batch.records, outputs.reasons)

    def _connect(self) -> tuple[KafkaConsumer, TransactionalProducer]:
        """Return the clients, connected and reading after the last commit."""
        if self._consumer is None:
            self._consumer = clients.consumer(self._settings)
            self._heard = time.monotonic()
        if not self._is_checked:
            clients.check_topics(self._consumer, self._settings)
            self._is_checked = True
        if self._producer is None:
            self._producer = clients.transactional(self._settings, self._settings.stream_instance)
            self._producer.init_transactions()
        if self._must_rewind:
            positions.rewind(self._consumer)
            self._must_rewind = False
        return self._consumer, self._producer

    def poll(self, consumer: KafkaConsumer) -> Batch | None:
        """Poll messages: in order within a partition, by timestamp across partitions."""
        try:
            polled = consumer.poll(POLL_MS, self._batch)
        except CorruptRecordError as error:
            polled = clients.skip_corrupt(consumer, error)
        # At once: a later generation would accept a batch that was polled in an earlier one.
        member = consumer.group_metadata()
        offsets = {partition: OffsetAndMetadata(records[-1].offset + 1)
                   for partition, records in polled.items()}
        offsets = offsets or positions.moved(consumer, self._committed)
        if not offsets:
            return None
        if member.generation_id < 0:
            raise KafkaError("the group dropped this scorer while it polled")
        return Batch(list(merge(*polled.values(), key=attrgetter("timestamp"))), offsets, member)

    def score(self, records: Sequence[Record]) -> Outputs:
        """Return decisions and dead letters; payments that the store refuses are dead letters."""
        parsed = [messages.parse_message(record) for record in records]
        payments = [message for message in parsed if isinstance(message, Transaction)]
        callers = [messages.caller(record) for record, message in zip(records, parsed, strict=True)
                   if isinstance(message, Transaction)]
        answers = self._scoring.score(payments, callers) if payments else []
        outputs = Outputs([], [], [], Counter())
        answer_of = _by_position(parsed, answers)
        for position, (record, message) in enumerate(zip(records, parsed, strict=True)):
            outcome = message if isinstance(message, Poison) else answer_of[position]
            if isinstance(outcome, Poison):
                outputs.reasons[outcome.reason] += 1
                outputs.dead_letters.append(
                    messages.dead_letter(record, outcome, DEAD_LETTER_BYTES))
            elif isinstance(message, Transaction):
                outputs.decisions.append(messages.decision(record, message, outcome))
                if outcome.log_line:
                    outputs.log_lines.append(messages.log_line(record, message, outcome.log_line))
        return outputs

    def produce(self, producer: TransactionalProducer, batch: Batch, outputs: Outputs) -> None:
        """Put the outcomes of a batch and its offsets into a transaction."""
        settings = self._settings
        producer.begin_transaction()
        for topic, produced in ((settings.topic_decisions, outputs.decisions),
                                (settings.topic_decision_log, outputs.log_lines),
                                (settings.topic_dead_letters, outputs.dead_letters)):
            for partition, key, value, headers in produced:
                producer.send(topic, value, key, headers, partition)
        producer.send_offsets_to_transaction(batch.offsets, batch.member)

    def commit(self, producer: TransactionalProducer) -> None:
        """Commit the transaction, which makes all of it visible."""
        producer.commit_transaction()

    def _postpone(self, error: ScoringUnavailable) -> None:
        self._must_rewind = True
        metrics.OUTAGES.inc()
        log.warning("scoring is postponed: %s", error)

    def _give_up(self, error: Exception) -> None:
        metrics.ABORTED.labels(type(error).__name__).inc()
        log.warning("resuming after the last commit: %s: %s", type(error).__name__, error,
                    exc_info=not isinstance(error, KafkaError))
        self._close(ABANDON_MS)
        self._committed.clear()
        self._must_rewind = False
        # On a slow machine, a larger batch may never be done within its transaction's time.
        self._batch = max(1, self._batch // 2)

    def _wait(self, stop: Event, seconds: float) -> None:
        """Stay in the group for some time; what is polled meanwhile is polled again."""
        assert self._consumer is not None       # it polled what is postponed
        end = time.monotonic() + seconds
        while not stop.is_set() and (left := end - time.monotonic()) > 0:
            try:
                self._consumer.pause(*self._consumer.assignment())
                self._consumer.poll(min(round(left * 1000), POLL_MS))
                self._maintain(self._consumer)
            except Exception as error:      # the next turn replaces the clients
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
            self._check_broker(consumer)

    def _check_broker(self, consumer: KafkaConsumer) -> None:
        """Measure the lag, and raise KafkaError if the broker has been silent for a session.

        It may have moved: Kafka's client tries the addresses that it knows for ever.
        """
        if positions.measure_lag(consumer):
            self._heard = time.monotonic()
        elif time.monotonic() > self._heard + self._settings.session_ms / 1000:
            raise KafkaError("the brokers have been silent for FRAUD_SESSION_MS")

    def _close(self, timeout_ms: int = clients.REQUEST_MS) -> None:
        """Leave the group, so that others take over at once."""
        producer, consumer = self._producer, self._consumer
        self._producer = self._consumer = None
        with suppress(Exception):
            if producer:
                clients.abandon(producer)       # nothing is open, or it is to be aborted
        with suppress(Exception):
            if consumer:
                consumer.close(timeout_ms=timeout_ms)


def _by_position(parsed: Sequence[Transaction | Poison], answers: Sequence[StreamAnswer | Poison]
                 ) -> dict[int, StreamAnswer | Poison]:
    """Return the answer to each payment, by its position among the messages.

    Raises:
        ValueError: there are more or fewer answers than payments.
    """
    of_payments = [position for position, message in enumerate(parsed)
                   if isinstance(message, Transaction)]
    return dict(zip(of_payments, answers, strict=True))
