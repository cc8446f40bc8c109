import socket
import subprocess
from functools import partial
from threading import Event, Thread
from time import monotonic, sleep

import pytest
import redis

from fraud.history import StoreUnavailable
from fraud.stores.redis_connection import InFlight
from fraud.stores.script_functions import PREFIX
from stream.broker import free_port
from tests import factories
from tests.factories import NOON

HANG = 30.0         # seconds of a lookup that no test waits for
payment = partial(factories.payment, amount_cents=100)


def claim(store, name: str):
    return store.claim([payment(name)], NOON)[0]


def claim_until_done(store, name: str):
    end = monotonic() + 20
    while True:
        try:
            return claim(store, name)
        except StoreUnavailable:
            assert monotonic() < end


class Dns:
    """Answers for the name `redis.test`, or does not."""

    def __init__(self):
        self.address, self.answers, self.lookups = "127.0.0.1", Event(), 0
        self.answers.set()
        self._getaddrinfo = socket.getaddrinfo

    def getaddrinfo(self, host, *arguments, **options):
        if host != "redis.test":
            return self._getaddrinfo(host, *arguments, **options)
        self.lookups += 1
        self.answers.wait(HANG)
        if not self.address:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self._getaddrinfo(self.address, *arguments, **options)


@pytest.fixture
def dns(monkeypatch):
    dns = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", dns.getaddrinfo)
    yield dns
    dns.answers.set()


def named(url: str) -> str:
    return url.replace("127.0.0.1", "redis.test")


# Names.

@pytest.mark.parametrize("is_silent", [True, False])
def test_while_dns_fails_a_restarted_redis_is_found_at_its_last_address(
        own_redis, opened, dns, is_silent):
    server = own_redis()
    store = opened(named(server.url))
    claim(store, "a")
    if is_silent:
        dns.answers.clear()
    dns.address = ""
    began = monotonic()
    server.kill()
    with pytest.raises(StoreUnavailable, match="redis.test"):
        claim(store, "b")
    server.start()
    assert claim(store, "c").store_sequence == 1
    assert monotonic() - began < HANG / 2 and dns.lookups > 1


def test_a_name_without_an_answer_at_the_start_is_an_error_in_time_and_used_once_known(
        redis_url, opened, dns):
    dns.answers.clear()
    store, began = opened(named(redis_url), history_deadline_ms=50.0), monotonic()
    with pytest.raises(StoreUnavailable, match="DNS has not answered for 'redis.test' yet"):
        claim(store, "a")
    assert monotonic() - began < HANG / 2
    dns.answers.set()
    assert claim_until_done(store, "a").store_sequence == 1


def test_an_unknown_name_is_an_error(opened, dns):
    dns.address = ""
    with pytest.raises(StoreUnavailable, match="no such name"):
        claim(opened("redis://redis.test:1"), "a")


def test_after_a_failover_claims_go_on_at_the_new_primary(own_redis, opened, dns):
    old = own_redis("--repl-diskless-sync-delay", "0")
    new = own_redis("--replicaof", "127.0.0.1", str(old.port), host="127.0.0.2", port=old.port)
    old_client, new_client = redis.Redis.from_url(old.url), redis.Redis.from_url(new.url)
    store = opened(named(old.url))
    first = claim(store, "a")
    assert old_client.wait(1, 5_000) == 1
    new_client.replicaof("NO", "ONE")
    old_client.replicaof("127.0.0.2", str(old.port))
    dns.address = "127.0.0.2"
    second = claim_until_done(store, "b")
    assert second.store_sequence == first.store_sequence + 1
    assert new_client.exists(PREFIX + "id:b") and claim(store, "a") == first


def test_tls_checks_the_name_of_the_server(own_redis, opened, tmp_path, dns):
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key,
                    "-out", certificate, "-subj", "/CN=redis.test",
                    "-addext", "subjectAltName=DNS:redis.test"], check=True, capture_output=True)
    server = own_redis("--tls-port", "0", "--tls-cert-file", certificate, "--tls-key-file", key,
                       "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no")
    port = free_port()
    redis.Redis.from_url(server.url).config_set("tls-port", port)
    query = f"{port}/0?ssl_ca_certs={certificate}"
    assert claim(opened(f"rediss://redis.test:{query}"), "a").store_sequence == 1
    with pytest.raises(StoreUnavailable, match="(?i)certificate"):
        claim(opened(f"rediss://127.0.0.1:{query}"), "b")


def test_a_socket_needs_no_name(own_redis, opened, tmp_path):
    path = str(tmp_path / "redis.sock")
    own_redis("--unixsocket", path)
    assert claim(opened(f"unix://{path}"), "a").store_sequence == 1


# Refusals.

def test_a_server_whose_eviction_policy_changes_is_refused_until_it_is_changed_back(
        own_redis, opened):
    server = own_redis()
    store, client = opened(server.url), redis.Redis.from_url(server.url)
    claim(store, "a")
    client.config_set("maxmemory", 100 * 2 ** 20)
    client.config_set("maxmemory-policy", "allkeys-lru")
    for call in (store.memory, partial(claim, store, "b")):
        with pytest.raises(StoreUnavailable, match="allkeys-lru.*noeviction"):
            call()
    client.config_set("maxmemory-policy", "noeviction")
    store.memory()
    assert claim(store, "b").store_sequence == 2


# Load.

def test_commands_in_flight_have_a_limit_and_larger_trips_go_alone():
    in_flight, current, largest = InFlight(6), [], []

    def trips(commands: int) -> None:
        for _ in range(50):
            with in_flight.of(commands):
                current.append(commands)
                largest.append(sum(current))
                sleep(0)
                current.remove(commands)

    threads = [Thread(target=trips, args=[commands]) for commands in (1, 1, 2, 3, 4, 4, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(largest) == 6
    with in_flight.of(100):
        assert not current
