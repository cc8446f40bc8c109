"""The parts of the contract that are special to DynamoDB, on moto's server. It has no real
contention: tests let another writer interfere between two steps of a claim.
"""

import socket
import time
from functools import partial

import botocore.session
import pytest

from fraud.history import AlreadyAnswered, Claim, StoreUnavailable, counts_array
from fraud.stores.dynamodb import RETRIES
from fraud.stores.dynamodb_items import ACCOUNT_TTL_MS
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
    store._client.delete_item(TableName=store._table, Key={"pk": {"S": "id#a"}})
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
    assert set(seconds_left) == {"id#a", "account#C1", "account#C2"}
    assert 7200 - 60 < seconds_left["id#a"] <= 7200
    assert ACCOUNT_TTL_MS / 1000 - 60 < seconds_left["account#C1"] <= ACCOUNT_TTL_MS / 1000


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
        with pytest.raises(StoreUnavailable, match="50 ms|[Tt]imeout|timed out"):
            claim(store, "a")
        assert time.monotonic() - began < 5
