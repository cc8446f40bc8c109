"""What a message is: a payment or poison; and what is produced for it: a decision or a dead letter.

Both lie in a partition of the same number as the message, and say where it lay in the headers
`source-partition` and `source-offset`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from kafka.consumer.fetcher import ConsumerRecord

from fraud.transaction import TYPES, InvalidTransaction, Transaction, Wire, parse

PAYMENT_BYTES = 65_536          # a payment with the longest names has less than 4,000
DETAIL_CHARACTERS = 500         # what is wrong may quote what was sent
HEADROOM_BYTES = 16_384         # of a dead letter, for its headers and Kafka's own
DUPLICATE = ("duplicate", b"true")

Headers = list[tuple[str, bytes]]


class Poison(NamedTuple):
    """A message that cannot be scored, ever.

    `reason` is not-json, invalid-payment, too-large, null-value, bad-key, id-reused or
    event-time-ahead; `detail` names field, value and fix.
    """

    reason: str
    detail: str


class Answer(NamedTuple):
    """What a payment is answered.

    `known`: the answer was kept before this message was scored. The payment was sent again, or a
    scorer stopped between keeping the answer and committing it.
    """

    body: bytes
    known: bool


class Produced(NamedTuple):
    """A message to produce."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def read(record: ConsumerRecord) -> Transaction | Poison:
    """What a message says."""
    value = record.value
    if value is None:
        return Poison("null-value", "the message has no value; send a payment as JSON")
    if len(value) > PAYMENT_BYTES:
        return Poison("too-large", f"the value has {len(value)} bytes; a payment has no more than "
                      f"{PAYMENT_BYTES}")
    try:
        payment = parse(value)
    except InvalidTransaction as error:
        return Poison("invalid-payment" if _is_json(value) else "not-json", str(error))
    if record.key is not None and record.key != payment.origin.encode():
        return Poison("bad-key", f"the key is {record.key[:100]!r} and origin is "
                      f"{payment.origin!r}; use origin as the key: it keeps an account's order")
    return payment


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
        return True
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False


def encode(payment: Transaction) -> bytes:
    """The message of a payment: JSON, as `fraud.transaction.parse` takes it."""
    return _encode(Wire(
        payment.transaction_id, payment.event_time, TYPES[payment.type_code],
        payment.amount_cents / 100, payment.origin, payment.destination,
        payment.origin_balance_cents / 100, payment.destination_balance_cents / 100))


def decision(record: ConsumerRecord, payment: Transaction, answer: Answer) -> Produced:
    """The decision on a payment; with the header `duplicate` where its answer was known."""
    headers = _source(record)
    if answer.known:
        headers.append(DUPLICATE)
    return Produced(record.partition, payment.origin.encode(), answer.body, headers)


def dead_letter(record: ConsumerRecord, poison: Poison, limit: int) -> Produced:
    """A message that cannot be scored, as it was, with the reason.

    Args:
        limit: bytes of the largest message that may be produced. What does not fit is cut, and
            the header `truncated` says how long it was.
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
        value = b""                     # Kafka's client sends no message without either
    return Produced(record.partition, key, value, headers)


def _source(record: ConsumerRecord) -> Headers:
    return [("source-partition", b"%d" % record.partition),
            ("source-offset", b"%d" % record.offset)]


_encode = msgspec.json.Encoder().encode
