"""Keeps the chatter of libraries that start off the terminal, and their errors on it.

Spark's JVM and TensorFlow write to file descriptor 2 as they start, past Python's `sys.stderr` and
whatever their log level says.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_END = b"\0started\0"


@contextmanager
def starting() -> Iterator[None]:
    """Drops what is written to file descriptor 2 while something starts, if it does start.

    If it ends in an error, what was kept back is written first. A process that was started within
    keeps its file descriptor 2: what it writes later passes through as it comes.
    """
    sys.stderr.flush()
    terminal, (source, sink) = os.dup(2), os.pipe()
    failed, decided = threading.Event(), threading.Event()
    threading.Thread(target=_pass_on, args=(source, terminal, failed, decided), daemon=True).start()
    os.dup2(sink, 2)
    try:
        yield
    except BaseException:
        failed.set()
        raise
    finally:
        sys.stderr.flush()
        os.write(sink, _END)
        os.dup2(terminal, 2)
        os.close(sink)
        decided.wait()


def _pass_on(source: int, terminal: int, failed: threading.Event,
             decided: threading.Event) -> None:
    with open(source, "rb", buffering=0) as pipe, open(terminal, "wb") as out:
        said = b""
        while _END not in said:
            said += pipe.read(1 << 16)
        before, _, later = said.partition(_END)
        out.write((before if failed.is_set() else b"") + later)
        out.flush()
        decided.set()
        while later := pipe.read(1 << 16):
            out.write(later)
            out.flush()
