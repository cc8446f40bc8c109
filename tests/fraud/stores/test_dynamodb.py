"""The parts of the contract that are special to DynamoDB, on moto's server. It has no real
contention: tests let another writer interfere between two steps of a claim.
"""

import socket
import ssl
import subprocess
import time
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import botocore.session
import pytest
import requests

from fraud.history import AlreadyAnswered, Claim, StoreUnavailable, counts_array
from fraud.stores.dynamodb import IDLE_SECONDS, RETRIES
from fraud.stores.dynamodb_items import ACCOUNT_TTL_MS, account_key, id_key
from tests import factories
from tests.factories import NOON

payment = partial(factories.payment, amount_cents=100)


def claim(store, name: str) -> Claim | AlreadyAnswered:
    return store.claim([payment(name)], NOON)[0]


def sent_before(result: Claim) -> int:
    return int(counts_array([result])[2, 0])


def interfere(monkeypatch, store, work, times: int):
    """Do some work after each of the first reads of a store."""
    read, pending = store._read, [work] * times

    def reading(keys):
        items = read(keys)
        if pending:
            pending.pop()()
        return items

    monkeypatch.setattr(store, "_read", reading)


@pytest.fixture
def stores(opened, dynamodb_url):
    """Two stores on one table, which have begun to record."""
    stores = opened(dynamodb_url), opened(dynamodb_url)
    for index, store in enumerate(stores):
        claim(store, f"begin{index}")
    return stores


def test_a_claim_sees_payments_that_were_counted_during_it(monkeypatch, stores):
    store, other = stores
    names = iter("xyz")
    interfere(monkeypatch, store, lambda: claim(other, next(names)), RETRIES)
    assert sent_before(claim(store, "a")) == 2 + RETRIES
    assert sent_before(claim(other, "b")) == 3 + RETRIES


def test_after_three_retries_a_claim_fails_and_has_counted_nothing(monkeypatch, stores):
    assert RETRIES == 3
    store, other = stores
    names = iter("wxyz")
    interfere(monkeypatch, store, lambda: claim(other, next(names)), RETRIES + 1)
    with pytest.raises(StoreUnavailable, match="changing the same accounts"):
        claim(store, "a")
    assert sent_before(claim(other, "b")) == 3 + RETRIES
    assert sent_before(claim(store, "a")) == 4 + RETRIES


def test_a_payment_claimed_by_another_during_its_claim_gets_the_same_claim(monkeypatch, stores):
    store, other = stores
    results = []
    interfere(monkeypatch, store, lambda: results.append(claim(other, "a")), 1)
    assert [claim(store, "a")] == results
    assert sent_before(claim(store, "b")) == 3


def test_an_answer_of_another_stays(monkeypatch, stores):
    store, other = stores
    claims = store.claim([payment("a"), payment("b")], NOON)
    other.finish(claims[1:], [b"first"])
    assert store.finish(claims, [b"second", b"second"]) == [b"second", b"first"]


def test_an_answer_without_its_claim_is_not_kept(stores):
    store, other = stores
    [first] = store.claim([payment("a")], NOON)
    store._client.delete_item(TableName=store._table, Key={"pk": {"S": id_key("a")}})
    assert store.finish([first], [b"late"]) == [b"late"] and store.answer("a") is None
    [second] = other.claim([payment("a", amount_cents=5)], NOON)
    other.finish([second], [b"first"])
    assert store.finish([first], [b"late"]) == [b"late"] and store.answer("a") == b"first"


def test_recording_begins_once_for_concurrent_stores(monkeypatch, opened, dynamodb_url):
    store, other = opened(dynamodb_url), opened(dynamodb_url)
    interfere(monkeypatch, store, lambda: other.claim([payment("x")], NOON - 5), 1)
    assert claim(store, "a").recording_since == NOON - 5


def test_ids_and_accounts_expire(opened, dynamodb_url):
    claim(opened(dynamodb_url, idempotency_hours=2.0), "a")
    items = botocore.session.get_session().create_client("dynamodb").scan(
        TableName=dynamodb_url.removeprefix("dynamodb://"))["Items"]
    seconds_left = {item["pk"]["S"]: int(item["expires"]["N"]) - time.time()
                    for item in items if "expires" in item}
    assert set(seconds_left) == {
        id_key("a"), account_key("C1"), account_key("C2")}
    assert 7200 - 60 < seconds_left[id_key("a")] <= 7200
    assert ACCOUNT_TTL_MS / 1000 - 60 < seconds_left[account_key("C1")] <= ACCOUNT_TTL_MS / 1000


