"""Loops for comparison: a bare one, one that asks the API, and a producer at a fixed rate."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection

from kafka import OffsetAndMetadata

from stream import clients
from stream.settings import read_stream_settings

RATE = 1_000                    # payments a second of the producer
Environment = dict[str, str]


@contextmanager
def loop(target: Callable, *arguments) -> Iterator[None]:
    """Run a loop in a separate process."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def bare(variables: Environment) -> None:
    """Consume and produce in transactions, and nothing else."""
    settings = read_stream_settings(variables)
    reader, producer = clients.consumer(settings), clients.transactional(settings, "bare")
    producer.init_transactions()
    while True:
        polled = reader.poll(500, settings.stream_batch)
        if polled:
            producer.begin_transaction()
            for records in polled.values():
                for record in records:
                    producer.send(settings.topic_decisions, record.value, record.key)
            producer.send_offsets_to_transaction(
                {partition: OffsetAndMetadata(records[-1].offset + 1)
                 for partition, records in polled.items()}, reader.group_metadata())
            producer.commit_transaction()


def one_by_one(variables: Environment, port: int) -> None:
    """Consume, ask the API for each message, produce its answer, commit."""
    settings = read_stream_settings(variables)
    reader, producer = clients.consumer(settings), clients.producer(settings)
    while True:
        for partition, records in reader.poll(500, settings.stream_batch).items():
            for record in records:
                api = HTTPConnection("127.0.0.1", port)
                api.request("POST", "/v1/score", record.value)
                answer = api.getresponse().read()
                api.close()
                producer.send(settings.topic_decisions, answer, record.key).get(10)
                reader.commit({partition: OffsetAndMetadata(record.offset + 1)})


def produce_at_rate(variables: Environment, payments: list[tuple[bytes, bytes]]) -> None:
    """Send payments, `RATE` of them a second."""
    settings = read_stream_settings(variables)
    producer = clients.producer(settings)
    began = time.perf_counter()
    for number, (key, value) in enumerate(payments):
        time.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        producer.send(settings.topic_transactions, value, key)
    producer.flush()
