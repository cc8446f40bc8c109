import pytest

from fraud.settings import Settings, SettingsError, from_environment


def test_nothing_need_be_set():
    assert from_environment({}) == from_environment({"FRAUD_HISTORY": ""}) == Settings()
    assert Settings().history == "memory://"


def test_every_field_has_a_variable():
    assert from_environment({
        "FRAUD_MODEL": "models", "FRAUD_HISTORY": "redis://h", "FRAUD_HISTORY_DEADLINE_MS": "7.5",
        "FRAUD_ID_HOURS": "48", "FRAUD_MEMORY_IDS": "5", "FRAUD_MEMORY_ACCOUNTS": "2000",
        "FRAUD_MAX_AHEAD_MINUTES": "1", "FRAUD_CLOCK": "event", "FRAUD_ACCOUNT_KEY": "k",
        "PATH": "/bin"}) == Settings("models", "redis://h", 7.5, 48.0, 5, 2000, 1.0, "event", "k")


@pytest.mark.parametrize(("name", "value", "why"), [
    ("FRAUD_ID_HOURS", "a day", "float"), ("FRAUD_ID_HOURS", "0", "> 0"),
    ("FRAUD_HISTORY_DEADLINE_MS", "-1", "> 0"), ("FRAUD_MEMORY_IDS", "1.5", "int"),
    ("FRAUD_MEMORY_ACCOUNTS", "10", ">= 1000"), ("FRAUD_CLOCK", "sun", "Invalid enum value"),
    ("FRAUD_ID_HOURS", "nan", ""), ("FRAUD_ID_HOURS", "inf", "<= 1000000")])
def test_a_value_that_is_none_is_refused_by_its_name(name, value, why):
    with pytest.raises(SettingsError) as caught:
        from_environment({name: value})
    message = str(caught.value)
    assert message.startswith(f"{name} is '{value}': ") and why in message


def test_settings_do_not_change():
    with pytest.raises(AttributeError):
        Settings().model = "other"
