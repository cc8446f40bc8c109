"""Decision lines, and the desk as a real process that is reached over HTTP."""

import re
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import requests

from fraud.bundle import Thresholds
from fraud.decision import Decision
from fraud.pseudonym import pseudonym
from fraud.reasons import Reason
from stream.broker import free_port
from tests.serve.running import environment
from tests.tools import ROOT

KEY = "key-of-tests"
NOW = int(time.time() * 1000)


def account(name: str) -> str:
    """The pseudonym of an account."""
    return pseudonym(KEY.encode(), name)


def decision(transaction_id: str = "t-1", **changes) -> Decision:
    """A reviewed transfer of 100.00 from C1 to C2."""
    return Decision(**{
        "decided_at": NOW, "transaction_id": transaction_id, "event_time": NOW,
        "type": "TRANSFER", "amount_cents": 100_00, "origin": account("C1"),
        "destination": account("C2"), "origin_balance_cents": 100_00,
        "destination_balance_cents": None, "history": "full", "unknown_windows": [], "late": False,
        "store_sequence": 1, "recording_since": 0, "counts": [0] * 48, "features": [0.5],
        "score": 0.5, "decision": "review", "idempotent": True, "model_digest": "m" * 64,
        "model_version": "1",
        "policy_digest": "p" * 64, "policy_version": "1.1",
        "thresholds": Thresholds(review=10.0, decline=0.9, review_by="loss"),
        "reasons": [Reason("amount", "Moves 100.00; a usual TRANSFER, 20.00", 2.5, {}, {})],
        **changes})


def write_log(path: Path, *decisions: Decision) -> Path:
    """Append decisions to a log."""
    with open(path, "ab") as log:
        log.writelines(msgspec.json.encode(each) + b"\n" for each in decisions)
    return path


def csrf_of(page: str) -> str:
    return re.search(r'name="csrf" value="([^"]+)"', page)[1]


def eventually(condition, seconds: float = 20):
    """Return the first true value of a condition."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it has not happened")


class DeskProcess:
    """The desk in a directory of its own: decisions.jsonl, labels.csv, desk.db."""

    def __init__(self, directory: Path, **settings: str):
        self.directory, self.port = directory, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / "desk.log"
        self.decisions = directory / "decisions.jsonl"
        self.labels = directory / "labels.csv"
        self.settings = {
            "FRAUD_DESK_DATABASE": f"sqlite:///{directory}/desk.db",
            "FRAUD_DESK_DECISIONS": str(self.decisions), "FRAUD_DESK_LABELS": str(self.labels),
            "FRAUD_DESK_UNDO_SECONDS": "0.2", "FRAUD_DESK_SAMPLE_SHARE": "0",
            "FRAUD_ACCOUNT_KEY": KEY, "FRAUD_MODEL": str(directory / "models"), **settings}
        self.start()
        self.password = re.search(r"password (\S+)", self.log.read_text())[1]

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "desk", "--port", str(self.port)], stderr=log,
                env=environment(PYTHONPATH=str(ROOT), **self.settings))
        eventually(self._is_ready, 60)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def add(self, name: str, role: str = "analyst") -> str:
        """Add a person by the command, and return the password."""
        out = subprocess.run([sys.executable, "-m", "desk.people", "add", name, "--role", role],
                             env=environment(PYTHONPATH=str(ROOT), **self.settings),
                             capture_output=True, text=True, check=True).stdout
        return out.split()[-1]

    def client(self, name: str = "admin", password: str = "") -> "Client":
        return Client(self.url, name, password or self.password)


class Client:
    """A signed-in person without a browser."""

    def __init__(self, url: str, name: str, password: str):
        self.url, self.session = url, requests.Session()
        page = self.session.post(f"{url}/sign-in", {"name": name, "password": password}, timeout=30)
        assert page.ok, page.text
        self.csrf = csrf_of(page.text)

    def get(self, path: str, **options) -> requests.Response:
        return self.session.get(self.url + path, timeout=60, **options)

    def post(self, path: str, **form) -> requests.Response:
        return self.session.post(self.url + path, {"csrf": self.csrf, **form}, timeout=60)

    def decide(self, case_id: int, outcome: str = "fraud", **form) -> requests.Response:
        return self.post(f"/cases/{case_id}/decide", outcome=outcome, **form)

    def case_ids(self, view: str = "reviews") -> list[int]:
        """The cases on the first page of a view."""
        page = self.get(f"/queue?view={view}").text
        return [int(text) for text in re.findall(r'<tr data-row>\s*<td><a href="/cases/(\d+)"',
                                                 page)]

    def wait_for_cases(self, count: int) -> list[int]:
        return eventually(lambda: (ids := self.case_ids()) and len(ids) == count and ids)
