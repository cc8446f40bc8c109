import asyncio
import gzip
import json
import os
import random
import signal
import threading
import time
from http.client import HTTPConnection
from unittest.mock import patch

import numpy as np
import pytest
import requests

from fraud import bundle
from fraud.features import DEFAULT
from fraud.rules.rule_set import Condition, Rule, RulesError, RuleSet
from fraud.service import Service
from fraud.settings import Settings
from fraud.training.registry import publication
from fraud.transaction import parse
from fraud.windows import COUNT_NAMES, WINDOWS
from serve.app import _drain
from tests.serve.running import HASH, KEY, payment, serving_versions, wait_for


def problem(response: requests.Response) -> tuple[int, str]:
    """Status and type of an error, which must be problem details that say what to do."""
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["title"] and len(body["detail"]) > 10
    assert "Traceback" not in body["detail"]
    return body["status"], body["type"]


def decisions(server) -> list[dict]:
    return [json.loads(line) for line in server.decisions.read_text().splitlines()]


# Scoring.

def test_an_answer_says_how_likely_why_and_by_which_model(server, tmp_path):
    body = server.score(amount=2.5).json()
    row = DEFAULT.vector(parse(json.dumps(payment(amount=2.5))), None)
    loaded = bundle.load(tmp_path / "bundle")
    assert body["score"] == loaded.fallback.scores(row)[0]
    assert body["transaction_id"] == "t-1" and body["decision"] == "decline"
    assert [reason["code"] for reason in body["reasons"]] == ["amount"]
    assert (body["model_version"], body["policy_version"]) == ("1", "1.1")
    assert body["history"] == "short"     # the store is younger than a day


@pytest.mark.parametrize(("amount", "decision"), [
    (0.0, "review"), (9.0, "decline"), (1.0, "review"), (1.1, "decline")])
def test_the_decision_follows_the_policy(shared_server, amount, decision):
    assert shared_server.score(f"of-{amount}", amount=amount).json()["decision"] == decision


def test_a_repeated_id_gets_the_same_bytes_and_another_payment_under_it_is_refused(server):
    first = server.score("same")
    assert server.score("same").content == first.content
    assert server.get("/v1/decisions/same").content == first.content
    assert problem(server.score("same", amount=1.0)) == (409, "id-reused")
    assert len(decisions(server)) == 1


def test_later_payments_see_the_earlier_ones(server):
    server.score("a", amount=1.25)
    server.score("b", amount=2.5)
    counts = dict(zip(COUNT_NAMES, decisions(server)[1]["counts"], strict=True))
    for window in WINDOWS:
        for flow in ("origin_sent", "destination_received"):
            assert (counts[f"{flow}_count_{window}"], counts[f"{flow}_cents_{window}"]) == (1, 125)
    assert counts["origin_received_count_month"] == counts["destination_sent_count_month"] == 0
    assert counts["origin_knows_other"] == counts["destination_knows_other"] == 1


def test_a_batch_gives_an_answer_or_a_problem_for_each_in_order(server):
    batch = [payment("a"), {"amount": 1}, payment("b", amount=-1), payment("a"), payment("c")]
    body = server.post("/v1/score/batch", batch).json()
    assert [item.get("transaction_id") for item in body] == ["a", None, None, "a", "c"]
    assert [item.get("status") for item in body] == [None, 422, 422, None, None]
    assert body[0] == body[3]


def test_a_batch_of_lines_is_answered_in_lines(server):
    lines = "\n".join(json.dumps(payment(name)) for name in ("a", "b")) + "\n\n"
    response = server.session.post(server.url + "/v1/score/batch", data=lines, headers={
        "Content-Type": "application/x-ndjson"})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["transaction_id"] for line in response.text.splitlines()] == ["a", "b"]


def test_one_by_one_and_in_a_batch_the_scores_agree(serve):
    rng = np.random.default_rng(5)
    payments = [payment(f"t{place}", amount=round(float(rng.lognormal()), 2),
                        origin=f"C{rng.integers(5)}", destination=f"C{rng.integers(5)}",
                        event_time=1_704_103_200_000 + place * 100_000) for place in range(200)]
    variables = {"FRAUD_CLOCK": "event", "FRAUD_ACCOUNT_KEY": "key"}     # of the sketches
    one, many = serve(**variables), serve(**variables)
    singles = [one.post("/v1/score", body).json()["score"] for body in payments]
    batch = [item["score"] for item in many.post("/v1/score/batch", payments).json()]
    np.testing.assert_allclose(singles, batch, atol=1e-6)
    assert [line["features"] for line in decisions(one)] == [
        line["features"] for line in decisions(many)]
    assert [line["counts"] for line in decisions(one)] == [
        line["counts"] for line in decisions(many)]


