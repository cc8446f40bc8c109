import pytest

from fraud.brokers import BrokerSettings
from fraud.settings import Settings, SettingsError, description, from_environment


def test_every_setting_has_a_default():
    assert from_environment({}) == from_environment({"FRAUD_HISTORY": ""}) == Settings()
    assert Settings().history == "memory://"


def test_every_field_has_a_variable():
    assert from_environment({
        "FRAUD_MODEL": "models", "FRAUD_RULES": "rules", "FRAUD_HISTORY": "redis://h",
        "FRAUD_HISTORY_DEADLINE_MS": "7.5", "FRAUD_IDEMPOTENCY_HOURS": "48",
        "FRAUD_MEMORY_IDS": "5", "FRAUD_MEMORY_ACCOUNTS": "2000",
        "FRAUD_MAX_CLOCK_SKEW_MINUTES": "1", "FRAUD_CLOCK": "event", "FRAUD_ACCOUNT_KEY": "k",
        "PATH": "/bin"}) == Settings(
            "models", "rules", "redis://h", 7.5, 48.0, 5, 2000, 1.0, "event", "k")


@pytest.mark.parametrize(("name", "value", "why"), [
    ("FRAUD_IDEMPOTENCY_HOURS", "a day", "float"), ("FRAUD_IDEMPOTENCY_HOURS", "0", "> 0"),
    ("FRAUD_HISTORY_DEADLINE_MS", "-1", "> 0"), ("FRAUD_MEMORY_IDS", "1.5", "int"),
    ("FRAUD_MEMORY_ACCOUNTS", "10", ">= 1000"), ("FRAUD_CLOCK", "sun", "Invalid enum value"),
    ("FRAUD_IDEMPOTENCY_HOURS", "nan", ""), ("FRAUD_IDEMPOTENCY_HOURS", "inf", "<= 1000000")])
def test_an_invalid_value_is_refused_with_variable_value_and_fix(name, value, why):
    with pytest.raises(SettingsError) as caught:
        from_environment({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} is '{value}': ") and why in message
    fix = description(Settings, name.removeprefix("FRAUD_").lower())
    assert message.endswith(f"; give {fix}")


@pytest.mark.parametrize("field", BrokerSettings.__struct_fields__)
def test_every_field_has_a_description_of_one_line(field):
    text = description(BrokerSettings, field)
    assert text != "another value" and 10 < len(text) < 160 and "\n" not in text


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Settings().model = "other"
