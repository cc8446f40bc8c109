"""The evidence of a run: read from logs, topics, the store and the desk when all is settled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import redis

from fraud.decision import Decision, answered
from fraud.labels import Label, parse
from fraud.topics import read_to_end
from tests.endurance.callers import Callers, LabelCaller
from tests.endurance.judge import Evidence, LogLine, StreamRecord
from tests.endurance.ledger import Ledger, fingerprint
from tests.endurance.payments import frauds, totals
from tests.endurance.sender import EXPECTED, StreamSender
from tests.endurance.system import System
from tests.endurance.watch import FaultWindow
from tests.stream.proof import counted, counted_frauds
from tests.stream.running import headers, source

_decode_line = msgspec.json.Decoder(Decision).decode


@dataclass
class Load:
    """Everything that was sent, by callers and senders one after the other."""

    ledger: Ledger = field(default_factory=Ledger)
    callers: list[Callers] = field(default_factory=list)
    label_callers: list[LabelCaller] = field(default_factory=list)
    senders: list[StreamSender] = field(default_factory=list)

    def api_payments(self) -> Iterator[dict[str, Any]]:
        return _payments(self.callers)

    def stream_payments(self) -> Iterator[dict[str, Any]]:
        return _payments(self.senders)

    @property
    def count(self) -> int:
        """Payments that were sent."""
        return sum(each.sent for each in [*self.callers, *self.senders])

    @property
    def labels(self) -> list[Label]:
        """Labels that were sent to the API, and those that were sent to the topic."""
        return [label for each in self.label_callers for label in each.sent] + [
            label for each in self.senders for label in each.labels]


def _payments(channels: Iterable[Callers | StreamSender]) -> Iterator[dict[str, Any]]:
    for channel in channels:
        yield from map(channel.series.payment, range(channel.sent))


def collect(system: System, load: Load, windows: list[FaultWindow]) -> Evidence:
    """Return the evidence of a run whose load has ended, without figures of memory and speed."""
    settings, ledger = system.stream.settings, load.ledger
    lines, decided = [], {}
    for line in decision_lines(system):
        decision = _decode_line(line)
        kept = msgspec.structs.replace(decision, idempotent=True)
        lines.append(LogLine(decision.transaction_id, fingerprint(answered(kept).body),
                             decision.idempotent))
        decided.setdefault(decision.transaction_id, decision.decision)
    topic_lines = []
    for record in read_to_end(settings.topic_decision_log, settings):
        decision = _decode_line(record.value)
        topic_lines.append(StreamRecord(source(record), decision.transaction_id))
        decided.setdefault(decision.transaction_id, decision.decision)
    client = redis.Redis.from_url(system.redis.url)
    return Evidence(
        sent={payment["transaction_id"] for payment in load.api_payments()},
        answers=ledger.answers, interrupted=ledger.interrupted, conflicts=ledger.conflicts,
        refusals=ledger.refusals, lines=lines,
        sent_to_stream={payment["transaction_id"] for payment in load.stream_payments()},
        messages=[
            _message(record) for record in read_to_end(settings.topic_transactions, settings)],
        decisions=[
            StreamRecord(source(record), _id(record.value), fingerprint(record.value))
            for record in read_to_end(settings.topic_decisions, settings)],
        dead_letters=[
            StreamRecord(source(record), "", reason=headers(record)["reason"])
            for record in read_to_end(settings.topic_dead_letters, settings)],
        topic_lines=topic_lines,
        desk=dict(system.ask_desk("SELECT transaction_id, decision FROM payments")),
        decided=decided,
        totals=(counted(client), totals([*load.api_payments(), *load.stream_payments()])),
        frauds=(counted_frauds(client), frauds(load.labels)),
        labels=(Counter(map(_known, label_lines(system))), set(map(_known, load.labels))),
        ended=[*system.ended, *(f"labels were refused: {text}" for each in load.label_callers
                                for text in each.refusals[:1])],
        windows=windows)


def decision_lines(system: System) -> Iterator[bytes]:
    """Yield the lines of the decision log of the API, those of rotated files first."""
    log = system.decision_log
    rotated = sorted(log.parent.glob(f"{log.name}.*"), key=lambda path: int(path.suffix[1:]))
    for path in [*rotated, log]:
        if path.exists():
            with open(path, "rb") as file:
                yield from file


def label_lines(system: System) -> Iterator[Label]:
    """Yield the labels of all label logs: the API's servers each have one, and the recorder."""
    paths: list[Path] = [*system.folder.glob("server-*/labels.jsonl"),
                         system.folder / "stream" / "labels.jsonl"]
    for path in paths:
        if path.exists():
            with open(path, "rb") as file:
                yield from map(parse, file)


def _message(record: Any) -> StreamRecord:
    reason = dict(record.headers).get(EXPECTED, b"").decode()
    return StreamRecord((record.partition, record.offset), "" if reason else _id(record.value),
                        reason=reason)


def _id(body: bytes) -> str:
    return str(msgspec.json.decode(body)["transaction_id"])


def _known(label: Label) -> tuple[str, int, int]:
    return label.transaction_id, label.is_fraud, label.label_time
