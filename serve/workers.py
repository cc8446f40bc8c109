"""Worker processes: a killed one is replaced, and metrics that all of them share stay true."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from serve.settings import SHARED_DIRECTORY

PREFIX = "fraud-metrics-"
PARENT_SECONDS = 1.0        # between checks that the parent process lives
logger = logging.getLogger("serve")


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Give workers a folder for their metrics, and remove it with those that killed servers left.

    A folder that `PROMETHEUS_MULTIPROC_DIR` names is emptied of earlier metrics and kept. Enter
    this before prometheus_client is imported.
    """
    if given := os.environ.get(SHARED_DIRECTORY):
        for file in Path(given).glob("*.db"):
            file.unlink()
        yield
        return
    for leftover in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), _locked(leftover):
            shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as directory, _locked(Path(directory)):
        os.environ[SHARED_DIRECTORY] = directory
        yield
        del os.environ[SHARED_DIRECTORY]


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock, which ends with the process, or raise OSError if another process has it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def supervise(app: Any) -> None:
    """Make Sanic's manager replace workers that end, and stop while workers are starting.

    Sanic replaces no worker, and waits for the start of all of them even after SIGTERM. Its handler
    of signals fails where it interrupts an exchange of states with the workers, so it waits here.
    """
    manager = app.manager
    all_have_started, sync_states = manager._all_workers_ack, manager._sync_states
    signals = DelayedSignals(manager.shutdown_signal)

    def all_have_started_or_stop() -> bool:
        with signals.delayed():
            return bool(manager._shutting_down or all_have_started())

    def replace_and_sync_states() -> None:
        with signals.delayed():
            for process in manager.transient_processes:
                if not process.is_alive() and not manager._shutting_down:
                    _replace(process)
            sync_states()

    manager._all_workers_ack = all_have_started_or_stop
    manager._sync_states = replace_and_sync_states


class DelayedSignals:
    """A handler of SIGTERM and SIGINT that can wait. For the main thread.

    A mask of signals would not do: another thread would receive them, and Python would still call
    the handler in the main thread.

    Args:
        handler: as for `signal.signal`.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], object]):
        self._handler, self._is_delayed = handler, False
        self._received: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._is_delayed:
            self._received.append(number)
        else:
            self._handler(number, frame)

    @contextmanager
    def delayed(self) -> Iterator[None]:
        """Handle signals that arrive inside at the end."""
        self._is_delayed = True
        try:
            yield
        finally:
            self._is_delayed = False
            while self._received:
                self._handler(self._received.pop(0), None)


def _replace(process: Any) -> None:
    from serve.metrics import RESTARTS, forget_worker

    logger.error("worker %s ended with exit code %s; starting another", process.pid,
                 process.exitcode)
    forget_worker(process.pid)
    RESTARTS.inc()
    process.restart()


async def stop_with_parent(app: Any) -> None:
    """Stop this worker if its parent process was killed: it would hold the port for ever."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(PARENT_SECONDS)
    logger.error("the parent process %s is gone; stopping", parent)
    app.stop(terminate=False)
