"""Following a file of JSON lines as it grows, across restarts and rotation."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, NamedTuple

CHUNK = 1_048_576       # bytes of a read


class LogPosition(NamedTuple):
    """An offset in a file, which is identified by its first line: a rotated file has another."""

    head: str = ""          # sha256 of the first line
    head_bytes: int = 0
    offset: int = 0


class LogFollower:
    """Reads whole lines from a position on.

    A file that was renamed is read to its end before its successor; one that was truncated, or
    replaced while nobody read it, is read from its beginning. The file may be absent at first.
    """

    def __init__(self, path: str, position: LogPosition):
        self._path = Path(path)
        self._file: BinaryIO | None = None
        self.position = position

    def read(self) -> list[bytes]:
        """Return the next lines, without those that are not complete; none at the end."""
        if self._file is None and not self._open():
            return []
        lines = self._lines()
        if not lines and self._is_replaced():
            self.close()
            if self._open():
                lines = self._lines()
        return lines

    @property
    def unread_bytes(self) -> int:
        """Bytes after the position."""
        if self._file is None:
            return 0
        return max(0, os.fstat(self._file.fileno()).st_size - self.position.offset)

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = open(self._path, "rb", buffering=0)
        except FileNotFoundError:
            return False
        return True

    def _lines(self) -> list[bytes]:
        assert self._file is not None
        if not self._is_same_file():
            self.position = self._beginning()
        if not self.position.head:
            return []               # not even one line yet
        chunk = os.pread(self._file.fileno(), CHUNK, self.position.offset)
        whole = chunk[:chunk.rfind(b"\n") + 1]
        self.position = self.position._replace(offset=self.position.offset + len(whole))
        return whole.split(b"\n")[:-1]

    def _is_same_file(self) -> bool:
        assert self._file is not None
        head = os.pread(self._file.fileno(), self.position.head_bytes, 0)
        return bool(head) and sha256(head).hexdigest() == self.position.head

    def _beginning(self) -> LogPosition:
        assert self._file is not None
        first, newline, _ = os.pread(self._file.fileno(), CHUNK, 0).partition(b"\n")
        if not newline:
            return LogPosition()
        head = first + newline
        return LogPosition(sha256(head).hexdigest(), len(head), 0)

    def _is_replaced(self) -> bool:
        assert self._file is not None
        try:
            return os.stat(self._path).st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False
