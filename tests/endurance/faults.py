"""The faults of a run. Each is over when its call returns; what it broke recovers afterwards."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import NamedTuple

import psutil

from fraud.rules.rule_set import Condition, Rule
from fraud.training.registry import publication
from tests.endurance.callers import Callers, local_session
from tests.endurance.sender import StreamSender
from tests.endurance.system import System, eventually
from tests.serve.running import serving_versions

FOLLOW_SECONDS = 30         # for a server to follow a publication
DUPLICATES = 5              # payments that are sent on two connections at once


class Scene(NamedTuple):
    """The programs, the load and the dice that a fault may use."""

    system: System
    callers: Callers
    sender: StreamSender
    dice: random.Random
    longest_pause: float    # seconds

    def pause(self) -> None:
        time.sleep(self.dice.uniform(0.3, 1) * self.longest_pause)


@dataclass(frozen=True)
class Fault:
    """A fault by name. `inject` returns a sentence if the system has not done what it must."""

    name: str
    inject: Callable[[Scene], str | None]


def kill_worker(scene: Scene) -> None:
    scene.dice.choice(scene.system.workers()).kill()


def kill_scorer(scene: Scene) -> None:
    scene.system.scorer.process.kill()


def kill_recorder(scene: Scene) -> None:
    scene.system.recorder.process.kill()


def kill_desk(scene: Scene) -> None:
    scene.system.desk.process.kill()


def restart_redis(scene: Scene) -> None:
    scene.system.redis.kill()
    scene.system.redis.start()


def pause_redis(scene: Scene) -> None:
    stop_and_continue(scene, scene.system.redis.process.pid)


def restart_broker(scene: Scene) -> None:
    scene.system.broker.kill()
    scene.system.broker.start()


def move_broker(scene: Scene) -> None:
    scene.system.move_broker()


def pause_broker(scene: Scene) -> None:
    stop_and_continue(scene, scene.system.broker.process.pid)


def stop_and_continue(scene: Scene, pid: int) -> None:
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    scene.pause()
    process.send_signal(signal.SIGCONT)


def rotate_log(scene: Scene) -> None:
    log = scene.system.decision_log
    log.rename(log.with_name(f"{log.name}.{len([*log.parent.iterdir()])}"))


def fill_disk(scene: Scene) -> None:
    """Let the decision log grow no further for some seconds: RLIMIT_FSIZE of each worker.

    A write then fails as on a full disk, also in the middle of a line.
    """
    workers = scene.system.workers()
    limit = scene.system.decision_log.stat().st_size + scene.dice.randrange(5_000)
    for worker in workers:
        worker.rlimit(psutil.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    scene.pause()
    for worker in workers:
        worker.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def promote_and_roll_back(scene: Scene) -> str | None:
    for version in ("2", "1"):
        scene.system.promote(version)
        if not eventually(lambda version=version: serves(scene.system, version), FOLLOW_SECONDS):
            return f"the API does not follow the promotion of version {version}"
    return None


def serves(system: System, version: str) -> bool:
    """Return True if all workers of the API serve a version."""
    return serving_versions(system.server.get("/metrics").text) == {version}


def publish_rules(scene: Scene) -> str | None:
    system, amount = scene.system, scene.dice.randrange(100) / 100
    publisher = publication.RulePublisher(str(system.models), str(system.models), "key")
    rule = Rule("endurance", "review", "an endurance run", "ana",
                (Condition("amount", "==", amount),))
    rule_set = publisher.next_version(publisher.in_force(), "ana", "endurance", rules=(rule,))
    publisher.publish(rule_set)
    wanted = f"fraud_rules_version {rule_set.version}.0"
    if not eventually(lambda: wanted in system.server.get("/metrics").text, FOLLOW_SECONDS):
        return f"the API does not follow the rules of version {rule_set.version}"
    return None


def send_poison(scene: Scene) -> None:
    scene.sender.poison()


def send_twice(scene: Scene) -> None:
    """Send payments again, each on two connections at once, and one message of the stream."""
    newest = scene.callers.sent
    payments = [scene.callers.series.payment(number)
                for number in range(max(0, newest - DUPLICATES), newest)]

    def send_all() -> None:
        session = local_session()
        for payment in payments:
            scene.callers.send(session, payment)

    threads = [Thread(target=send_all) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scene.sender.send_twice()


def replace_server(scene: Scene) -> str | None:
    """Start another server, to which callers turn, and end the one before by SIGTERM."""
    before = scene.system.server
    scene.system.server = scene.system.start_server()
    code = before.stop()
    return f"the replaced server ended with exit code {code}" if code else None


FAULTS = (
    Fault("API worker killed", kill_worker),
    Fault("scorer killed", kill_scorer),
    Fault("label recorder killed", kill_recorder),
    Fault("desk killed", kill_desk),
    Fault("Redis killed and restarted", restart_redis),
    Fault("Redis paused", pause_redis),
    Fault("broker killed and restarted", restart_broker),
    Fault("broker moved to another port", move_broker),
    Fault("broker paused", pause_broker),
    Fault("decision log rotated", rotate_log),
    Fault("decision log on a full disk", fill_disk),
    Fault("model promoted and rolled back", promote_and_roll_back),
    Fault("rules published", publish_rules),
    Fault("broken messages", send_poison),
    Fault("payments sent twice", send_twice),
    Fault("server replaced", replace_server),
)