def test_a_payment_ahead_of_the_clock_is_refused(shared_server):
    ahead = round(time.time() * 1_000) + 3_600_000
    assert problem(shared_server.score(event_time=ahead)) == (422, "event-time-ahead")


def test_a_type_that_the_model_does_not_know_is_refused_with_the_list(shared_server):
    response = shared_server.score(type="transfer")
    assert problem(response) == (422, "unknown-type")
    assert response.json()["detail"] == (
        "type is 'transfer', which the model does not know; one of CASH_IN, CASH_OUT, DEBIT, "
        "PAYMENT, TRANSFER")
    batch = shared_server.post("/v1/score/batch", [payment(type="x"), payment("known")]).json()
    assert (batch[0]["type"], batch[1]["transaction_id"]) == ("unknown-type", "known")


def test_what_is_not_known_is_null_and_no_reason_names_it(shared_server):
    balances = {"origin_balance": None, "destination_balance": None}
    for name, unknown in {"no-balances": balances,
                          "no-destination": balances | {"destination": None}}.items():
        response = shared_server.score(name, **unknown)
        assert response.status_code == 200
        assert not any("balance" in reason["code"] for reason in response.json()["reasons"])


# What is wrong with a request.

@pytest.mark.parametrize(("body", "status"), [
    (b"", 422), (b"{", 422), (b"null", 422), (b"[]", 422), (b'"\xff"', 422), (b"\x00", 422),
    (b'{"transaction_id":"t"}', 422), (b"[" * 100_000, 422), (b"1e999", 422), (b"NaN", 422),
    (json.dumps(payment(amount=1e300)).encode(), 422),
    (json.dumps(payment(amount="9")).encode(), 422),
    (json.dumps(payment(amount=0.001)).encode(), 422),
    (json.dumps(payment(origin="")).encode(), 422),
    (json.dumps(payment(type=7)).encode(), 422),
    (json.dumps(payment(event_time=1_704_067_200)).encode(), 422),
    (json.dumps(payment(origin="nan")).encode(), 422),
    (json.dumps(payment(newbalanceOrig=0)).encode(), 422),
    (json.dumps(payment(event_time=float("nan"))).encode(), 422),
    (json.dumps(payment(origin="\ud800")).encode(), 422)])
def test_a_bad_body_is_a_problem_and_the_next_good_one_is_answered(shared_server, body, status):
    response = shared_server.session.post(shared_server.url + "/v1/score", data=body)
    assert problem(response) == (status, "invalid-payment")
    assert shared_server.score("good").status_code == 200


def test_a_problem_names_the_field(shared_server):
    detail = shared_server.score(amount=-1).json()["detail"]
    assert detail == "amount is -1; give a number from 0 to 1,000,000,000,000, in currency units"
    detail = shared_server.score(event_time=1_704_067_200).json()["detail"]
    assert "it looks like seconds" in detail
    detail = shared_server.score(amount=0.001).json()["detail"]
    assert "0.001: more than two decimals" in detail


@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
def test_a_body_that_is_too_large_is_refused(serve, path):
    server = serve(FRAUD_BODY_BYTES="2000")
    response = server.session.post(server.url + path, data=b"x" * 10_000_000)
    assert problem(response) == (413, "content-too-large")
    assert server.score().status_code == 200


