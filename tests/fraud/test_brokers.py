import pytest

from fraud.brokers import BrokerSettings, connection, read_broker_settings
from fraud.settings import SettingsError


def test_the_variable_of_every_kafka_client_names_the_brokers():
    assert read_broker_settings({}).brokers == "localhost:9092"
    assert read_broker_settings({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"}).brokers == "a:1,b:2"
    settings = read_broker_settings({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"})
    assert connection(settings)["bootstrap_servers"] == ["a:1", "b:2"]


def test_an_invalid_value_is_refused_by_its_variable():
    with pytest.raises(SettingsError, match="^FRAUD_KAFKA_SECURITY is 'none'"):
        read_broker_settings({"FRAUD_KAFKA_SECURITY": "none"})


def test_credentials_and_authority_reach_the_clients():
    settings = BrokerSettings(kafka_security="SASL_SSL", kafka_user="u", kafka_password="p",
                              kafka_ca_file="ca.pem")
    assert connection(settings) == {
        "bootstrap_servers": ["localhost:9092"], "security_protocol": "SASL_SSL",
        "reconnect_backoff_max_ms": 1_000,
        "ssl_cafile": "ca.pem", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u",
        "sasl_plain_password": "p"}
