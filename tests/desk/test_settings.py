"""Settings that would not work, or not be safe, are refused with the fix."""

import pytest

from desk.settings import read_desk_settings
from fraud.settings import SettingsError

SECRET = "whsec_" + "A" * 32


@pytest.mark.parametrize(("settings", "message"), [
    ({"PROXY_HEADER": "X-User"}, "anyone could be anyone"),
    ({"PROXY_ADDRESS": "proxy"}, "is not an IP address or network"),
    ({"TLS_KEY": "key.pem"}, "go together"),
    ({"LINKS": "Report=javascript:alert(1)"}, "is not a URL"),
    ({"WEBHOOK": "https://caller/"}, "_SECRET is empty"),
    ({"WEBHOOK": "https://caller/", "WEBHOOK_SECRET": "whsec_QUJD"}, "24 to 64 bytes"),
    ({"WEBHOOK": "https://caller/", "WEBHOOK_SECRET": "A" * 32}, "whsec_"),
    ({"WEBHOOK": "file:///etc/passwd", "WEBHOOK_SECRET": SECRET}, "is not a URL"),
    ({"SAMPLE_SHARE": "2"}, "share of approvals")])
def test_a_setting_that_cannot_be_used_is_an_error(settings, message):
    with pytest.raises(SettingsError, match=message):
        read_desk_settings({f"FRAUD_DESK_{name}": value for name, value in settings.items()})


def test_links_and_a_network_are_read():
    settings = read_desk_settings({
        "FRAUD_DESK_LINKS": "Report=/report, Grafana=https://grafana/d/1",
        "FRAUD_DESK_PROXY_ADDRESS": "10.1.0.0/16", "FRAUD_DESK_WEBHOOK": "https://caller/",
        "FRAUD_DESK_WEBHOOK_SECRET": SECRET})
    assert settings.links == [("Report", "/report"), ("Grafana", "https://grafana/d/1")]
    assert settings.is_secure
    assert list(map(len, settings.webhook_secrets)) == [24]
