"""Clients that give up while the broker does not answer."""

import signal
import threading

import pytest
from kafka import ConsumerGroupMetadata, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from stream import clients

OFFSETS = {TopicPartition("transactions", 0): OffsetAndMetadata(1)}
MEMBER = ConsumerGroupMetadata("group", 1, "member", None)


def test_a_transaction_does_not_wait_for_a_silent_broker_for_ever(
        make_stream, own_broker, redis_url):
    settings = make_stream(own_broker.address, FRAUD_HISTORY=redis_url).settings
    before = {*threading.enumerate()}
    producer = clients.transactional(settings, "paused")
    producer.init_transactions()
    producer.config["max_block_ms"] = 500
    producer.partitions_for(settings.topic_decisions)
    producer.begin_transaction()
    own_broker.process.send_signal(signal.SIGSTOP)
    producer.send(settings.topic_decisions, b"{}", b"C1")
    for call in (lambda: producer.send_offsets_to_transaction(OFFSETS, MEMBER),
                 producer.commit_transaction):
        with pytest.raises(KafkaTimeoutError, match="has not answered for 500 ms"):
            call()
    clients.abandon(producer)
    assert {*threading.enumerate()} <= before           # the thread of the producer has ended
