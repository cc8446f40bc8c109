"""Labels by POST /v1/labels, on a running server."""

import json

import pytest

from fraud.training.label_table import read_label_table
from fraud.windows import COUNT_NAMES
from tests.serve.running import HASH, KEY, payment

NOW = 1_704_103_200_000


def label(transaction_id: str = "t-1", is_fraud: int = 1, **changes) -> dict:
    return {"transaction_id": transaction_id, "is_fraud": is_fraud, "label_time": NOW, **changes}


def send(server, *labels: dict, **options):
    return server.post("/v1/labels", {"labels": labels}, **options)


def counts(server, transaction_id: str) -> dict[str, int]:
    """The known frauds that a decision saw."""
    lines = map(json.loads, server.decisions.read_text().splitlines())
    [line] = [line for line in lines if line["transaction_id"] == transaction_id]
    return {name: value for name, value in zip(COUNT_NAMES, line["counts"], strict=True)
            if "_frauds_" in name and value}


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_a_fraud_counts_for_later_payments_and_is_in_the_label_log(serve, request, store):
    url = "memory://" if store == "memory" else request.getfixturevalue("redis_url")
    server = serve(FRAUD_HISTORY=url, FRAUD_HISTORY_DEADLINE_MS="2000")
    server.score("t-1")
    given = [label(), label("t-2"), label("t-3", origin="C1"), label("t-4", 0)]
    assert send(server, *given).json() == {"accepted": 4, "counted": 2, "unknown_ids": ["t-2"]}
    assert send(server, *given).json() == {"accepted": 4, "counted": 0, "unknown_ids": ["t-2"]}
    server.score("later", event_time=NOW + 1)
    assert counts(server, "t-1") == {}
    assert counts(server, "later") == {
        "origin_frauds_sent_week": 2, "origin_frauds_sent_month": 2,
        "destination_frauds_received_week": 1, "destination_frauds_received_month": 1}
    table = read_label_table(server.labels)
    assert table["transaction_id"].tolist() == ["t-1", "t-2", "t-3", "t-4"] * 2
    assert "C1" not in server.labels.read_text()
    exposition = server.get("/metrics").text
    for outcome, number in {"counted": 2, "repeated": 2, "unknown": 2, "legitimate": 2}.items():
        assert f'fraud_labels_total{{outcome="{outcome}"}} {number}.0' in exposition


@pytest.mark.parametrize(("body", "status", "problem"), [
    (b"", 400, "no-labels"), (b"[]", 400, "no-labels"), (b"{}", 400, "no-labels"),
    (b'{"labels": 1}', 400, "no-labels"), (b'{"labels": [], "more": 1}', 400, "no-labels"),
    (b'{"labels": ' + b"[" * 100_000, 400, "no-labels"), (b"\xff", 400, "no-labels"),
    (b'{"labels": [1]}', 422, "invalid-label")])
def test_a_body_without_labels_is_a_problem(shared_server, body, status, problem):
    response = shared_server.session.post(shared_server.url + "/v1/labels", data=body)
    assert (response.status_code, response.json()["type"]) == (status, problem)


def test_one_invalid_label_refuses_all_and_is_named_by_its_index(server):
    server.score("t-1")
    response = send(server, label(), label(is_fraud=2))
    assert (response.status_code, response.json()["title"]) == (422, "Unprocessable content")
    assert response.json()["detail"] == (
        "labels[1]: is_fraud is 2; give 1 for fraud or 0 for a legitimate payment")
    assert not server.labels.exists()
    assert send(server, label()).json()["counted"] == 1


def test_labels_have_a_limit(serve):
    server = serve(FRAUD_BATCH_PAYMENTS="2")
    assert send(server, *[label()] * 3).json()["type"] == "batch-too-large"
    assert send(server, label("a"), label("b")).json()["accepted"] == 2


def test_labels_need_their_scope(serve):
    keys = json.dumps([{"sha256": HASH, "owner": "checkout", "scopes": ["score"]}])
    response = send(serve(FRAUD_API_KEYS=keys), label(), headers={"Authorization": f"Bearer {KEY}"})
    assert (response.status_code, response.json()["type"]) == (403, "missing-scope")
    assert "'labels'" in response.json()["detail"]


def test_labels_that_cannot_be_kept_are_refused_and_may_be_sent_again(serve, own_redis, tmp_path):
    redis, log = own_redis(), tmp_path / "logs" / "labels.jsonl"
    server = serve(FRAUD_HISTORY=redis.url, FRAUD_HISTORY_DEADLINE_MS="1000",
                   FRAUD_LABEL_LOG=str(log))
    assert server.score("t-1").json()["idempotent"]
    response = send(server, label())
    assert (response.status_code, response.json()["type"]) == (503, "labels-unavailable")
    assert "FRAUD_LABEL_LOG is" in server.log.read_text()
    log.parent.mkdir()
    assert send(server, label()).json() == {"accepted": 1, "counted": 0, "unknown_ids": []}
    redis.kill()
    assert send(server, label()).status_code == 503
    assert len(read_label_table(log)) == 1


def test_labels_are_those_of_accounts_that_a_decision_line_names(server):
    server.score("t-1")
    [line] = map(json.loads, server.decisions.read_text().splitlines())
    assert send(server, label("unknown-here", origin_pseudonym=line["origin"])).json() == {
        "accepted": 1, "counted": 1, "unknown_ids": []}
    server.post("/v1/score", payment("later", event_time=NOW + 1))
    assert counts(server, "later") == {
        "origin_frauds_sent_week": 1, "origin_frauds_sent_month": 1}
