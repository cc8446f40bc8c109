import logging

import pytest

from fraud.logs import RepeatFilter


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
