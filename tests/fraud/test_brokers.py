import pytest

from fraud.brokers import BrokerSettings, connection, read
from fraud.settings import SettingsError


def test_brokers_have_the_name_that_all_of_kafka_uses():
    assert read({}).brokers == "localhost:9092"
    assert read({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"}).brokers == "a:1,b:2"
    assert connection(read({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"}))["bootstrap_servers"] == [
        "a:1", "b:2"]


def test_a_bad_value_is_refused_by_name():
    with pytest.raises(SettingsError, match="^FRAUD_KAFKA_SECURITY is 'none'"):
        read({"FRAUD_KAFKA_SECURITY": "none"})


def test_credentials_and_authority_reach_the_clients():
    settings = BrokerSettings(kafka_security="SASL_SSL", kafka_user="u", kafka_password="p",
                              kafka_ca_file="ca.pem")
    assert connection(settings) == {
        "bootstrap_servers": ["localhost:9092"], "security_protocol": "SASL_SSL",
        "ssl_cafile": "ca.pem", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u",
        "sasl_plain_password": "p"}
