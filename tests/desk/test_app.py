"""The desk as a process: killed in between, and as a link from a payment to training data."""

import re
import threading
import time
from collections import Counter

import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from fraud.training.label_table import read_label_table
from fraud.training.registry import publication
from tests.desk.running import KEY, decision, eventually, write_log
from tests.serve.running import Server

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


@pytest.mark.slow
def test_from_a_payment_over_postgresql_and_kafka_to_training_data(
        start_desk, postgresql, broker, make_bundle, tmp_path):
    from kafka import KafkaAdminClient
    from kafka.admin import NewTopic

    from monitoring import labels as monitoring_labels

    make_bundle(tmp_path / "bundle")
    publication.publish(tmp_path / "bundle", "fraud-detector", str(tmp_path / "models"))
    with KafkaAdminClient(bootstrap_servers=broker) as admin:
        admin.create_topics([NewTopic("labels-of-people", 1, 1)])
    engine = create_engine(f"{postgresql}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE desk"))
    engine.dispose()
    api = Server(tmp_path, FRAUD_MODEL=str(tmp_path / "models"), FRAUD_ACCOUNT_KEY=KEY,
                 FRAUD_DECISION_LOG=str(tmp_path / "decisions.jsonl"))
    try:
        assert api.score("t-1", amount=0.5).json()["decision"] == "review"
        assert api.score("t-2", amount=0.6).json()["decision"] == "review"
    finally:
        api.process.kill()
        api.process.wait()
    desk = start_desk(FRAUD_DESK_DATABASE=f"{postgresql}/desk", FRAUD_BROKERS=broker,
                      FRAUD_DESK_LABELS="kafka:labels-of-people")
    admin = desk.client()
    larger, smaller = admin.wait_for_cases(2)
    assert admin.decide(larger, "fraud").ok
    assert admin.decide(smaller, "legitimate").ok
    eventually(lambda: 'fraud_desk_sent_total{kind="label"} 2.0' in admin.get("/metrics").text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FRAUD_BROKERS", broker)
        monitoring_labels.main([
            "--decisions", str(tmp_path / "decisions.jsonl"), "--labels", "kafka:labels-of-people",
            "--as-of", "2099-01-01T00:00:00Z", "--out", str(tmp_path / "known")])
    training = pd.read_parquet(tmp_path / "known/training.parquet").set_index("transaction_id")
    assert training["is_fraud"].to_dict() == {"t-1": 0, "t-2": 1}
    assert set(training["source"]) == {"desk"}
