"""The one place that judges a run: sentences about what was lost, doubled or changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.endurance.watch import FaultWindow, Growth, Latency

MEMORY_RATIO, LATENCY_RATIO = 1.05, 1.5
NAMED = 3               # ids that a sentence names


class LogLine(NamedTuple):
    """A line of a decision log. The answer is a fingerprint, as if it were kept.

    A line may say that its answer is not kept although the store has it: its reply came too late.
    """

    transaction_id: str
    answer: int
    is_kept: bool


class StreamRecord(NamedTuple):
    """A message of the stream, or an outcome of one, by the position of the message."""

    source: tuple[int, int]         # partition and offset
    transaction_id: str
    answer: int = 0                 # fingerprint; of a decision
    reason: str = ""                # of a dead letter; of a message, the one that it must get


Totals = Mapping[str, tuple[int, ...]]


@dataclass
class Evidence:
    """All that a run has left behind."""

    sent: set[str]                              # ids of the API
    answers: Mapping[str, int]
    interrupted: set[str]                       # ids of which an attempt ended without an answer
    conflicts: set[str]
    refusals: Mapping[str, str]
    lines: list[LogLine]
    sent_to_stream: set[str]                    # ids
    messages: list[StreamRecord]
    decisions: list[StreamRecord]
    dead_letters: list[StreamRecord]
    topic_lines: list[StreamRecord]
    desk: Mapping[str, str]                     # decision of each payment
    decided: Mapping[str, str]                  # decision that the logs have
    totals: tuple[Totals, Totals]               # of Redis, and as sent
    frauds: tuple[Totals, Totals]               # of Redis, and as sent
    labels: tuple[Counter, set]                 # lines of the label logs, and labels as sent
    ended: list[str]
    windows: list[FaultWindow]
    recovery_seconds: float = 60.0              # for the recovery from a fault
    growths: list[Growth] = field(default_factory=list)
    latency: Latency | None = None

    @property
    def lines_lost_in_kills(self) -> set[str]:
        """Ids whose worker was killed after it kept the answer and before it wrote the line.

        `fraud.scorer` documents that loss; the caller got no answer, and asked again.
        """
        logged = {(line.transaction_id, line.answer) for line in self.lines}
        return {name for name in self.interrupted & self.answers.keys()
                if (name, self.answers[name]) not in logged}


def problems(evidence: Evidence) -> list[str]:
    """Return a sentence for each promise that the run has broken; none if all were kept."""
    return [*_api(evidence), *_log(evidence), *_stream(evidence), *_desk(evidence),
            *_store(evidence), *_run(evidence)]


def _api(evidence: Evidence) -> Iterator[str]:
    yield from _named(evidence.sent - evidence.answers.keys() - evidence.refusals.keys(),
                      "payments sent to the API have no answer that is kept")
    yield from _named(evidence.conflicts, "payments got two different answers that are kept")
    yield from _named([f"{name} ({detail})" for name, detail in evidence.refusals.items()],
                      "payments were refused")


def _log(evidence: Evidence) -> Iterator[str]:
    logged: dict[str, set[int]] = {}
    for line in evidence.lines:
        logged.setdefault(line.transaction_id, set()).add(line.answer)
    lost = {name for name, answer in evidence.answers.items()
            if answer not in logged.get(name, ())}
    yield from _named(lost - evidence.lines_lost_in_kills,
                      "payments have no line with their answer in the decision log")
    yield from _named({line.transaction_id for line in evidence.lines if line.is_kept
                       and evidence.answers.get(line.transaction_id) != line.answer},
                      "payments have a line with another answer in the decision log")


def _stream(evidence: Evidence) -> Iterator[str]:
    expected = {record.source: record for record in evidence.messages}
    yield from _named(evidence.sent_to_stream - {
        record.transaction_id for record in evidence.messages},
        "payments sent to the stream are not in its topic")
    for name, records, is_due in (
            ("decisions", evidence.decisions, lambda record: not record.reason),
            ("decision lines", evidence.topic_lines, lambda record: not record.reason),
            ("dead letters", evidence.dead_letters, lambda record: bool(record.reason))):
        counts = Counter(record.source for record in records)
        due = {source for source, record in expected.items() if is_due(record)}
        yield from _named(due - counts.keys(), f"messages have no {name}")
        yield from _named(counts.keys() - due, f"messages have {name} that they must not have")
        yield from _named((source for source, count in counts.items() if count > 1),
                          f"messages have several {name}")
    yield from _named((record.source for record in evidence.dead_letters
                       if record.source in expected
                       and record.reason != expected[record.source].reason),
                      "dead letters have another reason than their defect")
    answers: dict[str, set[int]] = {}
    for record in evidence.decisions:
        answers.setdefault(record.transaction_id, set()).add(record.answer)
    yield from _named((name for name, each in answers.items() if len(each) > 1),
                      "payments of the stream have decisions with different answers")


def _desk(evidence: Evidence) -> Iterator[str]:
    yield from _named(evidence.decided.keys() - evidence.desk.keys(),
                      "logged decisions are not in the desk")
    yield from _named(evidence.desk.keys() - evidence.decided.keys(),
                      "payments of the desk are in no log")
    yield from _named((name for name, decision in evidence.desk.items()
                       if evidence.decided.get(name, decision) != decision),
                      "payments have another decision in the desk than in the log")


def _store(evidence: Evidence) -> Iterator[str]:
    for (kept, expected), name in ((evidence.totals, "payments"), (evidence.frauds, "frauds")):
        yield from _named((f"{account} {kept.get(account)} instead of {expected.get(account)}"
                           for account in kept.keys() | expected.keys()
                           if kept.get(account) != expected.get(account)),
                          f"accounts have other totals of {name} in the store than were sent")
    logged, sent = evidence.labels
    yield from _named(sent - logged.keys(), "labels are not in the label log")
    yield from _named(logged.keys() - sent, "labels of the label log were not sent")


def _run(evidence: Evidence) -> Iterator[str]:
    yield from evidence.ended
    for window in evidence.windows:
        if window.problem:
            yield f"{window.name}: {window.problem}"
        if window.seconds > evidence.recovery_seconds:
            yield (f"{window.name}: no recovery within {evidence.recovery_seconds:.0f} s of its "
                   f"end ({window.seconds:.0f} s)")
    for growth in evidence.growths:
        if growth.ratio > MEMORY_RATIO:
            yield (f"the memory of a process ({growth.program}) grew from {growth.warm:.0f} to "
                   f"{growth.last:.0f} MiB, times {growth.ratio:.2f} (wanted: {MEMORY_RATIO:g})")
    if evidence.latency and evidence.latency.ratio > LATENCY_RATIO:
        yield (f"outside of faults, 99 % of answers took {evidence.latency.outside:.1f} ms, times "
               f"{evidence.latency.ratio:.2f} of the time before (wanted: {LATENCY_RATIO:g})")


def _named(items: Iterable[object], problem: str) -> Iterator[str]:
    """Give a sentence with the number of items and the first of them, if there are any."""
    shown = sorted(map(str, items))
    if shown:
        more = ", ..." if len(shown) > NAMED else ""
        yield f"{len(shown):,} {problem}: {', '.join(shown[:NAMED])}{more}"
