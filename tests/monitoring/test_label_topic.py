"""Labels through a real broker."""

import secrets

import msgspec
import pandas as pd
import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from fraud import topics
from fraud.brokers import BROKERS, BrokerSettings, connection
from fraud.settings import SettingsError
from fraud.topics import TopicError, read_to_end
from fraud.training import label_table
from fraud.training.errors import TrainingError
from monitoring import label_topic, labels

NOW = 1_704_103_200_000


@pytest.fixture
def settings(broker) -> BrokerSettings:
    return BrokerSettings(brokers=broker)


@pytest.fixture
def topic(settings) -> str:
    """A topic of two partitions, with nothing in it."""
    name = f"labels-{secrets.token_hex(4)}"
    with KafkaAdminClient(**connection(settings)) as admin:
        admin.create_topics([NewTopic(name, 2, 1)])
        admin.wait_for_topics([name])
    return name


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("transaction_id,is_fraud,label_time,source,incident_id\n"
                    f"a,1,{NOW},chargeback,i-1\nb,0,{NOW + 1},analyst,\nc,1,{NOW},,\n")
    return path


def put(settings: BrokerSettings, topic: str, *values: bytes | None) -> None:
    """Messages in partition 0, as they are."""
    with KafkaProducer(**connection(settings)) as producer:
        for value in values:
            producer.send(topic, value, b"key", partition=0)
        producer.flush(30)


def label(**changes) -> bytes:
    return msgspec.json.encode(
        {"transaction_id": "a", "is_fraud": 1, "label_time": NOW, **changes})


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["transaction_id", "label_time"]).reset_index(drop=True)


def test_what_a_file_says_is_read_from_the_topic_each_time_again(topic, settings, csv):
    table = label_table.read_named_labels(csv)
    assert label_topic.send(table, topic, settings) == 3
    for _ in range(2):
        read = label_topic.read_topic(topic, settings)
        pd.testing.assert_frame_equal(in_order(read.table), label_table.read_label_table(csv))
        assert read.left_out == []


def test_a_file_sent_twice_says_the_same(topic, settings, csv):
    table = label_table.read_named_labels(csv)
    label_topic.send(table, topic, settings)
    once = labels.latest_labels(label_topic.read_topic(topic, settings).table, NOW + 1)
    label_topic.send(table, topic, settings)
    twice = labels.latest_labels(label_topic.read_topic(topic, settings).table, NOW + 1)
    pd.testing.assert_frame_equal(in_order(twice.table), in_order(once.table))
    assert twice.left_out == once.left_out


@pytest.mark.parametrize(("value", "why"), [
    (b"fraud!", "JSON is malformed"), (b"\xff", "utf-8|JSON is malformed"), (None, "no value"),
    (b"[]", "Expected `object`"), (label(is_fraud=2), "is_fraud is 2; give 1 for fraud or 0"),
    (label(label_time=NOW // 1000), "looks like seconds: convert it")])
def test_a_message_that_is_no_label_is_reported_with_its_offset_and_left_out(
        topic, settings, value, why):
    put(settings, topic, label(), value, label(transaction_id="b"))
    read = label_topic.read_topic(topic, settings)
    assert read.table["transaction_id"].tolist() == ["a", "b"]
    [line] = read.left_out
    assert line.startswith(f"{topic}, partition 0, offset 1: ")
    assert pd.Series([line]).str.contains(why, regex=True).all()


def test_labels_of_one_moment_that_differ_are_refused_until_a_later_one_settles_it(
        topic, settings):
    put(settings, topic, label(), label(is_fraud=0))
    with pytest.raises(TrainingError, match="a: has labels 0 and 1 at the same"):
        labels.latest_labels(label_topic.read_topic(topic, settings).table, NOW)
    put(settings, topic, label(is_fraud=0, label_time=NOW + 5))
    latest = labels.latest_labels(label_topic.read_topic(topic, settings).table, NOW + 5)
    assert latest.table["is_fraud"].tolist() == [0]


def test_accounts_of_a_file_are_sent_and_a_row_that_is_not_a_label_is_refused(
        topic, settings, tmp_path):
    path = tmp_path / "named.csv"
    path.write_text(f"transaction_id,is_fraud,label_time,origin,destination\na,1,{NOW},C1,C2\n")
    label_topic.send(label_table.read_named_labels(path), topic, settings)
    [record] = read_to_end(topic, settings)
    assert msgspec.json.decode(record.value) == {
        "transaction_id": "a", "is_fraud": 1, "label_time": NOW, "origin": "C1",
        "destination": "C2"}
    path.write_text(f"transaction_id,is_fraud,label_time,destination\na,1,{NOW},C2\n")
    with pytest.raises(TrainingError, match="a: the destination is given, 'C2', without the"):
        label_topic.send(label_table.read_named_labels(path), topic, settings)


def test_an_empty_topic_has_no_labels_and_one_that_is_missing_is_a_line(topic, settings):
    assert len(label_topic.read_topic(topic, settings).table) == 0
    with pytest.raises(TopicError, match="topic 'no-such' is missing on .*; make it with "
                                         "python -m stream.topics"):
        label_topic.read_topic("no-such", settings)


def test_commands_write_to_the_topic_and_read_from_it(topic, settings, csv, monkeypatch, capsys):
    monkeypatch.setenv(BROKERS, settings.brokers)
    monkeypatch.setenv("FRAUD_TOPIC_LABELS", topic)
    label_topic.main(["--labels", str(csv)])
    put(settings, topic, b"fraud!")
    assert capsys.readouterr().out == f"3 labels are in {topic}\n"
    assert sorted(labels.read_labels(f"kafka:{topic}")["transaction_id"]) == ["a", "b", "c"]
    assert capsys.readouterr().err.startswith(f"left out: {topic}, partition 0, offset ")


def test_brokers_that_are_away_and_settings_that_are_none_are_one_line(monkeypatch):
    away = BrokerSettings(brokers="127.0.0.1:1")
    monkeypatch.setattr(topics, "BOOTSTRAP_MS", 300)
    with pytest.raises(TopicError, match="topic 'labels' cannot be read from 127.0.0.1:1"):
        label_topic.read_topic("labels", away)
    monkeypatch.setenv("FRAUD_KAFKA_SECURITY", "none")
    with pytest.raises(SettingsError, match="FRAUD_KAFKA_SECURITY is 'none'"):
        labels.read_labels("kafka:labels")
