"""Decision logs as files that grow, are rotated and are compressed.

A file is known by its first line: each line names a payment and a moment, so that a file keeps its
identity when it is renamed or compressed, and a file that was emptied and begun again is another.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20             # bytes that are read at once
LONGEST_LINE = 1 << 20      # bytes; a decision has a thousandth of them


class LogPart(NamedTuple):
    """Complete lines of a source, and the position after them."""

    source: str
    name: str
    lines: list[bytes]
    position: int


class LogFiles:
    """A decision log and its rotated parts: PATH, PATH.1, PATH.2.gz, PATH-20260131 and so on.

    Args:
        path: of the file that is written to.
    """

    def __init__(self, path: str):
        self._path = Path(path)
        self._seen: dict[Path, tuple[int, int, int]] = {}       # read to the end at this state

    def read(self, positions: dict[str, int]) -> Iterator[LogPart]:
        """Yield the new lines, the oldest file first.

        Args:
            positions: by source; missing: nothing was read yet.
        """
        for path in self._files():
            try:
                status = path.stat()
                state = (status.st_ino, status.st_size, status.st_mtime_ns)
                if self._seen.get(path) == state:
                    continue
                yield from _parts(path, positions)
                self._seen[path] = state
            except (OSError, EOFError):     # renamed meanwhile, or still being compressed
                continue

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _files(self) -> list[Path]:
        folder, name = self._path.parent, self._path.name
        files = [path for path in folder.glob("*") if path.is_file() and (
            path.name == name or path.name.startswith((f"{name}.", f"{name}-")))]
        return sorted(files, key=_last_change)


def _last_change(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _parts(path: Path, positions: dict[str, int]) -> Iterator[LogPart]:
    with _opened(path) as file:
        first = file.readline(LONGEST_LINE)
        if not first.endswith(b"\n"):
            return
        source = hashlib.sha256(first).hexdigest()
        position = positions.get(source, 0)
        if file.seek(position) < position or _is_shorter(file, position):
            position = file.seek(0)         # emptied and begun again with the same line
        while chunk := file.read(CHUNK):
            end = chunk.rfind(b"\n") + 1
            if end == 0:                    # a line that is being written, or that never ends
                if len(chunk) < CHUNK:
                    return
                end = len(chunk)
            position += end
            yield LogPart(source, str(path), chunk[:end].splitlines(), position)
            file.seek(position)


def _is_shorter(file: BinaryIO, position: int) -> bool:
    """Return True if a plain file ends before a position; a compressed one never grows."""
    return not isinstance(file, gzip.GzipFile) and os.fstat(file.fileno()).st_size < position


def _opened(path: Path) -> BinaryIO:
    file = open(path, "rb")
    if file.read(2) != GZIP_MAGIC:
        file.seek(0)
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path))
