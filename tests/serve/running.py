"""Runs the server as a user would: a real process, reached over HTTP."""

import os
import re
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import requests

from stream.broker import free_port
from tests.tools import ROOT

KEY = "a-key-for-tests"
HASH = sha256(KEY.encode()).hexdigest()


def payment(transaction_id: str = "t-1", **changes) -> dict:
    """A payment that the linear bundle of the tests declines: its logit is the amount."""
    return {"transaction_id": transaction_id, "event_time": 1_704_103_200_000, "type": "TRANSFER",
            "amount": 9.0, "origin": "C1", "destination": "C2", "origin_balance": 9.0,
            "destination_balance": 0.0, **changes}


def environment(**settings: str) -> dict[str, str]:
    """This environment without settings of its own, and those given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
    return {**kept, **settings}


class Server:
    """A server process in a directory of its own, which holds its logs."""

    def __init__(self, directory: Path, *arguments: str, **settings: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.decisions, self.log = directory / "decisions.jsonl", directory / "server.log"
        self.labels = directory / "labels.jsonl"
        with open(self.decisions, "wb") as decisions, open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serve", "--port", str(self.port), *arguments],
                cwd=ROOT, stdout=decisions, stderr=log,
                env=environment(**{
                    "FRAUD_LABEL_LOG": str(self.labels), "FRAUD_ACCOUNT_KEY": "key", **settings}))
        self.session = requests.Session()
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                return self.get("/readyz").raise_for_status()
            except requests.ConnectionError:
                time.sleep(0.05)
        raise RuntimeError(f"the server is not ready: {self.log.read_text()}")

    def get(self, path: str, **options) -> requests.Response:
        return self.session.get(self.url + path, timeout=30, **options)

    def post(self, path: str, body=None, **options) -> requests.Response:
        return self.session.post(self.url + path, json=body, timeout=30, **options)

    def score(self, *arguments, **changes) -> requests.Response:
        return self.post("/v1/score", payment(*arguments, **changes))

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def serving_versions(metrics: str) -> set[str]:
    """Versions of the models that metrics say to serve."""
    return set(re.findall(r'fraud_model_info\{.*model_version="(\d+)".*\} 1\.0', metrics))


def wait_for(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
