"""Runs the stream as a user would: scorer processes on a real broker, with topics of its own."""

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.request import urlopen

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from prometheus_client.parser import text_string_to_metric_families

from fraud.brokers import connection
from fraud.labels import Label
from fraud.training.simulate.simulator import START
from stream import clients, topics
from stream.settings import read_stream_settings

SESSION_MS = 1_000
PARTITIONS = 4
ACCOUNT_KEY = "key"


def environment(**settings: str) -> dict[str, str]:
    """This environment without settings of its own, a key for all processes, and those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
    return {**kept, "FRAUD_ACCOUNT_KEY": ACCOUNT_KEY, **settings}


def payment(transaction_id: str = "t-1", **changes) -> dict:
    """A payment that the linear bundle of the tests declines: its logit is the amount."""
    return {"transaction_id": transaction_id, "event_time": START, "type": "TRANSFER",
            "amount": 9.0, "origin": "C1", "destination": "C2", "origin_balance": 9.0,
            "destination_balance": 0.0, **changes}


def payments(count: int, accounts: int = 100, start: int = 0) -> list[dict]:
    """Payments of some accounts to one another, a second apart."""
    return [payment(f"t-{number}", event_time=START + number * 1_000, amount=number % 20,
                    origin=f"C{number % accounts}", destination=f"C{(number + 1) % accounts}")
            for number in range(start, start + count)]


def labels_of(sent: Iterable[dict]) -> list[bytes]:
    """Labels of every second payment with its accounts, of which a third are legitimate; every
    fifth label is sent twice."""
    labels = [msgspec.json.encode(Label(
        item["transaction_id"], int(index % 3 > 0), item["event_time"] + 60_000,
        origin=item["origin"], destination=item["destination"]))
        for index, item in enumerate(sent) if index % 2 == 0]
    return labels + labels[::5]


def headers(record: ConsumerRecord) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def source(record: ConsumerRecord) -> tuple[int, int]:
    """Partition and offset of the message that a record came from."""
    its = headers(record)
    return int(its["source-partition"]), int(its["source-offset"])


def eventually(holds: Callable[[], object], seconds: float = 30):
    """Return the result of a call once it is true."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)
    return found


