import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event
from time import monotonic

import msgspec
import pytest
import redis

from fraud.clock import HOUR_MS as HOUR
from fraud.history import AlreadyAnswered, Claim, StoreUnavailable, counts_array
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.stores.redis import ACCOUNT_TTL_MS
from fraud.stores.script_functions import PREFIX
from fraud.transaction import Transaction
from tests import factories
from tests.factories import NOON

payment = partial(factories.payment, amount_cents=100)


def claim(store, name: str) -> Claim | AlreadyAnswered:
    return store.claim([payment(name)], NOON)[0]


def sent_before(result: Claim) -> int:
    return int(counts_array([result])[2, 0])


# Keys and their time to live.

def test_ids_and_accounts_expire(redis_url, opened):
    store, client = opened(redis_url, idempotency_hours=1.0), redis.Redis.from_url(redis_url)
    first = claim(store, "a")
    assert 0 < client.pttl(f"{PREFIX}id:a") <= HOUR < ACCOUNT_TTL_MS - HOUR
    for account in ("C1", "C2"):
        assert ACCOUNT_TTL_MS - HOUR < client.pttl(f"{PREFIX}account:{account}") <= ACCOUNT_TTL_MS
        client.pexpire(f"{PREFIX}account:{account}", HOUR)
    client.pexpire(f"{PREFIX}id:a", 1000)
    claim(store, "b")
    store.finish([first], [b"yes"])
    assert HOUR < client.pttl(f"{PREFIX}account:C1") and 1000 < client.pttl(f"{PREFIX}id:a")
    assert client.pttl(f"{PREFIX}recording") == -1


def test_an_id_that_redis_forgot_is_new(redis_url, opened):
    store = opened(redis_url)
    first = claim(store, "a")
    redis.Redis.from_url(redis_url).delete(f"{PREFIX}id:a")
    assert store.finish([first], [b"kept all the same"]) == [b"kept all the same"]
    assert claim(store, "a") == AlreadyAnswered(b"kept all the same")
    assert store.accounts(["a"]) == [None]


def test_a_server_that_may_forget_accounts_is_refused(own_redis, opened):
    url = own_redis("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru").url
    with pytest.raises(StoreUnavailable, match="allkeys-lru.*noeviction"):
        claim(opened(url), "a")
    redis.Redis.from_url(url).config_set("maxmemory-policy", "noeviction")
    assert sent_before(claim(opened(url), "a")) == 0


def test_a_full_server_makes_the_store_unavailable_and_counts_nothing_by_half(own_redis, opened):
    url = own_redis("--maxmemory", "3mb").url
    store, client = opened(url), redis.Redis.from_url(url)
    claim(store, "a")
    client.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        claim(store, "b")
    client.config_set("maxmemory", 0)
    assert sent_before(claim(store, "b")) == 1


def test_memory_is_that_in_use_and_the_limit(own_redis, opened):
    store = opened(own_redis("--maxmemory", "100mb").url)
    before = store.memory()
    assert before.limit == 100 * 2 ** 20
    store.finish([claim(store, "a")], [b"x" * 100_000])
    assert store.memory().used - before.used > 100_000
    assert opened(own_redis().url).memory().limit == 0


# Connections.

def test_lost_scripts_and_connections_are_replaced_unnoticed(redis_url, opened):
    store, client = opened(redis_url), redis.Redis.from_url(redis_url)
    claim(store, "a")
    client.script_flush()
    assert sent_before(claim(store, "b")) == 1
    client.client_kill_filter(_type="normal", skipme=True)
    assert sent_before(claim(store, "c")) == 2
    client.script_flush()
    assert store.finish([claim(store, "c")], [b"yes"]) == [b"yes"]


def test_a_missing_server_is_an_error_at_once():
    store = open_store(Settings(history="redis://127.0.0.1:1"))
    for method, arguments in (("claim", ([payment("a")], NOON)), ("answer", ("a",)),
                              ("fill", ([], 0, 0)), ("memory", ())):
        with pytest.raises(StoreUnavailable, match="Redis: .*refused"):
            getattr(store, method)(*arguments)


def test_a_server_that_hangs_misses_the_deadline_and_its_late_reply_is_dropped(
        own_redis, opened):
    server = own_redis()
    store = opened(server.url, history_deadline_ms=50.0)
    claim(store, "a")
    server.process.send_signal(signal.SIGSTOP)
    try:
        began = monotonic()
        for name in ("b", "c"):
            with pytest.raises(StoreUnavailable, match="[Tt]imeout"):
                claim(store, name)
        assert monotonic() - began < 5
    finally:
        server.process.send_signal(signal.SIGCONT)
    results = [claim(opened(server.url), name) for name in ("d", "b", "a")]
    assert [result.transaction_id for result in results] == ["d", "b", "a"]
    assert sent_before(results[2]) == 0 and claim(store, "b") == results[1]


