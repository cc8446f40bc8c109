import msgspec
import pytest

from stream.webhook_events import encoded_event
from tests.fraud.training.registry.test_backtest import NOW, decision

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def line(*arguments, **changes) -> bytes:
    return msgspec.json.encode(decision(*arguments, **changes))


def event(*arguments, **changes) -> dict:
    encoded = encoded_event(line(*arguments, **changes))
    assert encoded is not None
    body = msgspec.json.decode(encoded.body)
    assert body["id"] == encoded.id
    return body


def test_a_decline_is_a_cloud_event_with_the_decision():
    body = event("t-1", 12.5, "decline", request_id="6f1c-4d", owner="checkout")
    assert (body["specversion"], body["source"], body["subject"]) == (
        "1.0", "/fraud-detector", "t-1")
    assert body["type"] == "fraud.decision.decline"
    assert (body["time"], body["datacontenttype"]) == (
        "2024-01-01T10:00:00.000Z", "application/json")
    data = body["data"]
    assert (data["amount"], data["decision"], data["event_time"]) == (12.5, "decline", NOW)
    assert (data["request_id"], data["owner"]) == ("6f1c-4d", "checkout")
    assert "features" not in data and "counts" not in data and "traceparent" not in body


def test_the_trace_of_the_payment_goes_on():
    assert event("t-1", 1.0, "review", traceparent=TRACEPARENT)["traceparent"] == TRACEPARENT


def test_an_approval_is_no_event_and_another_line_is_an_error():
    assert encoded_event(line("t-1", 1.0, "approve")) is None
    for text in (b"{}", b"{", b"\xff", b"null"):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            encoded_event(text)


def test_equal_decisions_on_a_payment_have_one_id_and_others_another():
    first = event("t-1", 1.0, "review")["id"]
    assert event("t-1", 1.0, "review", decided_at=NOW + 5)["id"] == first
    assert len({first, event("t-1", 1.0, "decline")["id"], event("t-2", 1.0, "review")["id"],
                event("t-1", 1.0, "review", day=1)["id"]}) == 4
