"""Labels and events reach files, an API, a topic and a webhook as their readers take them."""

import base64
import hmac
import json
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from desk.settings import read_desk_settings
from desk.sinks import ApiSink, DeliveryError, FileSink, TopicSink, WebhookSink
from desk.tables import Delivery
from fraud.training.label_table import read_label_table
from tests.factories import NOON


def entry(transaction_id: str = "t-1", attempts: int = 1, **changes) -> Delivery:
    label = {"transaction_id": transaction_id, "is_fraud": 1, "label_time": NOON, "source": "desk",
             "origin_pseudonym": "0" * 32, "destination_pseudonym": "1" * 32,
             "incident_id": "desk-1", **changes}
    return Delivery(id=1, body=msgspec.json.encode(label).decode(), attempts=attempts)


@pytest.fixture
def receiver():
    """An HTTP server that keeps what it gets and answers with `status`."""
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.requests.append((dict(self.headers), body))
            self.send_response(server.status)
            self.send_header("Location", f"{server.url}/elsewhere")
            self.end_headers()
            self.wfile.write(b'{"accepted": 1, "unknown_ids": []}')

        def do_GET(self) -> None:
            server.requests.append((dict(self.headers), b""))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments) -> None:
            """Be quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.status = [], 200
    server.url = f"http://127.0.0.1:{server.server_port}/v1/labels"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_file_is_the_label_file_of_the_report(tmp_path):
    sink = FileSink(tmp_path / "deep" / "labels.csv")
    sink.send([entry("t-1"), entry('a,"b"\nc', is_fraud=0)])
    sink.send([entry("t-3", incident_id=None)])
    table = read_label_table(tmp_path / "deep" / "labels.csv")
    assert table["transaction_id"].tolist() == ["t-1", 'a,"b"\nc', "t-3"]
    assert table["is_fraud"].tolist() == [1, 0, 1]
    assert table["incident_id"].isna().tolist() == [False, False, True]


def test_a_file_gets_what_a_killed_attempt_has_not_written(tmp_path):
    path = tmp_path / "labels.csv"
    sink = FileSink(path)
    sink.send([entry("t-1"), entry("t-2")])
    with open(path, "a") as file:
        file.write(f"t-3,1,{NOON},des")           # a crash cut it off
    sink.send([entry("t-2", attempts=2), entry("t-3", attempts=2)])
    assert read_label_table(path)["transaction_id"].tolist() == ["t-1", "t-2", "t-3"]


def test_a_file_keeps_its_columns_and_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("label_time,is_fraud,transaction_id\n1,0,t-0\n")
    FileSink(path).send([entry("t-1")])
    assert path.read_text().splitlines()[-1] == f"{NOON},1,t-1"
    path.write_text("a,b\n")
    with pytest.raises(DeliveryError, match="not those of labels"):
        FileSink(path).send([entry()])


@pytest.mark.parametrize("content", [b"PAR1\xff\x00\n", b"x" * 140_000 + b"\n"])
def test_a_file_that_is_no_text_or_no_table_is_refused(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(DeliveryError, match="is not a CSV file of labels in UTF-8"):
        FileSink(path).send([entry("t-1")])
    assert path.read_bytes() == content


def test_the_api_gets_labels_with_the_key(receiver):
    ApiSink(receiver.url, "secret").send([entry("t-1"), entry("t-2")])
    [(headers, body)] = receiver.requests
    assert headers["Authorization"] == "Bearer secret"
    assert json.loads(body) == {"labels": [
        {"transaction_id": name, "is_fraud": 1, "label_time": NOON, "source": "desk",
         "origin_pseudonym": "0" * 32, "destination_pseudonym": "1" * 32, "incident_id": "desk-1"}
        for name in ("t-1", "t-2")]}


@pytest.mark.parametrize(("status", "refusal"), [(422, True), (403, False), (503, False)])
def test_an_answer_other_than_success_is_an_error(receiver, status, refusal):
    receiver.status = status
    with pytest.raises(DeliveryError, match=str(status)) as caught:
        ApiSink(receiver.url, "").send([entry()])
    assert caught.value.is_refusal == refusal


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_gets_no_key(receiver, status):
    receiver.status = status
    with pytest.raises(DeliveryError, match=str(status)) as caught:
        ApiSink(receiver.url, "secret").send([entry()])
    assert not caught.value.is_refusal and len(receiver.requests) == 1


def test_a_receiver_that_is_away_is_an_error():
    with pytest.raises(DeliveryError, match="does not answer"):
        ApiSink("http://127.0.0.1:1/", "").send([entry()])


def test_a_webhook_is_signed(receiver):
    WebhookSink(receiver.url, [b"secret"]).send([entry(id="7-5")])
    [(headers, body)] = receiver.requests
    headers = {name.lower(): value for name, value in headers.items()}
    content = f"7-5.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.new(b"secret", content, sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert headers["webhook-id"] == "7-5"
    assert headers["content-type"].startswith("application/cloudevents+json")


@pytest.mark.slow
def test_a_topic_gets_what_monitoring_reads(broker):
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    from monitoring.label_topic import read_topic

    settings = read_desk_settings({"FRAUD_BROKERS": broker})
    with KafkaAdminClient(bootstrap_servers=broker) as admin:
        admin.create_topics([NewTopic("labels-of-desk", 1, 1)])
    sink = TopicSink("labels-of-desk", settings)
    sink.send([entry("t-1"), entry("t-2", is_fraud=0)])
    sink.close()
    labels = read_topic("labels-of-desk", settings)
    assert labels.left_out == []
    assert labels.table["transaction_id"].tolist() == ["t-1", "t-2"]
    assert labels.table["incident_id"].tolist() == ["desk-1", "desk-1"]


def test_brokers_that_are_away_are_an_error(monkeypatch):
    monkeypatch.setattr("desk.sinks.SECONDS", 0.5)
    with pytest.raises(DeliveryError, match="does not take labels"):
        TopicSink("labels", read_desk_settings({"FRAUD_BROKERS": "127.0.0.1:1"})).send([entry()])
