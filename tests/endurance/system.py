"""The programs of a run, as processes: started, started again when they end, and stopped."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from threading import Event, Thread

import msgspec
import psutil

from fraud import bundle
from fraud.training.registry import bundle_writer, publication
from fraud.training.registry.lineage import Lineage
from stream.broker import Broker, free_port
from tests.conftest import linear_candidate
from tests.desk.running import DeskProcess
from tests.endurance.payments import ACCOUNT_KEY
from tests.redis_server import RedisServer
from tests.serve.running import Server
from tests.stream.running import Stream

WORKERS = 2
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
DEADLINE_MS = 200           # of the store: each write waits for the disk, on a busy machine
INTERCEPT = -15.0           # the logit of an amount of 15.00 is 0: most payments are approved
NAME = "fraud-detector"
RECENT_BYTES = 1 << 20      # of the label log


class System:
    """Redis, Kafka, API, scorer, label recorder and desk in a folder.

    Programs that end are started again, as an orchestrator does.

    Args:
        session_ms: FRAUD_SESSION_MS, after which a scorer takes over from a killed one.
    """

    def __init__(self, folder: Path, session_ms: int):
        self.folder, self.models = folder, folder / "models"
        self.ended: list[str] = []          # programs that ended without being killed
        self.ports = [free_port(), free_port()]
        self._servers = 0
        self._programs = ExitStack()
        try:
            self._start(session_ms)
        except BaseException:
            self._programs.close()
            raise
        self._stop = Event()
        self._supervisor = Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def _start(self, session_ms: int) -> None:
        folder = self.folder
        for version in ("1", "2"):
            write_bundle(folder / version, version)
        self.promote("1")
        (folder / "redis").mkdir()
        self.redis = RedisServer(folder / "redis", *DURABLE)
        self._programs.callback(lambda: self.redis.kill())
        self.broker = Broker(folder / "kafka", self.ports[0])
        self._programs.callback(lambda: self.broker.kill())
        (folder / "stream").mkdir()
        self.settings = {
            "FRAUD_HISTORY": self.redis.url, "FRAUD_HISTORY_DEADLINE_MS": str(DEADLINE_MS),
            "FRAUD_MODEL": str(self.models), "FRAUD_ACCOUNT_KEY": ACCOUNT_KEY}
        self.stream = Stream(",".join(f"127.0.0.1:{port}" for port in self.ports),
                             folder / "stream", **self.settings,
                             FRAUD_CLOCK="wall", FRAUD_SESSION_MS=str(session_ms))
        self._programs.callback(self.stream.close)
        self.decision_log = folder / "decisions" / "api.jsonl"
        self.decision_log.parent.mkdir()
        self.server = self.start_server()
        self._programs.callback(lambda: self.server.stop())
        (folder / "desk").mkdir()
        self.desk = DeskProcess(
            folder / "desk", **self.settings,
            KAFKA_BOOTSTRAP_SERVERS=self.stream.variables["KAFKA_BOOTSTRAP_SERVERS"],
            FRAUD_DESK_DECISIONS=f"{self.decision_log},"
                                 f"kafka:{self.stream.settings.topic_decision_log}")
        self._programs.callback(lambda: self.desk.kill())
        self.scorer, self.recorder = self._start_scorer(), self.stream.recorder()

    def start_server(self) -> Server:
        """Start an API server on another port, and return it when it is ready."""
        self._servers += 1
        folder = self.folder / f"server-{self._servers}"
        folder.mkdir()
        return Server(folder, "--workers", str(WORKERS), **self.settings,
                      FRAUD_DECISION_LOG=str(self.decision_log))

    def _start_scorer(self):
        return self.stream.scorer(FRAUD_STREAM_INSTANCE="scorer-1")

    def promote(self, version: str) -> None:
        """Publish a version of the model as the champion."""
        publication.publish(self.folder / version, NAME, str(self.models))

    def move_broker(self) -> None:
        """Stop the broker, and start it with its data on the other port."""
        self.broker.stop()
        self.ports.reverse()
        self.broker = Broker(self.folder / "kafka", self.ports[0])

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes of the API: those that listen."""
        return [child for child in psutil.Process(self.server.process.pid).children()
                if listens(child, self.server.port)]

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the processes whose memory is watched, by program."""
        pids = {"scorer": self.scorer.process.pid, "label recorder": self.recorder.process.pid,
                "desk": self.desk.process.pid}
        return {"API worker": self.workers(),
                **{name: [psutil.Process(pid)] for name, pid in pids.items()}}

    def in_desk(self, ids: list[str]) -> int:
        """Return the number of these payments that the desk has."""
        return self.ask_desk(f"SELECT count(*) FROM payments WHERE transaction_id IN "
                             f"({','.join('?' * len(ids))})", *ids)[0][0]

    def desk_count(self) -> int:
        """Return the number of payments that the desk has."""
        return self.ask_desk("SELECT count(*) FROM payments")[0][0]

    @property
    def _label_log(self) -> Path:
        return self.folder / "stream" / "labels.jsonl"

    def label_bytes(self) -> int:
        """Return the length of the label log of the recorder."""
        return self._label_log.stat().st_size if self._label_log.exists() else 0

    def has_recorded(self, transaction_id: str) -> bool:
        """Return True if the recorder has logged the label of a payment, not long ago."""
        if not self._label_log.exists():
            return False
        with open(self._label_log, "rb") as log:
            log.seek(max(0, self.label_bytes() - RECENT_BYTES))
            return f'"{transaction_id}"'.encode() in log.read()

    def ask_desk(self, query: str, *values: str) -> list[tuple]:
        """Return the rows of a query to the desk's database."""
        with closing(sqlite3.connect(f"file:{self.desk.directory}/desk.db?mode=ro", uri=True,
                                     timeout=60)) as connection:
            return connection.execute(query, values).fetchall()

    def _supervise(self) -> None:
        while not self._stop.wait(0.2):
            if self._has_ended("scorer", self.scorer.process):
                self.scorer = self._start_scorer()
            if self._has_ended("label recorder", self.recorder.process):
                self.recorder = self.stream.recorder()
            if self._has_ended("desk", self.desk.process):
                with suppress(AssertionError):
                    self.desk.start()
            if self._has_ended("API", self.server.process):
                self.server = self.start_server()

    def _has_ended(self, name: str, process: Popen) -> bool:
        code = process.poll()
        if code is not None and code != -signal.SIGKILL:
            self.ended.append(f"the {name} ended by itself with exit code {code}")
        return code is not None

    def stop(self) -> None:
        """Stop all programs."""
        self._stop.set()
        self._supervisor.join()
        self._programs.close()


def write_bundle(folder: Path, version: str) -> None:
    """Write a bundle of linear models, of which most payments are approved."""
    (files := folder.with_name(f"files-{version}")).mkdir()
    candidate = linear_candidate(files)
    calibration = bundle.Calibration(1.0, INTERCEPT)
    model, fallback = (replace(variant, manifest=msgspec.structs.replace(
        variant.manifest, calibration=calibration))
        for variant in (candidate.model, candidate.fallback))
    bundle_writer.write(replace(candidate, model=model, fallback=fallback), Lineage(
        "d" * 64, "c" * 40, "TrainFlow/7", version=version), folder)


def listens(process: psutil.Process, port: int) -> bool:
    with suppress(psutil.Error):
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port
                   for each in process.net_connections("tcp"))
    return False


def eventually(holds: Callable[[], object], seconds: float) -> bool:
    """Wait until a condition holds; return False if it does not within some seconds."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.25)
    return True
