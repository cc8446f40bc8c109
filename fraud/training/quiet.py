"""Suppression of the output of libraries as they start, but not of their errors.

Spark's JVM and TensorFlow write to file descriptor 2 as they start, bypassing Python's `sys.stderr`
and their log level.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_END = b"\0started\0"


@contextmanager
def suppress_startup_output() -> Iterator[None]:
    """Drop output to file descriptor 2 during the block, unless the block fails.

    After a failure the output is written. A process that was started in the block keeps its file
    descriptor 2: its later output passes through.
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
        output = b""
        while _END not in output:
            output += pipe.read(1 << 16)
        before, _, later = output.partition(_END)
        out.write((before if failed.is_set() else b"") + later)
        out.flush()
        decided.set()
        while later := pipe.read(1 << 16):
            out.write(later)
            out.flush()
