"""The webhook as a process, with a real receiver that fails, is slow and goes away."""

import base64
import hmac
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
import requests

from stream import webhook
from stream.broker import free_port
from tests.fraud.training.registry.test_backtest import decision
from tests.stream.running import environment, eventually

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class WebhookReceiver(ThreadingHTTPServer):
    """Verifies signatures, keeps the subjects that it accepted, and answers as it is told.

    `answers` has the status of the coming requests; 0 hangs up without an answer, -1 never ends
    its answer. Later requests get 200.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int = 0):
        super().__init__(("127.0.0.1", port), Received)
        self.answers: list[int] = []
        self.accepted: list[str] = []
        self.requests: list[dict[str, str]] = []
        self.refuses: set[str] = set()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?team=fraud"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request, client_address):
        self._connections.append(request)
        super().process_request(request, client_address)


class Received(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def do_POST(self):
        server = self.server
        body = self.rfile.read(int(self.headers["content-length"]))
        head = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}."
        signed = head.encode() + body
        expected = base64.b64encode(hmac.new(KEY, signed, sha256).digest()).decode()
        assert self.headers["webhook-signature"] == f"v1,{expected}"
        assert abs(time.time() - int(self.headers["webhook-timestamp"])) < 30
        assert self.path == "/hook?team=fraud"
        server.requests.append(dict(self.headers))
        subject = msgspec.json.decode(body)["subject"]
        status = server.answers.pop(0) if server.answers else 200
        if status == 200 and subject in server.refuses:
            status = 422
        if status <= 0:
            return self._misbehave(status)
        if status == 200:
            server.accepted.append(subject)
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def _misbehave(self, status: int) -> None:
        self.close_connection = True
        try:
            while status == -1:         # a byte now and then keeps a timeout of reads away
                self.wfile.write(b"H")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    def log_message(self, *arguments):
        pass


@pytest.fixture
def receiver():
    receiver = WebhookReceiver()
    yield receiver
    receiver.stop()


class WebhookProcess:
    """The program, with a log and a queue in a directory."""

    def __init__(self, directory: Path, url: str, *arguments: str, **settings: str):
        self.port = free_port()
        self.log = directory / "decisions.jsonl"
        self.stderr = open(directory / "webhook.log", "ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "stream.webhook", *arguments], stderr=self.stderr,
            env=environment(**{
                "FRAUD_DECISION_LOG": str(self.log), "FRAUD_WEBHOOK_URL": url,
                "FRAUD_WEBHOOK_SECRET": SECRET, "FRAUD_WEBHOOK_BACKOFF_SECONDS": "0.1",
                "FRAUD_WEBHOOK_QUEUE": str(directory / "webhook.db"),
                "FRAUD_WEBHOOK_METRICS_PORT": str(self.port), **settings}))

    def metric(self, name: str) -> float:
        try:
            text = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        except requests.ConnectionError:
            return -1.0
        return sum(float(line.split()[-1]) for line in text.splitlines()
                   if line.startswith(f"fraud_webhook_{name}"))

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        self.stderr.close()
        return code


@pytest.fixture
def start(tmp_path, receiver):
    """Starts webhooks, and stops them after the test."""
    processes = []

    def start(*arguments: str, url: str = receiver.url, **settings: str) -> WebhookProcess:
        processes.append(WebhookProcess(tmp_path, url, *arguments, **settings))
        return processes[-1]

    yield start
    for process in processes:
        process.process.kill()
        process.process.wait()
        process.stderr.close()


@pytest.fixture
def write(tmp_path):
    """Appends decisions of some names to the log, each name a decline after an approval."""
    def write(*names: str, made: str = "decline") -> None:
        lines = [line for name in names for line in (
            decision(f"{name}-approved", 1.0), decision(name, 9.0, made))]
        with open(tmp_path / "decisions.jsonl", "ab") as log:
            log.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    return write


def test_reviews_and_declines_arrive_in_order_and_signed(start, receiver, write, tmp_path):
    process = start()
    write("a", "b")
    write("c", made="review")
    eventually(lambda: receiver.accepted == ["a", "b", "c"])
    assert receiver.requests[0]["Content-Type"].startswith("application/cloudevents+json")
    eventually(lambda: process.metric("delivered_total") == 3)
    assert process.stop() == 0
    assert "team=fraud" not in (tmp_path / "webhook.log").read_text()   # it may be a token


def test_attempts_are_repeated_until_the_receiver_accepts(start, receiver, write):
    receiver.answers = [500, 503, 429, 401, 404, 302, 0, 0]
    write("a", "b")
    process = start()
    eventually(lambda: receiver.accepted == ["a", "b"])
    ids = [request["webhook-id"] for request in receiver.requests]
    assert len(ids) == 10 and len(set(ids[:9])) == 1
    assert process.metric("failures_total") == 8


def test_a_receiver_that_trickles_is_left_after_its_time(start, receiver, write):
    receiver.answers = [-1, -1]
    write("a")
    start(FRAUD_WEBHOOK_SECONDS="0.5")
    began = time.monotonic()
    eventually(lambda: receiver.accepted == ["a"])
    assert time.monotonic() - began < 15


def test_events_wait_while_the_receiver_is_away(start, write):
    first = WebhookReceiver()
    process = start(url=first.url)
    write("a")
    eventually(lambda: first.accepted == ["a"])
    first.stop()
    write("b", "c")
    eventually(lambda: process.metric("queue_events") == 2)
    again = WebhookReceiver(first.server_port)
    eventually(lambda: again.accepted[-2:] == ["b", "c"])
    assert process.stop() == 0
    again.stop()


def test_a_killed_webhook_goes_on_where_it_stopped(start, receiver, write):
    names = [f"t-{number}" for number in range(200)]
    for part in range(4):
        write(*names[part * 50:part * 50 + 50])
        seen = len(receiver.accepted)
        process = start()
        eventually(lambda seen=seen: len(receiver.accepted) >= seen + 20)
        os.kill(process.process.pid, signal.SIGKILL)
        process.process.wait()
    process = start()
    eventually(lambda: set(receiver.accepted) == set(names))
    eventually(lambda: process.metric("delivered") >= 0)        # all may be done before it starts
    assert process.stop() == 0
    assert list(dict.fromkeys(receiver.accepted)) == names      # in order, none left out
    assert len(receiver.accepted) - len(names) <= 4             # repeats: at most one a kill


def test_a_refused_event_is_set_aside_and_sent_again_on_demand(start, receiver, write):
    receiver.refuses = {"b"}
    write("a", "b", "c")
    process = start()
    eventually(lambda: receiver.accepted == ["a", "c"])
    assert process.metric("refused_total") == 1
    process.stop()
    receiver.refuses = set()
    start("--retry-refused")
    eventually(lambda: receiver.accepted == ["a", "c", "b"])


def test_a_full_queue_leaves_the_rest_in_the_log(start, receiver, write):
    receiver.answers = [500] * 1_000_000
    process = start(FRAUD_WEBHOOK_QUEUE_EVENTS="5")
    write(*(f"t-{number}" for number in range(5)))
    eventually(lambda: process.metric("queue_events") == 5)
    write("t-5", "t-6")
    eventually(lambda: process.metric("unread_bytes") > 0)
    assert process.metric("queue_events") == 5
    receiver.answers = []
    eventually(lambda: receiver.accepted == [f"t-{number}" for number in range(7)])


def test_a_line_that_is_no_decision_is_skipped(start, receiver, write, tmp_path):
    write("a")
    with open(tmp_path / "decisions.jsonl", "ab") as log:
        log.write(b'{"decided_at":17\n')
    write("b")
    process = start()
    eventually(lambda: receiver.accepted == ["a", "b"])
    assert process.metric("skipped_lines_total") == 1


@pytest.mark.parametrize(("settings", "message"), [
    ({"FRAUD_DECISION_LOG": "-"}, "FRAUD_DECISION_LOG is '-'"),
    ({"FRAUD_WEBHOOK_URL": "ftp://here"}, "FRAUD_WEBHOOK_URL is 'ftp://here'"),
    ({"FRAUD_WEBHOOK_URL": "http://here:port"}, "FRAUD_WEBHOOK_URL is"),
    ({"FRAUD_WEBHOOK_SECRET": "secret"}, "FRAUD_WEBHOOK_SECRET: secret 1 is not"),
    ({"FRAUD_WEBHOOK_QUEUE": "/proc/queue"}, "FRAUD_WEBHOOK_QUEUE is '/proc/queue'"),
    ({"FRAUD_WEBHOOK_QUEUE_EVENTS": "0"}, "FRAUD_WEBHOOK_QUEUE_EVENTS is '0'")])
def test_a_setting_that_cannot_be_used_is_one_line(start, tmp_path, settings, message):
    process = start(**settings)
    assert process.process.wait(30) == 2
    error = (tmp_path / "webhook.log").read_text()
    assert error.startswith(f"error: {message}") and error.count("\n") == 1


def test_a_new_secret_can_be_used(capsys):
    webhook.main(["--new-secret"])
    assert len(webhook.read_secrets("SECRET", capsys.readouterr().out.strip())[0]) == 32
