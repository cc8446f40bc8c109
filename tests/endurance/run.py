"""A run: load, faults drawn by a seed, and the evidence of what happened."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.endurance.callers import Callers, LabelCaller
from tests.endurance.collect import Load, collect
from tests.endurance.faults import FAULTS, Fault, Scene
from tests.endurance.judge import Evidence
from tests.endurance.payments import API, LABEL_EVERY, STREAM, PaymentSeries
from tests.endurance.sender import StreamSender
from tests.endurance.system import WORKERS, System, eventually
from tests.endurance.watch import FaultWindow, MemoryWatch, growths, latency

LIMIT_SECONDS = 20          # at full speed, to measure the limit
PROBES = 8                  # payments of each channel that must reach the desk
SETTLE_SECONDS = 10         # without any change at the end
PATIENCE = 600              # seconds


@dataclass(frozen=True)
class Plan:
    """The course of a run.

    Args:
        minutes: between the start of the load and its end; 0: until each fault was injected once.
        every: seconds between two faults, and before the first.
        rate: payments a second in all, half of them through the API; 0: half of what is measured.
        longest_pause: seconds for which a program is stopped, at most.
        session_ms: FRAUD_SESSION_MS.
        recovery_seconds: for the recovery from a fault.
        faults: those to draw from.
    """

    minutes: float
    seed: int
    every: float
    rate: float
    longest_pause: float
    session_ms: int
    recovery_seconds: float
    faults: tuple[Fault, ...] = FAULTS


SHORT = Plan(minutes=0, seed=7, every=3, rate=40, longest_pause=3, session_ms=2_000,
             recovery_seconds=300)      # a test is not timed: a busy machine is no defect


def run(system: System, plan: Plan) -> tuple[Evidence, Load, float]:
    """Run a plan; return the evidence, the load and its rate in payments a second."""
    load, memory = Load(), MemoryWatch(system)
    rate = plan.rate or capacity(system, load) / 2
    load.ledger.latencies.clear()
    load.ledger.interrupted.clear()
    print(f"{rate:,.0f} payments a second", flush=True)
    callers, sender = begin(system, load, rate)
    scene = Scene(system, callers, sender, random.Random(plan.seed), plan.longest_pause)
    windows = []
    end = time.monotonic() + 60 * plan.minutes
    for number, fault in enumerate(drawn(plan), 1):
        time.sleep(max(0.0, callers.series.start + number * plan.every - time.monotonic()))
        if plan.minutes and time.monotonic() > end - plan.every / 2:
            break
        windows.append(inject(fault, scene, plan.recovery_seconds))
    time.sleep(max(0.0, end - time.monotonic()))
    for each in (callers, *load.label_callers, sender):
        each.stop()
    callers.repeat_interrupted()
    settle(system)
    memory.stop()
    evidence = collect(system, load, windows)
    evidence.recovery_seconds = plan.recovery_seconds
    if plan.minutes:
        evidence.growths = growths(memory.samples)
        evidence.latency = latency(load.ledger.latencies, windows) if windows else None
    return evidence, load, rate


def drawn(plan: Plan) -> Iterator[Fault]:
    """Give faults in a drawn order, each once; in a run of some minutes again and again."""
    dice = random.Random(plan.seed)
    yield from dice.sample(plan.faults, len(plan.faults))
    while plan.minutes:
        yield from dice.sample(plan.faults, len(plan.faults))


def capacity(system: System, load: Load) -> float:
    """Return the payments a second from callers and stream to the desk, at full speed."""
    began = time.monotonic()
    callers = Callers(PaymentSeries(API, float("inf")), lambda: system.server.url, load.ledger)
    load.callers.append(callers)
    time.sleep(LIMIT_SECONDS)
    callers.stop()
    sender = StreamSender(PaymentSeries(STREAM, float("inf")), system.stream.settings,
                          limit=callers.sent)
    load.senders.append(sender)
    eventually(lambda: system.desk_count() >= load.count > callers.sent, PATIENCE)
    sender.stop()
    return load.count / (time.monotonic() - began)


def begin(system: System, load: Load, rate: float) -> tuple[Callers, StreamSender]:
    """Begin to send, half through the API and half through the stream."""
    callers = Callers(PaymentSeries(API, rate / 2), lambda: system.server.url, load.ledger)
    sender = StreamSender(PaymentSeries(STREAM, rate / 2), system.stream.settings)
    load.callers.append(callers)
    load.senders.append(sender)
    load.label_callers.append(LabelCaller(callers, lambda: system.server.url))
    return callers, sender


def inject(fault: Fault, scene: Scene, seconds: float) -> FaultWindow:
    """Inject a fault, wait for the recovery, and print both."""
    began = time.monotonic()
    print(f"{began - scene.callers.series.start:6.0f} s  {fault.name} ", end="", flush=True)
    problem = fault.inject(scene) or ""
    ended = time.monotonic()
    numbers = scene.callers.sent, scene.sender.sent
    eventually(lambda: has_recovered(scene, *numbers), seconds + 1)
    window = FaultWindow(fault.name, began, ended, time.monotonic(), problem)
    print(f"recovered after {window.seconds:.1f} s {problem}", flush=True)
    return window


def has_recovered(scene: Scene, api: int, stream: int) -> bool:
    """Return True if load is on time, and payments and a label after these numbers have arrived.

    Payments have arrived when the desk has them.
    """
    system, callers, sender = scene.system, scene.callers, scene.sender
    if max(callers.behind, sender.behind) > 1 or len(system.workers()) < WORKERS:
        return False
    ids = [callers.series.id(number) for number in range(api, api + PROBES)] + [
        sender.series.id(number) for number in range(stream, stream + PROBES)]
    label = sender.series.id(-(-stream // LABEL_EVERY) * LABEL_EVERY)
    return system.in_desk(ids) == len(ids) and system.has_recorded(label)


def settle(system: System) -> None:
    """Wait until desk and label recorder have received nothing for some time."""
    end, before, since = time.monotonic() + PATIENCE, (0, 0), time.monotonic()
    while time.monotonic() < min(end, since + SETTLE_SECONDS):
        time.sleep(0.5)
        now = system.desk_count(), system.label_bytes()
        if now != before:
            before, since = now, time.monotonic()
