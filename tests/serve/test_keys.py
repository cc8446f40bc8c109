import json
from hashlib import sha256

import pytest

from fraud.settings import SettingsError
from serve import keys
from serve.keys import Keys
from tests.serve.running import HASH, KEY, payment

BEARER = {"Authorization": f"Bearer {KEY}"}


def entries(**fields) -> str:
    return json.dumps([{"sha256": "0" * 64, "owner": "other"}, {"sha256": HASH, **fields}])


def test_hashes_are_keys_without_an_owner_and_with_the_default_scopes():
    key = Keys(f"{'0' * 64}, {HASH},").find(f"Bearer {KEY}")
    assert key is not None and (key.owner, tuple(key.scopes)) == (
        "", ("score", "read"))


def test_an_entry_has_owner_scopes_and_expiry():
    key = Keys(entries(owner="checkout", scopes=["read"], expires="2999-12-31")).find(
        f"Bearer {KEY}")
    assert key is not None and (key.owner, list(key.scopes)) == ("checkout", ["read"])
    assert str(key.expires) == "2999-12-31"


def test_a_key_sends_labels_only_if_its_entry_says_so():
    for scopes, expected in (({}, ["score", "read"]), ({"scopes": ["labels"]}, ["labels"])):
        key = Keys(entries(**scopes)).find(f"Bearer {KEY}")
        assert key is not None and list(key.scopes) == expected


@pytest.mark.parametrize("header", [
    None, "", KEY, f"Basic {KEY}", f"Bearer {HASH}", "Bearer \udcff"])
def test_another_header_finds_no_key(header):
    assert Keys(HASH).find(header) is None


def test_without_keys_the_api_is_open():
    assert not Keys("") and not Keys(" , ") and not Keys("[]")
    assert Keys(HASH)


@pytest.mark.parametrize(("configured", "message"), [
    ("abc", "entry 1 is not a key"),
    (f"{HASH},{HASH.upper()}", "entry 2 is not a key"),
    ("[", "is not a JSON array"),
    ("[{}]", "entry 1 is not a key .*sha256"),
    (entries(owner="two words"), "entry 2 is not a key .*owner"),
    (entries(scopes=["write"]), "entry 2 is not a key .*'write'"),
    (entries(scopes=[]), "entry 2 is not a key .*scopes"),
    (entries(expires="tomorrow"), "entry 2 is not a key .*expires"),
    (entries(scope="score"), "entry 2 is not a key .*scope"),
])
def test_what_is_no_key_is_named(configured, message):
    with pytest.raises(SettingsError, match=f"FRAUD_API_KEYS: {message}"):
        Keys(configured)


def test_a_new_key_opens_what_its_entry_says(capsys):
    keys.main(["--owner", "checkout", "--scopes", "score", "--expires", "2999-12-31"])
    secret, digest, entry = (line.split()[-1] for line in capsys.readouterr().out.splitlines())
    assert sha256(secret.encode()).hexdigest() == digest
    key = Keys(f"[{entry}]").find(f"Bearer {secret}")
    assert key is not None and (key.owner, list(key.scopes)) == ("checkout", ["score"])
    assert Keys(digest).find(f"Bearer {secret}")


def test_a_key_that_cannot_be_is_not_made(capsys):
    with pytest.raises(SystemExit):
        keys.main(["--scopes", "everything"])
    assert "error: FRAUD_API_KEYS: entry 1 is not a key" in capsys.readouterr().err


def test_a_key_without_the_scope_is_refused_by_the_name_of_the_scope(serve):
    server = serve(FRAUD_API_KEYS=entries(owner="dashboard", scopes=["read"]))
    response = server.post("/v1/score", payment(), headers=BEARER)
    assert response.status_code == 403 and response.json()["type"] == "missing-scope"
    assert "the key of dashboard lacks the scope 'score'" in response.json()["detail"]
    assert server.get("/v1/model", headers=BEARER).status_code == 200


def test_an_expired_key_is_refused_with_its_day(serve):
    server = serve(FRAUD_API_KEYS=entries(owner="checkout", expires="2020-01-31"))
    response = server.post("/v1/score", payment(), headers=BEARER)
    assert response.status_code == 401 and response.json()["type"] == "key-expired"
    assert "expired after 2020-01-31" in response.json()["detail"]


def test_owner_request_id_and_trace_come_back_and_are_in_access_and_decision_lines(serve):
    server = serve(FRAUD_API_KEYS=entries(owner="checkout"))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {**BEARER, "X-Request-ID": "6f1c-4d.2_a", "traceparent": trace}
    response = server.post("/v1/score", payment(), headers=headers)
    server.post("/v1/score/batch", [payment("t-2"), payment("t-3")], headers=headers)
    assert response.headers["x-request-id"] == "6f1c-4d.2_a"
    assert response.headers["traceparent"] == trace
    caller = {"owner": "checkout", "request_id": "6f1c-4d.2_a", "traceparent": trace}
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    accesses = [line for line in lines if line.get("request_id") == "6f1c-4d.2_a"]
    decisions = [json.loads(line) for line in server.decisions.read_text().splitlines()]
    assert (len(accesses), len(decisions)) == (2, 3)
    assert all(line.items() >= caller.items() for line in accesses + decisions)
    metrics = server.get("/metrics").text
    assert 'fraud_owner_requests_total{owner="checkout",status="200"} 2.0' in metrics


def test_an_invalid_trace_is_dropped_and_a_refused_caller_has_ids_too(serve):
    server = serve(FRAUD_API_KEYS=entries(owner="checkout"))
    response = server.post("/v1/score", payment(), headers={
        "traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01", "X-Request-ID": "a-b"})
    assert response.status_code == 401
    assert "traceparent" not in response.headers and response.headers["x-request-id"] == "a-b"
