"""What is DynamoDB's own, on moto's server. Real contention is not shown here: where others are to
interfere, they do it between two steps of a claim.
"""

import socket
import time

import botocore.session
import pytest

from fraud.history import BUCKET_MS, Claim, Finished, StoreUnavailable, counts_array
from fraud.stores.dynamodb import ACCOUNT_TTL_MS, RETRIES
from fraud.transaction import Transaction

HOUR = BUCKET_MS
NOON = 480_012 * HOUR


def payment(name: str, **changes) -> Transaction:
    return Transaction(**{"transaction_id": name, "event_time": NOON, "type_code": 4,
                          "amount_cents": 100, "origin": "C1", "destination": "C2",
                          "origin_balance_cents": 0, "destination_balance_cents": 0, **changes})


def claim(store, name: str) -> Claim | Finished:
    return store.claim([payment(name)], NOON)[0]


def sent_before(result: Claim) -> int:
    return int(counts_array([result])[2, 0])


def interfere(monkeypatch, store, work, times: int):
    """Does something each time after the store has read, as often as said."""
    read, left = store._read, iter(range(times))

    def reading(keys):
        items = read(keys)
        if next(left, None) is not None:
            work()
        return items

    monkeypatch.setattr(store, "_read", reading)


@pytest.fixture
def stores(opened, dynamodb_url):
    """Two, that have begun."""
    both = opened(dynamodb_url), opened(dynamodb_url)
    for place, store in enumerate(both):
        claim(store, f"begin{place}")
    return both


def test_what_others_counted_meanwhile_is_seen(monkeypatch, stores):
    ours, theirs = stores
    names = iter("xyz")
    interfere(monkeypatch, ours, lambda: claim(theirs, next(names)), RETRIES)
    assert sent_before(claim(ours, "a")) == 2 + RETRIES
    assert sent_before(claim(theirs, "b")) == 3 + RETRIES


def test_after_three_retries_it_gives_up_and_has_counted_nothing(monkeypatch, stores):
    assert RETRIES == 3
    ours, theirs = stores
    names = iter("wxyz")
    interfere(monkeypatch, ours, lambda: claim(theirs, next(names)), RETRIES + 1)
    with pytest.raises(StoreUnavailable, match="change the same accounts"):
        claim(ours, "a")
    assert sent_before(claim(theirs, "b")) == 3 + RETRIES
    assert sent_before(claim(ours, "a")) == 4 + RETRIES


def test_the_same_payment_claimed_by_others_meanwhile_gets_their_claim(monkeypatch, stores):
    ours, theirs = stores
    told = []
    interfere(monkeypatch, ours, lambda: told.append(claim(theirs, "a")), 1)
    assert [claim(ours, "a")] == told
    assert sent_before(claim(ours, "b")) == 3


def test_an_answer_given_by_others_meanwhile_stays(monkeypatch, stores):
    ours, theirs = stores
    claims = ours.claim([payment("a"), payment("b")], NOON)
    theirs.finish(claims[1:], [b"theirs"])
    assert ours.finish(claims, [b"ours", b"ours"]) == [b"ours", b"theirs"]


def test_an_answer_to_what_is_forgotten_or_anothers_is_not_kept(stores):
    ours, theirs = stores
    [first] = ours.claim([payment("a")], NOON)
    ours._client.delete_item(TableName=ours._table, Key={"pk": {"S": "id#a"}})
    assert ours.finish([first], [b"late"]) == [b"late"] and ours.answer("a") is None
    [second] = theirs.claim([payment("a", amount_cents=5)], NOON)
    theirs.finish([second], [b"theirs"])
    assert ours.finish([first], [b"late"]) == [b"late"] and ours.answer("a") == b"theirs"


def test_recording_begins_once_though_many_begin(monkeypatch, opened, dynamodb_url):
    ours, theirs = opened(dynamodb_url), opened(dynamodb_url)
    interfere(monkeypatch, ours, lambda: theirs.claim([payment("x")], NOON - 5), 1)
    assert claim(ours, "a").recording_since == NOON - 5


def test_ids_and_accounts_have_their_time_to_live(opened, dynamodb_url):
    claim(opened(dynamodb_url, id_hours=2.0), "a")
    items = botocore.session.get_session().create_client("dynamodb").scan(
        TableName=dynamodb_url.removeprefix("dynamodb://"))["Items"]
    left = {item["pk"]["S"]: int(item["expires"]["N"]) - time.time()
            for item in items if "expires" in item}
    assert set(left) == {"id#a", "account#C1", "account#C2"}
    assert 7200 - 60 < left["id#a"] <= 7200
    assert ACCOUNT_TTL_MS / 1000 - 60 < left["account#C1"] <= ACCOUNT_TTL_MS / 1000


def test_a_table_that_is_not_there_is_said(dynamodb_url, opened):
    store = opened("dynamodb://nowhere")
    for work in (lambda: claim(store, "a"), lambda: store.answer("a"),
                 lambda: store.fill([], 0, 0)):
        with pytest.raises(StoreUnavailable, match="DynamoDB table nowhere: .*not found"):
            work()


def test_a_service_that_hangs_is_given_up(dynamodb_url, monkeypatch, opened):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = opened(dynamodb_url, history_deadline_ms=50.0)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="50 ms|[Tt]imeout|timed out"):
            claim(store, "a")
        assert time.monotonic() - began < 5
