"""Settings of the stream from the environment."""

import pytest

from fraud.settings import SettingsError
from stream.settings import read_stream_settings


def test_brokers_have_the_name_that_all_of_kafka_uses():
    assert read_stream_settings({}).brokers == "localhost:9092"
    assert read_stream_settings({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"}).brokers == "a:1,b:2"


def test_each_scorer_has_a_name_of_its_own_unless_it_is_given_one():
    assert read_stream_settings({}).stream_instance != read_stream_settings({}).stream_instance
    assert read_stream_settings({"FRAUD_STREAM_INSTANCE": "one"}).stream_instance == "one"


@pytest.mark.parametrize(("name", "value"), [
    ("FRAUD_STREAM_BATCH", "0"), ("FRAUD_SESSION_MS", "soon"), ("FRAUD_METRICS_PORT", "65536"),
    ("FRAUD_KAFKA_SECURITY", "none")])
def test_a_bad_value_is_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=f"^{name} is '{value}'"):
        read_stream_settings({name: value})
