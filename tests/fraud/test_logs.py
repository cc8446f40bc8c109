import json
import logging
import subprocess
import sys
from io import FileIO
from pathlib import Path

import msgspec
import pytest

from fraud import logs
from fraud.labels import Label
from fraud.logs import DecisionLog, LabelLog, LabelLogError, RepeatFilter
from tests.factories import NOON, payment as decision  # the log writes any struct


@pytest.fixture
def clock(monkeypatch):
    """The time that the filter sees, in seconds."""
    times = [0.0]
    monkeypatch.setattr("fraud.logs.monotonic", lambda: times[0])
    return times


def record(line: int, level: int = logging.WARNING, error: Exception | None = None):
    return logging.LogRecord("fraud", level, "scorer.py", line, "no history", (),
                             error and (type(error), error, None))


def test_a_repeated_warning_passes_once_a_second_with_the_number_of_the_others(clock):
    repeats = RepeatFilter()
    assert [repeats.filter(record(7)) for _ in range(5)] == [True] + 4 * [False]
    clock[0] = 1.0
    later = record(7)
    assert repeats.filter(later) and later.fields == {"suppressed": 4}
    clock[0] = 2.0
    last = record(7)
    assert repeats.filter(last) and not hasattr(last, "fields")


def test_other_lines_other_errors_and_access_lines_all_pass(clock):
    repeats = RepeatFilter()
    assert repeats.filter(record(7)) and repeats.filter(record(8))
    assert repeats.filter(record(9, logging.ERROR, ValueError()))
    assert repeats.filter(record(9, logging.ERROR, KeyError()))
    assert all(repeats.filter(record(10, logging.INFO)) for _ in range(9))


# The decision log.

def names(path: Path) -> list[str]:
    return [json.loads(line)["transaction_id"] for line in path.read_bytes().splitlines()]


def test_a_renamed_log_is_opened_anew(tmp_path):
    path = tmp_path / "decisions.jsonl"
    log = DecisionLog(str(path))
    log.write([decision("a"), decision("b")])
    path.rename(tmp_path / "decisions.jsonl.1")
    log.write([decision("c")])
    log.write([decision("d")])
    log.close()
    assert (names(tmp_path / "decisions.jsonl.1"), names(path)) == (["a", "b"], ["c", "d"])


def test_lines_wait_while_the_disk_is_full_and_the_oldest_are_lost(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(logs, "WAITING_LINES", 2)
    path = tmp_path / "decisions.jsonl"
    path.symlink_to("/dev/full")
    log = DecisionLog(str(path))
    assert [log.write([decision(name)]) for name in "abc"] == [1, 2, 2]
    assert "No space left on device; 1 lines wait" in caplog.text
    assert "the log lines of 1 decisions are lost" in caplog.text
    path.unlink()
    assert log.write([decision("d")]) == 0
    log.close()
    assert names(path) == ["b", "c", "d"]


LIMITED = """
import resource, sys
from fraud.logs import DecisionLog
from tests.factories import payment as decision
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
log = DecisionLog(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, most))
waiting = log.write([decision(str(number)) for number in range(9)])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
log.close()
print(waiting)
"""


def test_a_line_that_was_cut_is_completed(tmp_path):
    path = tmp_path / "decisions.jsonl"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True,
                          text=True, check=True)
    assert 0 < int(done.stdout) < 9
    assert names(path) == [str(number) for number in range(9)]


CUT_DECISIONS = """
import resource, sys
from fraud.logs import DecisionLog
from tests.factories import payment as decision
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), most))
log = DecisionLog(sys.argv[1])
print(log.write([decision("a"), decision("b")]), flush=True)
input()
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
log.close()
"""


def test_another_process_appends_after_whole_lines_while_a_disk_is_full(tmp_path):
    path = tmp_path / "decisions.jsonl"
    room = 2 * len(msgspec.json.encode(decision("a")))      # for a line, and most of another
    with subprocess.Popen([sys.executable, "-c", CUT_DECISIONS, str(path), str(room)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == "1\n"
        log = DecisionLog(str(path))
        log.write([decision("c")])
        log.close()
        process.communicate("\n")
    assert names(path) == ["a", "c", "b"]


CUT_LABELS = """
import resource, sys
from fraud.labels import Label
from fraud.logs import LabelLog
from tests.factories import NOON
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), most))
LabelLog(sys.argv[1]).write([Label("a", 1, NOON), Label("b", 0, NOON)])
"""


def test_labels_that_a_full_disk_cut_can_be_written_again(tmp_path):
    path = tmp_path / "labels.jsonl"
    room = 2 * len(msgspec.json.encode(LABELS[0]))
    done = subprocess.run([sys.executable, "-c", CUT_LABELS, str(path), str(room)],
                          capture_output=True, text=True, check=False)
    assert "No space left on device" in done.stderr
    LabelLog(str(path)).write(LABELS)
    assert names(path) == ["a", "a", "b"]


@pytest.mark.parametrize("file", [False, True])
def test_decisions_reach_a_file_in_one_call_and_stdout_in_one_each(tmp_path, monkeypatch, file):
    path = str(tmp_path / "decisions.jsonl") if file else logs.STDOUT
    calls: list[bytes] = []

    class Stream(FileIO):
        def write(self, content):
            calls.append(bytes(content))
            return super().write(content)

    (tmp_path / "stdout").touch()
    monkeypatch.setattr(logs, "_opened", lambda path: Stream(
        path if file else tmp_path / "stdout", "ab"))
    log = DecisionLog(path)
    log.write([decision("a"), decision("b"), decision("c")])
    log.close()
    assert [call.count(b"\n") for call in calls] == ([3] if file else [1, 1, 1])


def test_what_cannot_be_written_at_the_end_is_reported(tmp_path, caplog):
    log = DecisionLog("/dev/full")
    log.write([decision("a")])
    log.close()
    assert "the log lines of 1 decisions are lost" in caplog.text


# The label log.

LABELS = [Label("a", 1, NOON), Label("b", 0, NOON)]


def test_labels_are_appended_a_line_each(tmp_path):
    path = tmp_path / "labels.jsonl"
    for label in LABELS:
        LabelLog(str(path)).write([label])
    assert [msgspec.json.decode(line, type=Label)
            for line in path.read_bytes().splitlines()] == LABELS


def test_a_dash_is_stdout(capfd):
    LabelLog("-").write(LABELS)
    assert capfd.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(("path", "why"), [
    ("/dev/full", "No space left on device"), ("/nowhere/labels.jsonl", "No such file")])
def test_a_log_that_cannot_be_written_is_an_error(path, why):
    with pytest.raises(LabelLogError, match=rf"FRAUD_LABEL_LOG is '{path}': .* \({why}.*writable"):
        LabelLog(path).write(LABELS)
