"""Log files are read once each, however they are rotated, compressed and cut."""

import gzip
import os

from hypothesis import given, strategies as st

from desk.log_files import LogFiles


def read_all(files: LogFiles, positions: dict[str, int]) -> list[bytes]:
    lines = []
    for part in files.read(positions):
        lines += part.lines
        positions[part.source] = part.position
    return lines


def append(path, *lines: str) -> None:
    with open(path, "a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_new_lines_are_read_and_a_line_that_is_being_written_waits(tmp_path):
    log, positions = tmp_path / "log", {}
    files = LogFiles(str(log))
    assert read_all(files, positions) == []         # there is no file yet
    append(log, "a", "b")
    with open(log, "a") as file:
        file.write("c")
    assert read_all(files, positions) == [b"a", b"b"]
    append(log, "!")
    assert read_all(files, positions) == [b"c!"]
    assert read_all(LogFiles(str(log)), positions) == []      # after a restart


def test_a_rotated_and_compressed_file_is_known_again(tmp_path):
    log, positions = tmp_path / "log", {}
    append(log, "a", "b")
    assert read_all(LogFiles(str(log)), positions) == [b"a", b"b"]
    append(log, "c")
    os.rename(log, tmp_path / "log.1")
    append(log, "d")
    assert sorted(read_all(LogFiles(str(log)), positions)) == [b"c", b"d"]
    (tmp_path / "log.2.gz").write_bytes(gzip.compress((tmp_path / "log.1").read_bytes()))
    (tmp_path / "log.1").unlink()
    assert read_all(LogFiles(str(log)), positions) == []


def test_a_file_that_was_emptied_and_begun_again_is_another(tmp_path):
    log, positions = tmp_path / "log", {}
    append(log, "a", "b")
    files = LogFiles(str(log))
    read_all(files, positions)
    log.write_text("")
    append(log, "c")
    assert read_all(files, positions) == [b"c"]
    log.write_text("c\nd\ne\n")
    assert read_all(files, positions) == [b"d", b"e"]
    log.write_text("c\n")                           # the same first line, and shorter
    assert read_all(files, positions) == [b"c"]


def test_other_files_of_the_folder_and_broken_archives_are_left_out(tmp_path):
    append(tmp_path / "log", "a")
    append(tmp_path / "logger", "b")
    append(tmp_path / "other", "c")
    (tmp_path / "log.3.gz").write_bytes(gzip.compress(b"d\ne\n")[:-12])
    assert read_all(LogFiles(str(tmp_path / "log")), {})[0] == b"a"


@given(cuts=st.lists(st.integers(0, 400), max_size=8), rotations=st.sets(st.integers(0, 7)))
def test_every_line_is_read_exactly_once_whatever_the_moments(tmp_path_factory, cuts, rotations):
    folder = tmp_path_factory.mktemp("logs")
    log, positions, seen = folder / "log", {}, []
    content = "".join(f"line {number}\n" for number in range(50)).encode()
    start = 0
    for index, cut in enumerate([*sorted(cuts), len(content)]):
        with open(log, "ab") as file:
            file.write(content[start:cut])
        start = max(start, min(cut, len(content)))
        seen += read_all(LogFiles(str(log)), positions)
        if index in rotations and content[:start].endswith(b"\n"):
            os.rename(log, folder / f"log.{index}")
            log.touch()
    assert sorted(seen) == sorted(content.splitlines())
