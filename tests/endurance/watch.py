"""Measurements of a run: memory of the programs, windows of faults, latency outside of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Thread

import numpy as np
import psutil

from tests.endurance.system import System

SAMPLE_SECONDS = 5.0
WARM_UP_SECONDS = 180.0     # of a process, before its memory is compared: caches fill
LIFE_SECONDS = 240.0        # of a process whose memory is compared, after its warm-up
MIB = 2 ** 20


@dataclass(frozen=True)
class FaultWindow:
    """The moments of a fault, of the monotonic clock: begun, over, and recovered from."""

    name: str
    began: float
    ended: float
    recovered: float
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Seconds from the end of the fault to the recovery."""
        return self.recovered - self.ended


@dataclass
class MemoryWatch:
    """A thread that samples the memory (RSS) of all programs."""

    system: System
    samples: dict[tuple[str, int], list[tuple[float, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = Event()
        self._thread = Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            with suppress(psutil.Error):        # a process is gone
                for name, processes in self.system.processes().items():
                    for process in processes:
                        if memory := process.memory_info().rss:     # 0: it has just ended
                            self.samples.setdefault((name, process.pid), []).append(
                                (time.monotonic(), memory))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@dataclass(frozen=True)
class Growth:
    """The memory of a process after its warm-up and at its end, in MiB."""

    program: str
    warm: float
    last: float

    @property
    def ratio(self) -> float:
        return self.last / self.warm


def growths(samples: dict[tuple[str, int], list[tuple[float, int]]]) -> list[Growth]:
    """Return the growth of each process that lived long enough; of each program, the largest."""
    largest: dict[str, Growth] = {}
    for (program, _), measured in samples.items():
        warm = [each for each in measured if each[0] >= measured[0][0] + WARM_UP_SECONDS]
        if not warm or warm[-1][0] < warm[0][0] + LIFE_SECONDS:
            continue
        growth = Growth(program, warm[0][1] / MIB, warm[-1][1] / MIB)
        if program not in largest or growth.ratio > largest[program].ratio:
            largest[program] = growth
    return list(largest.values())


@dataclass(frozen=True)
class Latency:
    """The 99th percentile of answers in ms: before the first fault, and later outside of faults."""

    before: float
    outside: float

    @property
    def ratio(self) -> float:
        return self.outside / self.before


def latency(latencies: Sequence[tuple[float, float]], windows: Sequence[FaultWindow]
            ) -> Latency | None:
    """Return the latency of answers by their moments, or None without answers to compare."""
    moments, seconds = np.array(latencies).reshape(-1, 2).T
    before = moments < min(window.began for window in windows)
    outside = ~before
    for window in windows:
        outside &= (moments < window.began) | (moments > window.recovered)
    if not before.any() or not outside.any():
        return None
    return Latency(*(1000 * float(np.percentile(seconds[part], 99)) for part in (before, outside)))
