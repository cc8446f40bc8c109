"""The desk as a process: killed in between, and as a link from a payment to training data."""

import re
import threading
import time
from collections import Counter

import msgspec
import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from fraud.clock import DAY_MS, HOUR_MS, now_ms
from fraud.decision import Decision
from fraud.features import DEFAULT
from fraud.training.label_table import read_label_table
from fraud.windows import COUNT_NAMES
from monitoring import labels as monitoring_labels
from tests.desk.running import KEY, decision, eventually, write_log
from tests.serve.running import Server
from tests.stream.running import Stream, payment

KILLS, CASES, ANALYSTS = 4, 60, 4


class Worker(threading.Thread):
    """A person who takes and decides cases, and sends a form again that got no answer."""

    def __init__(self, client):
        super().__init__()
        self.client = client

    def run(self) -> None:
        while match := re.search(r"/cases/(\d+)$", self.send("/next").url):
            self.send(f"/cases/{match[1]}/decide", outcome="fraud", note="seen")

    def send(self, path: str, **form):
        while True:
            try:
                return self.client.post(path, **form)
            except OSError:
                time.sleep(0.05)


@pytest.mark.slow
def test_kills_lose_no_decision_and_no_label_and_double_none(start_desk, tmp_path):
    write_log(tmp_path / "decisions.jsonl", *(
        decision(f"t-{number}", amount_cents=100 * number, origin=f"{number:032x}",
                 destination=None) for number in range(1, CASES + 1)))
    desk = start_desk()
    admin = desk.client()
    eventually(lambda: len(admin.case_ids()) == 50)
    workers = [Worker(desk.client(name, desk.add(name)))
               for name in (f"p{number}" for number in range(ANALYSTS))]
    for worker in workers:
        worker.start()
    for _ in range(KILLS):
        time.sleep(1)
        desk.kill()
        desk.start()
    for worker in workers:
        worker.join()
    # A case that was taken when an answer was lost stays with its person: decide the rest.
    names = {worker.client for worker in workers}
    for client in names:
        for case in client.case_ids("mine"):
            client.decide(case)
    expected = {f"t-{number}" for number in range(1, CASES + 1)}
    eventually(lambda: set(read_label_table(desk.labels)["transaction_id"]) == expected, 60)
    assert read_label_table(desk.labels)["transaction_id"].is_unique
    engine = create_engine(desk.settings["FRAUD_DESK_DATABASE"])
    with engine.connect() as connection:
        decided = Counter(connection.execute(text(
            "SELECT case_id FROM trail WHERE action = 'decided'")).scalars())
    engine.dispose()
    assert decided == dict.fromkeys(range(1, CASES + 1), 1)


@pytest.fixture
def new_database(postgresql) -> str:
    """The URL of an empty database in PostgreSQL."""
    engine = create_engine(f"{postgresql}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE desk"))
    engine.dispose()
    return f"{postgresql}/desk"


@pytest.fixture
def stream(broker, redis_url, make_bundle, tmp_path):
    """Topics, and a bundle that stream and API share with their Redis and their key."""
    make_bundle(tmp_path / "bundle")
    stream = Stream(broker, tmp_path, FRAUD_HISTORY=redis_url, FRAUD_HISTORY_DEADLINE_MS="5000",
                    FRAUD_ACCOUNT_KEY=KEY, FRAUD_DECISION_LOG=str(tmp_path / "of-stream.jsonl"))
    yield stream
    stream.close()


@pytest.fixture
def api(stream, tmp_path):
    server = Server(tmp_path, **{name: stream.variables[name] for name in (
        "FRAUD_MODEL", "FRAUD_HISTORY", "FRAUD_HISTORY_DEADLINE_MS", "FRAUD_ACCOUNT_KEY")},
        FRAUD_DECISION_LOG=str(tmp_path / "of-api.jsonl"))
    yield server
    server.stop()


def known_frauds(line: Decision) -> tuple[int, float | None]:
    """Known frauds that the destination received: the count, and the feature that is its share."""
    return (line.counts[COUNT_NAMES.index("destination_frauds_received_month")],
            line.features[DEFAULT.names.index("destination_fraud_share_month")])


@pytest.mark.slow
def test_a_fraud_that_an_analyst_found_is_a_feature_of_the_next_payment_and_training_data(
        stream, api, start_desk, new_database, broker, tmp_path, monkeypatch):
    """Payments over API and Kafka, history in Redis, cases in PostgreSQL, labels over Kafka."""
    recorder, scorer = stream.recorder(), stream.scorer()
    now = now_ms()
    stream.send([payment("t-0", event_time=now - 40 * DAY_MS, amount=0, origin="C8",
                         destination="C9")])
    stream.log_lines(1)         # history is recorded from this payment on, longer than a month
    stream.send([payment("t-1", event_time=now - HOUR_MS, amount=0.5)])
    assert known_frauds(lines_of(stream, 2)[1]) == (0, 0.0)

    desk = start_desk(FRAUD_DESK_DATABASE=new_database, FRAUD_BROKERS=broker,
                      FRAUD_DESK_DECISIONS=f"kafka:{stream.settings.topic_decision_log}",
                      FRAUD_DESK_LABELS=f"kafka:{stream.settings.topic_labels}")
    analyst = desk.client("ana", desk.add("ana"))
    case, _ = analyst.wait_for_cases(2)      # t-1 is the larger one
    assert analyst.decide(case, "fraud").ok
    eventually(lambda: stream.committed_labels() == 1, 60)

    later = now_ms()
    assert api.score("t-2", event_time=later, amount=0.6, origin="C3").json()["history"] == "full"
    of_api = msgspec.json.decode((tmp_path / "of-api.jsonl").read_bytes(), type=Decision)
    stream.send([payment("t-3", event_time=later, amount=0.6, origin="C4")])
    of_stream = lines_of(stream, 3)[-1]
    assert known_frauds(of_api) == (1, pytest.approx(1 / 2, rel=0.01))      # payments
    assert known_frauds(of_stream) == (1, pytest.approx(1 / 3, rel=0.01))

    monkeypatch.setenv("FRAUD_BROKERS", broker)
    monitoring_labels.main([
        "--decisions", str(tmp_path / "of-stream.jsonl"), str(tmp_path / "of-api.jsonl"),
        "--labels", f"kafka:{stream.settings.topic_labels}",
        "--as-of", "2099-01-01T00:00:00Z", "--out", str(tmp_path / "known")])
    training = pd.read_parquet(tmp_path / "known/training.parquet").set_index("transaction_id")
    assert set(training.index) == {"t-0", "t-1", "t-2", "t-3"}
    labelled = training[training["is_fraud"].notna()]
    assert labelled["is_fraud"].to_dict() == {"t-1": 1} and set(labelled["source"]) == {"desk"}
    assert recorder.stop() == scorer.stop() == 0


def lines_of(stream, count: int) -> list[Decision]:
    """The lines in the topic, in the order of their payments."""
    return sorted((msgspec.json.decode(record.value, type=Decision)
                   for record in stream.log_lines(count)), key=lambda line: line.transaction_id)