def test_a_batch_has_a_limit(serve):
    server = serve(FRAUD_BATCH_PAYMENTS="2")
    assert problem(server.post("/v1/score/batch", [payment()] * 3)) == (413, "batch-too-large")
    assert len(server.post("/v1/score/batch", [payment()] * 2).json()) == 2


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[" * 100_000, b"\xff"])
def test_a_batch_that_is_no_array_is_refused(shared_server, body):
    response = shared_server.session.post(shared_server.url + "/v1/score/batch", data=body)
    assert problem(response) == (400, "not-an-array")


def test_a_compressed_body_is_refused_unread(shared_server):
    bomb = gzip.compress(b"0" * 10_000_000)
    response = shared_server.session.post(shared_server.url + "/v1/score", data=bomb, headers={
        "Content-Encoding": "gzip"})
    assert problem(response) == (415, "compressed-body")


def test_an_unknown_path_method_or_decision_is_a_problem(shared_server):
    assert problem(shared_server.get("/v2/score")) == (404, "not-found")
    assert problem(shared_server.get("/v1/score")) == (405, "method-not-allowed")
    assert problem(shared_server.get("/v1/decisions/none")) == (404, "unknown-transaction")


# Who may ask.

@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/v1/score"), ("POST", "/v1/score/batch"), ("GET", "/v1/decisions/a"),
    ("POST", "/v1/labels"), ("GET", "/v1/model")])
def test_with_keys_the_api_is_closed_to_others(shared_locked_server, method, path):
    server = shared_locked_server
    for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {KEY}"},
                   {"Authorization": f"Bearer {HASH}"}, {"Authorization": "Bearer \xff"}):
        response = server.session.request(method, server.url + path, headers=header)
        assert problem(response) == (401, "unauthorized")
    admitted = server.session.request(method, server.url + path,
                                      headers={"Authorization": f"Bearer {KEY}"})
    assert admitted.status_code != 401
    assert server.get("/healthz").status_code == 200
    assert KEY not in server.log.read_text()


# What it tells.

def test_it_says_what_is_serving(server, tmp_path):
    body = server.get("/v1/model").json()
    assert body["digest"] == bundle.load(tmp_path / "bundle").digest
    assert body["manifest"]["data_digest"] == "d" * 64
    assert body["policy"]["version"] == "1.1"


def test_the_decision_log_can_be_replayed_and_names_no_account(serve, tmp_path):
    server = serve(FRAUD_ACCOUNT_KEY="secret")
    server.score(origin="C-origin", destination="C-destination")
    (line,) = decisions(server)
    loaded = bundle.load(tmp_path / "bundle")
    row = np.array([line["features"]], np.float32)
    assert loaded.fallback.scores(row)[0] == line["score"]
    assert line["model_digest"] == loaded.digest and line["policy_digest"] == loaded.policy_digest
    written = server.decisions.read_text() + server.log.read_text()
    assert "C-origin" not in written and "C-destination" not in written and "secret" not in written


def test_logs_are_json_lines_with_the_request_id(server):
    response = server.post("/v1/score", payment(), headers={"X-Request-ID": "abc123"})
    assert response.headers["x-request-id"] == "abc123"
    bad = server.post("/v1/score", payment(), headers={"X-Request-ID": 'a"b'})
    assert len(bad.headers["x-request-id"]) == 16
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "abc123"]
    assert line["status"] == 200 and line["message"] == "POST /v1/score"
    assert 0 < line["milliseconds"] < 10_000


def test_the_document_describes_what_there_is_and_its_page_needs_no_network(shared_server):
    page = shared_server.get("/docs").text
    assert "http" not in page
    for asset in ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/start.js"):
        assert asset in page and shared_server.get(asset).status_code == 200
    document = shared_server.get("/docs/openapi.json").json()
    example = document["components"]["schemas"]["Payment"]["example"]
    assert shared_server.post("/v1/score", example).status_code == 200
    assert set(document["paths"]) == {"/v1/score", "/v1/score/batch", "/v1/model", "/healthz",
                                      "/v1/decisions/{transaction_id}", "/v1/labels", "/readyz"}
    example = document["components"]["schemas"]["Label"]["example"]
    assert shared_server.post("/v1/labels", {"labels": [example]}).status_code == 200


# Its model.

def test_a_new_champion_is_served_without_a_restart_and_a_broken_one_is_not(
        serve, tmp_path, make_bundle):
    for version in ("1", "2", "3"):
        make_bundle(tmp_path / version, version=version)
    models = tmp_path / "models"
    publication.publish(tmp_path / "1", "fraud-detector", str(models))
    server = serve(FRAUD_MODEL=str(models), FRAUD_MODEL_REFRESH_SECONDS="0.1")
    first = server.score("before").content
    publication.publish(tmp_path / "2", "fraud-detector", str(models))
    wait_for(lambda: server.score(os.urandom(8).hex()).json()["model_version"] == "2")
    assert server.score("before").content == first      # a stored answer outlives its model
    third = publication.publish(tmp_path / "3", "fraud-detector", str(models))
    (models / third.folder / "model.onnx").write_bytes(b"broken")
    wait_for(lambda: "the champion stays at version 2" in server.log.read_text()
             or server.get("/readyz").json()["model_version"] == "3")
    metrics = server.get("/metrics").text
    assert serving_versions(metrics) == {"2"}


