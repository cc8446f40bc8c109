"""Measure the desk: intake, pages of a long queue, and analysts who work while it is killed.

    python -m bench.desk [--open 100000 --analysts 20 --decisions 600 --kills 20]

The desk runs on one core, with SQLite. Analysts are simulated browsers that take a case, read it
for four seconds and decide it. Afterwards each case must have been decided once, and the file of
labels must hold each label once. CPU time is that of the desk: on a shared machine, it says more
than the time of a page.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import psutil
import requests

from desk import people
from desk.database import Database
from desk.intake import Intake
from desk.settings import read_desk_settings
from fraud.bundle import Thresholds
from fraud.clock import now_ms
from fraud.decision import Decision
from fraud.reasons import Reason
from fraud.windows import COUNT_NAMES

THINK_SECONDS = 4.0
OTHERS = 1              # payments in the log for each review
PAGES = 20              # of each kind that are timed
PORT = 8199
REASONS = [Reason("amount", "Moves 100.00; a usual TRANSFER, 20.00", 2.5, {"amount": 100.0},
                  {"amount": 20.0})] * 3


def write_log(path: Path, reviews: int) -> int:
    """Write a decision log with a number of reviews, and return its number of lines."""
    chance, now, lines = random.Random(7), now_ms(), reviews * (1 + OTHERS)
    accounts = [f"{chance.getrandbits(128):032x}" for _ in range(max(lines // 5, 10))]
    thresholds = Thresholds(review=1_000.0, decline=0.9, review_by="loss")
    with open(path, "wb") as log:
        for index in range(lines):
            is_review = index % (1 + OTHERS) == 0
            decision = Decision(
                decided_at=now - (lines - index) * 200, transaction_id=f"t-{index}",
                event_time=now - (lines - index) * 200, type="TRANSFER",
                amount_cents=round(chance.lognormvariate(11, 1.5)),
                origin=chance.choice(accounts), destination=chance.choice(accounts),
                origin_balance_cents=100_000, destination_balance_cents=None, history="full",
                unknown_windows=[], late=False, store_sequence=index, recording_since=0,
                counts=[0] * len(COUNT_NAMES),
                features=[0.5] * 30, score=chance.random(),
                decision="review" if is_review else "approve",
                reasons=REASONS if is_review else [], idempotent=True, model_digest="m" * 64,
                model_version="1", policy_digest="p" * 64, policy_version="1",
                thresholds=thresholds)
            log.write(msgspec.json.encode(decision) + b"\n")
    return lines


class BenchDesk:
    """The desk as a process on one core, that can be killed and started again."""

    def __init__(self, environment: dict[str, str]):
        self.environment = environment
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "desk", "--port", str(PORT)], env=self.environment,
            stderr=subprocess.DEVNULL)
        psutil.Process(self.process.pid).cpu_affinity([0])
        while True:
            try:
                if requests.get(f"http://127.0.0.1:{PORT}/readyz", timeout=5).ok:
                    return
            except requests.RequestException:
                time.sleep(0.05)

    def cpu_seconds(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Analyst(threading.Thread):
    """A simulated browser that decides cases until enough are decided."""

    def __init__(self, name: str, password: str, left: threading.Semaphore):
        super().__init__()
        self.seconds: list[float] = []
        self._session, self._left = requests.Session(), left
        self._name, self._password, self._csrf = name, password, ""

    def run(self) -> None:
        page = self._send("/sign-in", timed=False, name=self._name, password=self._password)
        [self._csrf] = set(re.findall(r'name="csrf" value="([^"]+)"', page.text))
        while self._left.acquire(blocking=False):
            page = self._send("/next")
            match = re.search(r"/cases/(\d+)", page.url)
            if not match:
                return
            time.sleep(THINK_SECONDS)
            self._send(f"/cases/{match[1]}/decide",
                       outcome=random.choice(("fraud", "legitimate")), note="seen")

    def _send(self, path: str, timed: bool = True, **form: str) -> requests.Response:
        """Send a form until there is an answer, as a person does who reloads."""
        while True:
            started = time.perf_counter()
            try:
                answer = self._session.post(f"http://127.0.0.1:{PORT}{path}",
                                            {"csrf": self._csrf, **form}, timeout=30)
            except requests.RequestException:
                time.sleep(0.1)
                continue
            if timed:
                self.seconds.append(time.perf_counter() - started)
            return answer


def time_pages(desk: BenchDesk, name: str, password: str) -> None:
    """Print the times of pages, one after the other."""
    session = requests.Session()
    session.post(f"http://127.0.0.1:{PORT}/sign-in", {"name": name, "password": password},
                 timeout=60)
    for path in ("/queue", "/queue?least=1000&most=1001", "/queue?rule=nothing", "/cases/1",
                 "/look"):
        seconds, before = [], desk.cpu_seconds()
        for _ in range(PAGES):
            started = time.perf_counter()
            assert session.get(f"http://127.0.0.1:{PORT}{path}", timeout=60).ok
            seconds.append(time.perf_counter() - started)
        cpu = (desk.cpu_seconds() - before) / PAGES
        print(f"| `{path}`: median, p95, CPU | {percentile(seconds, 50)}, "
              f"{percentile(seconds, 95)}, {1_000 * cpu:.0f} ms |", flush=True)


def percentile(seconds: list[float], share: int) -> str:
    """Return a percentile in milliseconds."""
    return f"{1_000 * float(np.percentile(seconds, share)):.0f} ms"


def check(database: Database, labels: Path) -> str:
    """Return the number of decisions; raises unless each is once in the trail and in the file."""
    with database.reading() as session:
        decided = Counter(row[0] for row in session.connection().exec_driver_sql(
            "SELECT case_id FROM trail WHERE action = 'decided'"))
        expected = {tuple(row) for row in session.connection().exec_driver_sql(
            "SELECT transaction_id, CASE outcome WHEN 'fraud' THEN '1' ELSE '0' END "
            "FROM cases WHERE status = 'closed'")}
    with open(labels, newline="") as file:
        written = [(row["transaction_id"], row["is_fraud"]) for row in csv.DictReader(file)]
    assert max(decided.values()) == 1, "a case was decided twice"
    assert len(decided) == len(expected), "a decision is missing in the trail"
    assert len(written) == len(set(written)), "a label is twice in the file"
    assert set(written) == expected, "labels differ from decisions"
    return f"{len(decided):,} decisions, each once; {len(written):,} labels, each once"


def _options() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m bench.desk", description=__doc__,
                                      formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--open", type=int, default=100_000, help="open cases")
    options.add_argument("--analysts", type=int, default=20)
    options.add_argument("--decisions", type=int, default=600)
    options.add_argument("--kills", type=int, default=20)
    return options.parse_args()


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        variables = {
            "FRAUD_DESK_DATABASE": f"sqlite:///{directory}/desk.db",
            "FRAUD_DESK_DECISIONS": str(directory / "decisions.jsonl"),
            "FRAUD_DESK_LABELS": str(directory / "labels.csv"), "FRAUD_DESK_UNDO_SECONDS": "1",
            "FRAUD_MODEL": str(directory), "FRAUD_DESK_TAKEN_MINUTES": "60"}
        settings = read_desk_settings(variables)
        lines = write_log(directory / "decisions.jsonl", options.open)
        database = Database(settings.desk_database)
        database.migrate()
        started, cpu = time.perf_counter(), time.process_time()
        Intake(settings, database).read()
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        print("| | |\n| --- | ---: |")
        print(f"| lines of a decision log a second, and a second of CPU | {lines / seconds:,.0f}, "
              f"{lines / cpu:,.0f} |", flush=True)
        with database.writing() as session:
            passwords = {f"p{number}": people.add(session, f"p{number}", "lead", "bench")
                         for number in range(options.analysts)}
        desk = BenchDesk({**os.environ, **variables})
        try:
            time_pages(desk, "p0", passwords["p0"])
            work(desk, options, passwords)
            time.sleep(3)               # the last labels leave
            print(f"| afterwards | {check(database, directory / 'labels.csv')} |")
        finally:
            desk.kill()


def work(desk: BenchDesk, options: argparse.Namespace, passwords: dict[str, str]) -> None:
    """Let analysts decide, and kill the desk meanwhile."""
    left = threading.Semaphore(options.decisions)
    analysts = [Analyst(name, password, left) for name, password in passwords.items()]
    before = desk.cpu_seconds()
    for analyst in analysts:
        analyst.start()
    pause = options.decisions / options.analysts * THINK_SECONDS / (options.kills + 1)
    for _ in range(options.kills):
        time.sleep(pause)
        desk.kill()
        desk.start()
    for analyst in analysts:
        analyst.join()
    seconds = [each for analyst in analysts for each in analyst.seconds]
    print(f"| an action and the page after it, {options.analysts} analysts, {options.kills} kills: "
          f"median, p95 | {percentile(seconds, 50)}, {percentile(seconds, 95)} |")
    if not options.kills:       # a killed process takes its times along
        print(f"| CPU of an action and the page after it | "
              f"{1_000 * (desk.cpu_seconds() - before) / len(seconds):.0f} ms |")


if __name__ == "__main__":
    main()