def test_a_missing_table_is_named(dynamodb_url, opened):
    store = opened("dynamodb://nowhere")
    for work in (lambda: claim(store, "a"), lambda: store.answer("a"),
                 lambda: store.fill([], 0, 0)):
        with pytest.raises(StoreUnavailable, match="DynamoDB table nowhere: .*not found"):
            work()


def test_a_service_that_hangs_makes_the_store_unavailable(dynamodb_url, monkeypatch, opened):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = opened(dynamodb_url, history_deadline_ms=50.0)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="1000 ms|[Tt]imeout|timed out"):
            claim(store, "a")
        assert time.monotonic() - began < 5


# Connections: each behind TLS, whose handshake takes longer than a claim may.

HANDSHAKE_SECONDS, CALL_SECONDS, DEADLINE_MS = 0.5, 0.008, 400.0


class TlsProxy(ThreadingHTTPServer):
    """A server before moto's, as far away as DynamoDB can be; its connections can die."""

    daemon_threads = True

    def __init__(self, target: str, directory: Path):
        key, self.certificate = str(directory / "key"), str(directory / "certificate")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                        "-out", self.certificate, "-subj", "/CN=127.0.0.1",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.target, self.death, self.handshakes = target, "", 0
        self.dead: set[TlsProxyHandler] = set()
        self.alive: set[TlsProxyHandler] = set()
        super().__init__(("127.0.0.1", 0), TlsProxyHandler)
        self.url = f"https://127.0.0.1:{self.server_port}"

    def kill_connections(self, death: str) -> None:
        """Make connections of now end without an answer (`closed`), or never answer (`silent`)."""
        self.death, self.dead = death, set(self.alive)


class TlsProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        time.sleep(HANDSHAKE_SECONDS)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.server.handshakes += 1
        self.server.alive.add(self)
        super().setup()

    def finish(self):
        super().finish()
        self.request.close()        # the server closes the socket beneath TLS

    def do_POST(self):
        if self in self.server.dead:
            self.close_connection = True
            return time.sleep(60) if self.server.death == "silent" else None
        time.sleep(CALL_SECONDS)
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = requests.post(self.server.target + self.path, body, headers=dict(self.headers))
        self.send_response(answer.status_code)
        for name in ("content-type", "x-amz-crc32"):
            if name in answer.headers:
                self.send_header(name, answer.headers[name])
        self.send_header("content-length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def proxy(dynamodb_url, moto, tmp_path, monkeypatch):
    with TlsProxy(moto, tmp_path) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        monkeypatch.setenv("AWS_CA_BUNDLE", proxy.certificate)
        yield proxy
        proxy.shutdown()


def test_the_first_claims_after_a_cold_start_wait_for_the_connection(proxy, opened, dynamodb_url):
    store = opened(dynamodb_url, history_deadline_ms=DEADLINE_MS)
    for number in range(20):
        result = claim(store, f"{number}")
        assert sent_before(result) == number
        store.finish([result], [b"yes"])
    assert proxy.handshakes < 5


@pytest.mark.parametrize("death", ["closed", "silent"])
def test_connections_that_died_while_idle_are_replaced(
        proxy, opened, dynamodb_url, monkeypatch, death):
    store = opened(dynamodb_url, history_deadline_ms=DEADLINE_MS)
    claim(store, "before")
    proxy.kill_connections(death)
    frozen = time.time() + IDLE_SECONDS
    monkeypatch.setattr("fraud.stores.dynamodb.time", SimpleNamespace(
        time=lambda: frozen, monotonic=time.monotonic, sleep=time.sleep))
    assert sent_before(claim(store, "after")) == 1


def test_a_connection_that_the_service_closed_is_replaced_within_the_deadline(
        proxy, opened, dynamodb_url):
    store = opened(dynamodb_url)
    first = claim(store, "before")
    proxy.kill_connections("closed")
    assert store.finish([first], [b"yes"]) == [b"yes"]
    assert sent_before(claim(store, "after")) == 1
