"""A run without losses is judged so, and each kind of loss is named."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.endurance.judge import Evidence, LogLine, StreamRecord, problems
from tests.endurance.watch import FaultWindow, Growth, Latency

LABEL = ("s-1", 1, 7)
KEPT = Evidence(
    sent={"a-1", "a-2"}, answers={"a-1": 1, "a-2": 2}, interrupted=set(), conflicts=set(),
    refusals={},
    lines=[LogLine("a-1", 1, True), LogLine("a-2", 9, False), LogLine("a-2", 2, True)],
    sent_to_stream={"s-1"},
    messages=[StreamRecord((0, 0), "s-1"), StreamRecord((0, 1), "s-1"),
              StreamRecord((1, 0), "", reason="not-json")],
    decisions=[StreamRecord((0, 0), "s-1", 3), StreamRecord((0, 1), "s-1", 3)],
    dead_letters=[StreamRecord((1, 0), "", reason="not-json")],
    topic_lines=[StreamRecord((0, 0), "s-1"), StreamRecord((0, 1), "s-1")],
    desk={"a-1": "approve", "a-2": "review", "s-1": "decline"},
    decided={"a-1": "approve", "a-2": "review", "s-1": "decline"},
    totals=({"C1": (3, 300, 0, 0)}, {"C1": (3, 300, 0, 0)}),
    frauds=({"C1": (1, 0)}, {"C1": (1, 0)}),
    labels=(Counter({LABEL: 2}), {LABEL}), ended=[],
    windows=[FaultWindow("scorer killed", 1.0, 2.0, 9.0)],
    growths=[Growth("desk", 100.0, 105.0)], latency=Latency(10.0, 15.0))


def test_a_run_without_losses_has_no_problems():
    assert problems(KEPT) == []


@pytest.mark.parametrize(("changes", "problem"), [
    ({"sent": {"a-1", "a-2", "a-3"}}, "1 payments sent to the API have no answer"),
    ({"conflicts": {"a-1"}}, "1 payments got two different answers"),
    ({"refusals": {"a-1": "422"}}, "1 payments were refused: a-1 (422)"),
    ({"lines": KEPT.lines[1:]}, "1 payments have no line with their answer"),
    ({"lines": [*KEPT.lines, LogLine("a-1", 5, True)]}, "1 payments have a line with another"),
    ({"sent_to_stream": {"s-1", "s-2"}}, "1 payments sent to the stream are not in its topic"),
    ({"decisions": KEPT.decisions[1:]}, "1 messages have no decisions: (0, 0)"),
    ({"decisions": KEPT.decisions * 2}, "2 messages have several decisions"),
    ({"decisions": [*KEPT.decisions, StreamRecord((1, 0), "s-1", 3)]},
     "1 messages have decisions that they must not have: (1, 0)"),
    ({"decisions": [KEPT.decisions[0], StreamRecord((0, 1), "s-1", 4)]},
     "1 payments of the stream have decisions with different answers"),
    ({"topic_lines": KEPT.topic_lines[1:]}, "1 messages have no decision lines"),
    ({"dead_letters": []}, "1 messages have no dead letters"),
    ({"dead_letters": [StreamRecord((1, 0), "", reason="bad-key")]}, "1 dead letters have another"),
    ({"desk": {"a-1": "approve", "s-1": "decline"}}, "1 logged decisions are not in the desk: a-2"),
    ({"decided": {"a-1": "approve", "a-2": "review"}}, "1 payments of the desk are in no log"),
    ({"decided": {**KEPT.decided, "a-1": "review"}}, "1 payments have another decision in"),
    ({"totals": ({"C1": (4, 400, 0, 0)}, KEPT.totals[1])}, "C1 (4, 400, 0, 0) instead of (3, 300"),
    ({"frauds": ({}, KEPT.frauds[1])}, "1 accounts have other totals of frauds"),
    ({"labels": (Counter(), {LABEL})}, "1 labels are not in the label log"),
    ({"labels": (Counter({LABEL: 1}), set())}, "1 labels of the label log were not sent"),
    ({"ended": ["the desk ended by itself"]}, "the desk ended by itself"),
    ({"windows": [replace(KEPT.windows[0], recovered=63.0)]}, "scorer killed: no recovery"),
    ({"windows": [replace(KEPT.windows[0], problem="it did not")]}, "scorer killed: it did not"),
    ({"growths": [Growth("desk", 100.0, 106.0)]}, "(desk) grew from 100 to 106 MiB"),
    ({"latency": Latency(10.0, 15.1)}, "99 % of answers took 15.1 ms"),
])
def test_each_loss_is_named(changes, problem):
    [sentence] = problems(replace(KEPT, **changes))
    assert problem in sentence


def test_a_line_may_be_lost_only_where_the_caller_got_no_answer():
    lost = replace(KEPT, lines=KEPT.lines[1:], interrupted={"a-1"})
    assert problems(lost) == []
    assert lost.lines_lost_in_kills == {"a-1"}
