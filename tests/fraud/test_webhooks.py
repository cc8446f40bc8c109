import base64
import hmac
from hashlib import sha256

import pytest

from fraud.settings import SettingsError
from fraud.webhooks import EncodedEvent, read_secrets, signed_headers

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


def test_the_signature_covers_id_time_and_body():
    secrets = read_secrets("SECRET", f"{SECRET}, whsec_{base64.b64encode(b'o' * 24).decode()}")
    headers = signed_headers(EncodedEvent("e-1", b'{"a":1}'), secrets, 1_700_000_000)
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("e-1", "1700000000")
    newest, older = headers["webhook-signature"].split()
    expected = hmac.new(b"k" * 32, b'e-1.1700000000.{"a":1}', sha256).digest()
    assert newest == "v1," + base64.b64encode(expected).decode() and older != newest


def test_the_signature_is_that_of_the_standard():
    """The example of the specification of Standard Webhooks."""
    secrets = read_secrets("SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(EncodedEvent("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'),
                             secrets, 1_614_265_330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("configured", [
    "", " , ", "secret", "whsec_", "whsec_!!!!", SECRET.removeprefix("whsec_"),
    "whsec_" + base64.b64encode(b"k" * 23).decode(), f"{SECRET},whsec_"])
def test_what_is_no_secret_is_refused_and_not_shown(configured):
    with pytest.raises(SettingsError, match="FRAUD_WEBHOOK_SECRET.*--new-secret") as caught:
        read_secrets("FRAUD_WEBHOOK_SECRET", configured)
    assert "a2tra" not in str(caught.value)
