import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, strategies

from stream.log_follower import LogFollower, LogPosition


def appended(path: Path, text: bytes) -> None:
    with open(path, "ab") as file:
        file.write(text)


@pytest.fixture
def log(tmp_path) -> Path:
    return tmp_path / "decisions.jsonl"


@pytest.fixture
def follower(log):
    follower = LogFollower(str(log), LogPosition())
    yield follower
    follower.close()


def test_lines_are_read_once_and_only_whole(log, follower):
    assert follower.read() == []
    appended(log, b"a\nb")
    assert follower.read() == [b"a"]
    assert follower.read() == [] and follower.unread_bytes == 1
    appended(log, b"c\nd\n")
    assert follower.read() == [b"bc", b"d"]
    assert follower.read() == [] and follower.unread_bytes == 0


def test_a_file_without_a_whole_line_is_waited_for(log, follower):
    appended(log, b"")
    assert follower.read() == []
    appended(log, b"a")
    assert follower.read() == []
    appended(log, b"b\n")
    assert follower.read() == [b"ab"]


def test_another_process_continues_at_the_position(log, follower):
    appended(log, b"a\nb\n")
    follower.read()
    appended(log, b"c\n")
    successor = LogFollower(str(log), follower.position)
    assert successor.read() == [b"c"]
    successor.close()


def test_a_renamed_file_is_read_to_its_end_before_its_successor(log, follower):
    appended(log, b"a\n")
    assert follower.read() == [b"a"]
    appended(log, b"b\n")
    os.rename(log, log.with_suffix(".1"))
    assert follower.read() == [b"b"]
    assert follower.read() == []        # there is no successor yet
    appended(log, b"c\n")
    assert follower.read() == [b"c"]


def test_a_truncated_file_is_read_from_its_beginning(log, follower):
    appended(log, b"a\nb\n")
    follower.read()
    shutil.copy(log, log.with_suffix(".1"))
    os.truncate(log, 0)
    assert follower.read() == []
    appended(log, b"c\nlonger than before\n")
    assert follower.read() == [b"c", b"longer than before"]


def test_a_file_that_was_replaced_while_nobody_read_is_read_from_its_beginning(log, follower):
    appended(log, b"a\nb\n")
    follower.read()
    os.remove(log)
    appended(log, b"c\nd\ne\n")
    successor = LogFollower(str(log), follower.position)
    assert successor.read() == [b"c", b"d", b"e"]
    successor.close()


@given(strategies.lists(strategies.binary(min_size=1, max_size=9).map(
    lambda text: text.replace(b"\n", b" ")), max_size=30), strategies.data())
def test_however_it_is_written_and_resumed_each_line_is_read_once(tmp_path_factory, lines, data):
    log = tmp_path_factory.mktemp("log") / "log"
    text, read, position = b"".join(line + b"\n" for line in lines), [], LogPosition()
    while text:
        size = data.draw(strategies.integers(1, len(text)))
        appended(log, text[:size])
        text = text[size:]
        follower = LogFollower(str(log), position)
        read += follower.read()
        position = follower.position
        follower.close()
    assert read == lines