def test_a_challenger_scores_in_shadow_and_stands_in_the_log_alone(
        serve, tmp_path, make_bundle):
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    models = str(tmp_path / "models")
    publication.publish(tmp_path / "1", "fraud-detector", models)
    server = serve(FRAUD_MODEL=models)
    assert server.score("before").json()["model_version"] == "1"
    publication.publish(tmp_path / "2", "fraud-detector", models, "challenger.json")
    wait_for(lambda: "the challenger is now version 2" in server.log.read_text())
    answer = server.score("after")
    assert answer.json()["model_version"] == "1" and "shadow" not in answer.text
    before, after = decisions(server)
    assert before["shadow"] is None
    assert after["shadow"]["model_version"] == "2"
    assert after["shadow"]["score"] == pytest.approx(after["score"])
    metrics = server.get("/metrics").text
    assert 'fraud_challenger_info{model_version="2"} 1.0' in metrics
    assert 'fraud_shadow_decisions_total{' in metrics and serving_versions(metrics) == {"1"}


def test_rules_bite_within_two_seconds_and_broken_ones_do_not(
        serve, tmp_path, make_bundle, monkeypatch):
    make_bundle(tmp_path / "1", version="1")
    models = str(tmp_path / "models")
    publication.publish(tmp_path / "1", "fraud-detector", models)
    server = serve(FRAUD_MODEL=models)
    assert server.score("before", amount=0).json()["decided_by"] == "model"
    rule = Rule("all", "decline", "why", "ana", (Condition("amount", ">=", 0.0),))
    monkeypatch.setenv("FRAUD_MODEL", models)
    publication.rule_publisher().publish(RuleSet(1, 0, "ana", "a wave", (rule,)))
    published = time.monotonic()
    wait_for(lambda: server.score(os.urandom(8).hex(), amount=0).json()["decided_by"] == "rule")
    assert time.monotonic() - published <= 2
    answer = server.score("after", amount=0).json()
    assert (answer["decision"], answer["rules_version"]) == ("decline", "1")
    assert "rule:all" in [reason["code"] for reason in answer["reasons"]]
    (tmp_path / "models/rules.json").write_bytes(b"broken")
    wait_for(lambda: "rules stay at version 1" in server.log.read_text())
    assert server.score("later", amount=0).json()["decided_by"] == "rule"
    metrics = server.get("/metrics").text
    assert "fraud_rules_version 1.0" in metrics and 'name="rule:all"' in metrics


def test_rules_that_cannot_be_used_stop_the_start(tmp_path, make_bundle):
    make_bundle(tmp_path / "1", version="1")
    publication.publish(tmp_path / "1", "fraud-detector", str(tmp_path / "models"))
    (tmp_path / "models/rules.json").write_bytes(b"broken")
    with pytest.raises(RulesError, match="rules.json: JSON is malformed"):
        Service(Settings(model=str(tmp_path / "models")), fallback_on_store_error=True)


def test_a_champion_in_s3_is_served_and_followed(serve, tmp_path, make_bundle, bucket):
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    publication.publish(tmp_path / "1", "fraud-detector", "s3://models/live")
    server = serve(FRAUD_MODEL="s3://models/live", FRAUD_MODEL_REFRESH_SECONDS="0.1")
    assert server.score().json()["model_version"] == "1"
    publication.publish(tmp_path / "2", "fraud-detector", "s3://models/live")
    wait_for(lambda: server.get("/readyz").json()["model_version"] == "2")


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda path: (path / "model.onnx").write_bytes(b"x"), "model.onnx: sha256 is"),
    (lambda path: (path / "policy.json").unlink(), "policy.json: cannot be read"),
    (lambda path: (path / "bundle.json").write_text("{"), "bundle.json")])