class ScorerProcess:
    """A scorer in a process of its own."""

    def __init__(self, command: list[str], log: Path, settings: dict[str, str]):
        self.log = log
        with open(log, "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=stderr, env=settings)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)

    def said(self, what: str) -> bool:
        return what in self.log.read_text()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Names with the values of their labels, and what they measure."""
        [port] = eventually(lambda: re.findall(r"metrics on http://127.0.0.1:(\d+)",
                                               self.log.read_text()))
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            families = text_string_to_metric_families(response.read().decode())
            return {(sample.name, *sample.labels.values()): sample.value
                    for family in families for sample in family.samples}

    def partitions(self) -> set[str]:
        """Those that it has."""
        return {key[1] for key in self.metrics() if key[0] == "fraud_stream_lag_messages"}


class Stream:
    """Topics of a broker, who writes to the first, and who scores it."""

    def __init__(self, address: str, directory: Path, **settings: str):
        name = secrets.token_hex(4)
        self._directory, self._scorers = directory, []
        self.variables = {
            "KAFKA_BOOTSTRAP_SERVERS": address, "FRAUD_STREAM_GROUP": f"group-{name}",
            "FRAUD_TOPIC_TRANSACTIONS": f"transactions-{name}",
            "FRAUD_TOPIC_DECISIONS": f"decisions-{name}",
            "FRAUD_TOPIC_DECISION_LOG": f"decision-log-{name}",
            "FRAUD_TOPIC_DEAD_LETTERS": f"dead-letters-{name}",
            "FRAUD_TOPIC_LABELS": f"labels-{name}", "FRAUD_LABEL_GROUP": f"labels-{name}",
            "FRAUD_SESSION_MS": str(SESSION_MS),
            "FRAUD_BACKOFF_SECONDS": "1", "FRAUD_CLOCK": "event", "FRAUD_METRICS_PORT": "0",
            "FRAUD_MODEL": str(directory / "bundle"), "FRAUD_ACCOUNT_KEY": ACCOUNT_KEY,
            "FRAUD_LABEL_LOG": str(directory / "labels.jsonl"), **settings}
        self.settings = read_stream_settings(self.variables)
        with KafkaAdminClient(**connection(self.settings)) as admin:
            topics.create(admin, topics.wanted(self.settings, PARTITIONS, 1))
        self._producer = clients.producer(self.settings)

    def send(self, items: Iterable[dict]) -> None:
        """Send payments, each under its origin."""
        for item in items:
            self.send_raw(msgspec.json.encode(item), item["origin"].encode())
        self._producer.flush(30)

    def send_raw(self, value: bytes | None, key: bytes | None = None, partition=None,
                 headers=None) -> None:
        self._producer.send(self.settings.topic_transactions, value, key, headers, partition)

    def renew_producer(self) -> None:
        """Send what is buffered, and connect anew: the broker may have moved."""
        self._producer.close(10)
        self._producer = clients.producer(self.settings)

    def send_labels(self, *values: bytes | None) -> None:
        """Send messages to the topic of labels, to any partition."""
        for value in values:
            self._producer.send(self.settings.topic_labels, value, secrets.token_bytes(4))
        self._producer.flush(30)

    def scorer(self, *arguments: str, module: str = "stream.scorer", **changes) -> ScorerProcess:
        log = self._directory / f"scorer-{len(self._scorers)}.log"
        scorer = ScorerProcess(["-m", module, *arguments], log,
                               environment(**{**self.variables, **changes}))
        self._scorers.append(scorer)
        return scorer

    def recorder(self, *arguments: str, module: str = "stream.labels", **changes) -> ScorerProcess:
        return self.scorer(*arguments, module=module, **changes)

    def committed_labels(self) -> int:
        """The labels whose offsets the group of recorders has committed."""
        with KafkaConsumer(**connection(self.settings), enable_auto_commit=False,
                           group_id=self.settings.label_group) as reader:
            offsets = [reader.committed(TopicPartition(self.settings.topic_labels, number),
                                        timeout_ms=10_000) for number in range(PARTITIONS)]
        return sum(offset.offset if hasattr(offset, "offset") else offset or 0
                   for offset in offsets)

    def decisions(self, count: int, seconds: float = 60) -> list[ConsumerRecord]:
        return self.committed(self.settings.topic_decisions, count, seconds)

    def log_lines(self, count: int, seconds: float = 60) -> list[ConsumerRecord]:
        return self.committed(self.settings.topic_decision_log, count, seconds)

    def dead_letters(self, count: int, seconds: float = 60) -> list[ConsumerRecord]:
        return self.committed(self.settings.topic_dead_letters, count, seconds)

    def committed(self, topic: str, count: int, seconds: float) -> list[ConsumerRecord]:
        """All committed messages of a topic once there are so many, and any that came too much."""
        end, records = time.monotonic() + seconds, []
        with KafkaConsumer(**connection(self.settings), isolation_level="read_committed",
                           auto_offset_reset="earliest", enable_auto_commit=False) as reader:
            reader.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
            while len(records) < count and time.monotonic() < end:
                records += [record for part in reader.poll(200, 5_000).values() for record in part]
            records += [record for part in reader.poll(500, 5_000).values() for record in part]
        assert len(records) >= count, f"{len(records)} of {count}: {self.log()}"
        return records

    def log(self) -> str:
        """The end of what each scorer said."""
        return "\n".join(scorer.log.read_text()[-2_000:] for scorer in self._scorers)

    def close(self) -> None:
        self._producer.close(10)
        for scorer in self._scorers:
            scorer.process.kill()
            scorer.process.wait()
