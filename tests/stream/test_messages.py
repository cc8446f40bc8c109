"""Messages, and the records produced for them."""

import msgspec
import pytest
from kafka.consumer.fetcher import ConsumerRecord

from fraud.caller import UNKNOWN, Caller
from fraud.transaction import Transaction, parse
from stream import messages
from stream.messages import Poison, StreamAnswer
from tests.stream.running import payment

MIB = 1_048_576
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def record(value: bytes | None, key: bytes | None = b"C1", headers=()) -> ConsumerRecord:
    return ConsumerRecord("transactions", 3, 0, 42, 1_000, 0, key, value, list(headers), None, 0, 0,
                          0)


def body(**changes) -> bytes:
    return msgspec.json.encode(payment(**changes))


@pytest.mark.parametrize("key", [b"C1", None])
def test_a_payment_is_read_with_its_key_or_without_one(key):
    assert messages.parse_message(record(body(), key)) == parse(body())


def test_what_is_encoded_is_read_again():
    said = messages.parse_message(record(body(amount=0.29, origin_balance=-12.34)))
    assert isinstance(said, Transaction)
    assert messages.parse_message(record(messages.encode(said))) == said


@pytest.mark.parametrize(("value", "key", "reason", "names"), [
    (None, b"C1", "null-value", "the message has no value; send a payment as JSON"),
    (b"", b"C1", "not-json", "payment"),
    (b"{", b"C1", "not-json", "payment"),
    (b"\xff\xfe", b"C1", "not-json", "payment"),
    (b"[" * 60_000, b"C1", "not-json", "payment"),
    (b"[]", b"C1", "invalid-payment", "object"),
    (b"{}", b"C1", "invalid-payment", "transaction_id"),
    (body(type=7), b"C1", "invalid-payment", "type is 7"),
    (body(amount=0.001), b"C1", "invalid-payment", "amount"),
    (body(), b"C2", "bad-key", "'C1'"),
    (body(), b"", "bad-key", "'C1'"),
    (b" " * 65_537, b"C1", "too-large", "65537"),
    (body() + b" " * 65_536, b"C1", "too-large", "65536"),
])
def test_poison_is_told_apart(value, key, reason, names):
    said = messages.parse_message(record(value, key))
    assert isinstance(said, Poison)
    assert said.reason == reason
    assert names in said.detail


def test_a_record_that_fails_its_checksum_is_poison():
    record = messages.CorruptRecord("transactions", 3, 42, 1_000, "the checksum is wrong")
    assert messages.parse_message(record) == Poison("corrupt", "the checksum is wrong")
    assert messages.dead_letter(record, Poison("corrupt", "why"), MIB)[:3] == (3, None, b"")


def test_a_value_of_the_largest_size_is_read():
    largest = body() + b" " * (messages.PAYMENT_BYTES - len(body()))
    assert messages.parse_message(record(largest)) == parse(body())


def test_a_wrong_key_is_cut_in_its_reason():
    said = messages.parse_message(record(body(), b"k" * 200))
    assert said.detail.startswith(f"the key is {b'k' * 100!r} and origin is 'C1'; ")


def test_unknown_balances_stay_unknown_when_encoded():
    sent = parse(body(origin_balance=None, destination_balance=None))
    assert parse(messages.encode(sent)) == sent


def test_a_decision_line_lies_under_its_transaction_id_where_its_message_lay():
    assert messages.log_line(record(body()), parse(body()), b"line") == (
        3, parse(body()).transaction_id.encode(), b"line",
        [("source-partition", b"3"), ("source-offset", b"42")])


def test_a_decision_lies_under_its_origin_where_its_message_lay():
    produced = messages.decision(record(body(), None), parse(body()),
                                 StreamAnswer(b"answer", False))
    assert produced == (3, b"C1", b"answer", [
        ("source-partition", b"3"), ("source-offset", b"42")])


def test_an_answer_that_was_known_is_marked():
    produced = messages.decision(record(body()), parse(body()), StreamAnswer(b"answer", True))
    assert ("duplicate", b"true") in produced.headers


def test_request_id_and_trace_of_a_message_are_read_and_passed_on():
    given = [("traceparent", TRACEPARENT.encode()), ("x-request-id", b"6f1c-4d"), ("other", b"x")]
    message = record(body(), headers=given)
    assert messages.caller(message) == Caller("", "6f1c-4d", TRACEPARENT)
    for produced in (messages.decision(message, parse(body()), StreamAnswer(b"answer", False)),
                     messages.dead_letter(message, Poison("not-json", "why"), MIB)):
        assert produced.headers[-2:] == [
            ("x-request-id", b"6f1c-4d"), ("traceparent", TRACEPARENT.encode())]


@pytest.mark.parametrize("headers", [
    [], [("other", b"x")], [("traceparent", b"00-1-2-3"), ("x-request-id", b"two words")],
    [("traceparent", None)], [("x-request-id", b"\xff")]])
def test_a_message_without_valid_ids_has_no_caller(headers):
    assert messages.caller(record(body(), headers=headers)) is UNKNOWN


def test_a_dead_letter_is_the_message_with_its_reason():
    produced = messages.dead_letter(record(b"{", b"key"), Poison("not-json", "why"), MIB)
    assert produced == (3, b"key", b"{", [
        ("reason", b"not-json"), ("detail", b"why"), ("source-topic", b"transactions"),
        ("source-partition", b"3"), ("source-offset", b"42")])


@pytest.mark.parametrize(("key", "value"), [
    (b"k", b"v" * 2 * MIB), (b"k" * 2 * MIB, b"v"), (b"k" * MIB, b"v" * MIB),
    (b"k" * 2 * MIB, None), (None, b"v" * 2 * MIB)])
def test_what_does_not_fit_is_cut_and_says_so(key, value):
    produced = messages.dead_letter(record(value, key), Poison("too-large", "d" * 10_000), MIB)
    assert dict(produced.headers)["truncated"] == str(len(key or b"") + len(value or b"")).encode()
    kept = (produced.key or b"", produced.value or b"")
    assert MIB // 3 < sum(map(len, kept)) + sum(
        len(name) + len(content) for name, content in produced.headers) < MIB - 1_000
    assert (key or b"").startswith(kept[0]) and (value or b"").startswith(kept[1])


def test_the_largest_dead_letter_is_whole():
    value = b"v" * (MIB - messages.HEADROOM_BYTES - 1)
    produced = messages.dead_letter(record(value, b"k"), Poison("not-json", "why"), MIB)
    assert produced.value == value and "truncated" not in dict(produced.headers)


def test_a_detail_with_half_a_character_has_a_stand_in_for_it():
    produced = messages.dead_letter(record(b"{"), Poison("not-json", "\ud800"), MIB)
    assert dict(produced.headers)["detail"] == b"?"


def test_a_message_of_nothing_has_a_dead_letter_too():
    produced = messages.dead_letter(record(None, None), Poison("null-value", "why"), MIB)
    assert (produced.key, produced.value) == (None, b"")
