"""Messages: a payment or poison comes in, a decision or a dead letter goes out.

An outcome is written to the partition with the message's number; its headers `source-partition` and
`source-offset` name the message. The headers `x-request-id` and `traceparent` of a message are
passed on.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec
from kafka.consumer.fetcher import ConsumerRecord

from fraud.caller import (
    REQUEST_ID_HEADER, TRACEPARENT_HEADER, UNKNOWN, Caller, valid_request_id, valid_traceparent)
from fraud.errors import JSON_ERRORS
from fraud.transaction import InvalidTransaction, Payment, Transaction, parse

PAYMENT_BYTES = 65_536          # a payment with the longest names has less than 4,000
DETAIL_CHARACTERS = 500         # a detail may quote the message
HEADROOM_BYTES = 16_384         # of a dead letter, for headers and Kafka's overhead
DUPLICATE = ("duplicate", b"true")

Headers = list[tuple[str, bytes]]


class Poison(NamedTuple):
    """A message that can never be scored.

    `reason` is not-json, invalid-payment, too-large, null-value, bad-key, id-reused,
    event-time-ahead, unknown-type or corrupt; `detail` names field, value and fix.
    """

    reason: str
    detail: str


class StreamAnswer(NamedTuple):
    """The answer to a payment.

    `known`: the answer was kept before this message was scored. The payment was sent again, or a
    scorer stopped between keeping the answer and committing it.
    """

    body: bytes
    known: bool
    log_line: bytes | None = None       # for the topic of decision lines, if there is one


class Produced(NamedTuple):
    """A message to produce."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class CorruptRecord(NamedTuple):
    """A record that the client refuses, because its batch fails the checksum."""

    topic: str
    partition: int
    offset: int
    timestamp: int              # when it was met: its own is not known
    detail: str
    key: None = None
    value: None = None
    headers: tuple[()] = ()


Record: TypeAlias = ConsumerRecord | CorruptRecord


def parse_message(record: Record) -> Transaction | Poison:
    """Return the payment of a message, or the reason why it cannot be scored."""
    if isinstance(record, CorruptRecord):
        return Poison("corrupt", record.detail)
    value = record.value
    if value is None:
        return Poison("null-value", "the message has no value; send a payment as JSON")
    if len(value) > PAYMENT_BYTES:
        return Poison("too-large", f"the value has {len(value)} bytes; a payment has at most "
                      f"{PAYMENT_BYTES}")
    try:
        payment = parse(value)
    except InvalidTransaction as error:
        return Poison("invalid-payment" if _is_json(value) else "not-json", str(error))
    if record.key is not None and record.key != payment.origin.encode():
        return Poison("bad-key", f"the key is {record.key[:100]!r} and origin is "
                      f"{payment.origin!r}; use origin as the key: it keeps an account's order")
    return payment


def caller(record: Record) -> Caller:
    """Return the request id and the trace in the headers of a message; invalid ones are dropped."""
    if not record.headers:
        return UNKNOWN
    headers = dict(record.headers)
    given = Caller("", valid_request_id(_text(headers.get(REQUEST_ID_HEADER))),
                   valid_traceparent(_text(headers.get(TRACEPARENT_HEADER))))
    return UNKNOWN if given == UNKNOWN else given


def _text(value: bytes | None) -> str:
    return (value or b"").decode("ascii", "replace")


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
        return True
    except JSON_ERRORS:
        return False


def encode(payment: Transaction) -> bytes:
    """Return the message of a payment: JSON for `fraud.transaction.parse`."""
    return _encode(Payment(
        payment.transaction_id, payment.event_time, payment.type,
        payment.amount_cents / 100, payment.origin, payment.destination,
        _units(payment.origin_balance_cents), _units(payment.destination_balance_cents)))


def _units(cents: int | None) -> float | None:
    return None if cents is None else cents / 100


def decision(record: Record, payment: Transaction, answer: StreamAnswer
             ) -> Produced:
    """Return the decision on a payment, with the header `duplicate` if its answer was known."""
    headers = _source(record)
    if answer.known:
        headers.append(DUPLICATE)
    return Produced(record.partition, payment.origin.encode(), answer.body, headers)


def log_line(record: Record, payment: Transaction, line: bytes) -> Produced:
    """Return the decision line of a payment, under its transaction_id: lines name no account."""
    return Produced(record.partition, payment.transaction_id.encode(), line, _source(record))


def dead_letter(record: Record, poison: Poison, limit: int) -> Produced:
    """Return the dead letter of a message: unchanged, with the reason.

    Args:
        limit: bytes of the largest message that may be produced. A larger one is cut, and the
            header `truncated` holds its size.
    """
    room = limit - HEADROOM_BYTES
    key, value = record.key, record.value
    headers = [("reason", poison.reason.encode()),
               ("detail", poison.detail[:DETAIL_CHARACTERS].encode(errors="replace")),
               ("source-topic", record.topic.encode()), *_source(record)]
    size = len(key or b"") + len(value or b"")
    if size > room:
        headers.append(("truncated", str(size).encode()))
        key = key and key[:room // 2]
        value = value and value[:room - len(key or b"")]
    if key is None and value is None:
        value = b""                     # Kafka's client refuses a message without both
    return Produced(record.partition, key, value, headers)


def _source(record: Record) -> Headers:
    headers = [("source-partition", b"%d" % record.partition),
               ("source-offset", b"%d" % record.offset)]
    given = caller(record)
    for name, value in ((REQUEST_ID_HEADER, given.request_id),
                        (TRACEPARENT_HEADER, given.traceparent)):
        if value:
            headers.append((name, value.encode()))
    return headers


_encode = msgspec.json.Encoder().encode