def test_a_server_killed_under_load_and_restarted_counts_each_payment_once(own_redis, opened):
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    store, begun, refused = opened(server.url, history_deadline_ms=500.0), Event(), []

    def claim_all(worker: int) -> list[Claim]:
        return [claim_until_done(f"{worker}-{index}") for index in range(150)]

    def claim_until_done(name: str) -> Claim:
        while True:
            try:
                result = claim(store, name)
            except StoreUnavailable:
                refused.append(name)
                continue
            if name.endswith("-50"):
                begun.set()
            return result

    with ThreadPoolExecutor(4) as threads:
        claims = threads.map(claim_all, range(4))
        begun.wait()
        server.kill()
        server.start()
        sequences = sorted(result.store_sequence for worker in claims for result in worker)
    assert refused
    assert sequences == list(range(1, 601))
    assert sent_before(claim(store, "last")) == 600


def test_after_a_restart_without_data_recording_begins_anew(own_redis, opened):
    server = own_redis()
    store = opened(server.url)
    store.fill([], 7, NOON)
    assert claim(store, "a").recording_since == 7
    server.kill()
    server.start()
    result = claim(store, "b")
    assert (result.recording_since, sent_before(result)) == (NOON, 0)


# Many processes: each client is a separate program.

CLIENT = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
import msgspec
from fraud.history import Claim, IdConflict
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.transaction import Transaction

store = open_store(Settings(history=sys.argv[1], history_deadline_ms=20_000.0))

def answered(line):
    payment = msgspec.json.decode(line, type=Transaction)
    [result] = store.claim([payment], 0)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    if isinstance(result, Claim):
        me = f"{os.getpid()}-{threading.get_ident()}"
        [answer] = store.finish([result], [me.encode()])
    else:
        answer = b"reused" if isinstance(result, IdConflict) else result.answer
    return f"{payment.transaction_id} {payment.amount_cents} {answer.decode()}"

with ThreadPoolExecutor(5) as threads:
    print(*threads.map(answered, sys.stdin), sep="\\n")
"""


def client(url: str, payments: list[Transaction], how: str = "live"):
    lines = b"\n".join(map(msgspec.json.encode, payments))
    return subprocess.run([sys.executable, "-c", CLIENT, url, how], input=lines,
                          capture_output=True, check=how == "live")


@pytest.mark.acceptance
def test_processes_count_repeats_and_reused_ids_exactly_and_agree(
        redis_url, opened, acceptance, record_property):
    number, chance = 50_000 if acceptance else 2_000, random.Random(7)
    record_property("payments", number)
    payments = [payment(f"t{index}") for index in range(number)]
    reused = {other.transaction_id: msgspec.structs.replace(other, amount_cents=999)
              for other in payments[::100]}
    batches = [payments[::2], payments[1::2]]
    for batch in batches:
        batch += chance.choices(payments, k=number // 20)               # repeats
        batch.sort(key=lambda repeat: int(repeat.transaction_id[1:]))   # close to each other
        for name, other in reused.items():                              # in both batches
            batch.insert(int(name[1:]) * len(batch) // number, other)
    with ThreadPoolExecutor(2) as threads:
        clients = list(threads.map(lambda batch: client(redis_url, batch), batches))
    accepted: dict[str, set[tuple[str, str]]] = {}      # cents and answer by transaction_id
    refused: dict[str, set[str]] = {}                   # cents
    for line in [line for done in clients for line in done.stdout.decode().splitlines()]:
        name, cents, answer = line.split()
        if answer == "reused":
            refused.setdefault(name, set()).add(cents)
        else:
            accepted.setdefault(name, set()).add((cents, answer))
    assert len(accepted) == number
    assert {len(answers) for answers in accepted.values()} == {1}
    winners = {name: cents for name, answers in accepted.items() for cents, _ in answers}
    assert refused == {name: {"100", "999"} - {winners[name]} for name in reused}
    last = counts_array([claim(opened(redis_url), "last")])[:, 0]
    assert last[2] == number and last[3] == sum(map(int, winners.values()))


@pytest.mark.acceptance
def test_a_retry_after_a_kill_between_claim_and_finish_gets_the_same_claim(
        redis_url, opened, acceptance, record_property):
    store, times = opened(redis_url), 100 if acceptance else 4
    record_property("kills", times)
    for index in range(times):
        killed = client(redis_url, [payment(f"t{index}")], "die")
        assert killed.returncode == -signal.SIGKILL
        again = claim(store, f"t{index}")
        assert (sent_before(again), again.store_sequence) == (index, index + 1)
        store.finish([again], [b"yes"])
    assert sent_before(claim(store, "last")) == times