def test_a_bundle_that_must_not_be_served_is_refused_at_the_start(
        serve, tmp_path, break_it, message):
    break_it(tmp_path / "bundle")
    with pytest.raises(RuntimeError, match=message) as refused:
        serve()
    assert "Traceback" not in str(refused.value)


# Its store.

def test_without_dns_and_redis_every_payment_is_answered_and_marked(serve, own_redis, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SILENT_DNS.format(switch=tmp_path / "silent"))
    redis = own_redis()
    server = serve(FRAUD_HISTORY=redis.url.replace("127.0.0.1", "localhost"),
                   PYTHONPATH=f"{tmp_path}:{os.getcwd()}")
    assert server.score("before").json()["history"] == "short"
    (tmp_path / "silent").touch()
    redis.kill()
    for number in range(20):
        answer = server.score(f"without-{number}")
        assert answer.json()["history"] == "unavailable" and not answer.json()["idempotent"]
        assert answer.elapsed.total_seconds() < 5       # of 60 that a lookup takes
    warnings = [line for line in server.log.read_text().splitlines() if "without history" in line]
    assert 1 <= len(warnings) < 20
    redis.start()
    wait_for(lambda: server.score(os.urandom(8).hex()).json()["history"] == "short")


SILENT_DNS = """
import os, socket, time
answer = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    if os.path.exists("{switch}") and host == "localhost":
        time.sleep(60)
    return answer(host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


def test_a_full_disk_under_the_decision_log_stops_no_answer(serve):
    server = serve(FRAUD_DECISION_LOG="/dev/full")
    assert [server.score(name).status_code for name in "abc"] == [200, 200, 200]
    assert "fraud_decision_log_waiting_lines 3.0" in server.get("/metrics").text
    assert "decisions cannot be logged" in server.log.read_text()
    assert server.stop() == 0
    assert "the log lines of 3 decisions are lost" in server.log.read_text()


def test_a_renamed_decision_log_is_followed(serve, tmp_path):
    path = tmp_path / "decisions.jsonl"
    server = serve(FRAUD_DECISION_LOG=str(path))
    server.score("a")
    path.rename(tmp_path / "decisions.jsonl.1")
    server.score("b")
    assert json.loads(path.read_text())["transaction_id"] == "b"


# Its end.

def test_after_sigterm_no_accepted_request_is_lost(serve):
    server = serve(FRAUD_DRAIN_SECONDS="60")        # it does not need them: it stops at once
    outcomes, stop = [], threading.Event()

    def ask(name: str) -> None:
        session = requests.Session()
        for number in range(10_000):
            if stop.is_set():
                return
            try:
                outcomes.append(session.post(
                    server.url + "/v1/score", json=payment(f"{name}-{number}")).status_code)
            except requests.ConnectionError as error:
                outcomes.append(error)
                return

    threads = [threading.Thread(target=ask, args=[str(place)]) for place in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(outcomes) > 100)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    stop.set()
    for thread in threads:
        thread.join()
    answered = [outcome for outcome in outcomes if outcome == 200]
    assert {outcome for outcome in outcomes if isinstance(outcome, int)} == {200}
    assert len(decisions(server)) == len(answered)


def test_busy_keep_alive_callers_leave_before_a_stop_cuts_them_off(serve):
    server, answers, reconnect = serve(), [], []

    def ask(caller: int) -> None:
        """Send payments on one connection, with pauses, until the server asks to reconnect."""
        connection, pauses = HTTPConnection("127.0.0.1", server.port), random.Random(caller)
        while True:
            connection.request("POST", "/v1/score", json.dumps(payment(os.urandom(8).hex())))
            response = connection.getresponse()
            response.read()
            answers.append(response.status)
            if response.headers["connection"] == "close":
                return reconnect.append(caller)
            time.sleep(pauses.uniform(0, 0.2))

    callers = [threading.Thread(target=ask, args=[caller]) for caller in range(20)]
    for caller in callers:
        caller.start()
    wait_for(lambda: len(answers) > 200)
    assert server.stop() == 0
    for caller in callers:
        caller.join()
    assert len(reconnect) == 20 and set(answers) == {200}
    assert len(decisions(server)) == len(answers)


def test_a_stop_without_connections_does_not_wait(app):
    with patch("serve.app.asyncio.sleep", side_effect=AssertionError):
        asyncio.run(_drain(app))
    assert app.ctx.is_stopping
