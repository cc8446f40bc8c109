"""Parsers of what people and programs send, for a fuzzer: each takes any bytes.

A parser may refuse its input with an error of its own, `REFUSALS`. Anything else is a defect.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from kafka.consumer.fetcher import ConsumerRecord

from fraud.errors import FraudError
from fraud.labels import InvalidLabel, parse as parse_label
from fraud.training.data import mapping
from fraud.training.registry import rule_files
from fraud.transaction import InvalidTransaction, parse as parse_payment
from stream import messages
from stream.dead_letters import repairs_of

CORPUS = Path(__file__).parent / "corpus"
REFUSALS = (FraudError, InvalidTransaction, InvalidLabel)
SCRATCH = Path(tempfile.gettempdir(), f"fuzz-{os.getpid()}")


def payment(content: bytes) -> None:
    """A payment that is accepted has the same fields once it was sent on."""
    parsed = parse_payment(content)
    assert parse_payment(messages.encode(parsed)) == parsed


def label(content: bytes) -> None:
    parse_label(content)


def message(content: bytes) -> None:
    """A message is a payment or has a reason: nothing is raised."""
    record = ConsumerRecord("transactions", 0, 0, 0, 0, 0, b"C1", content, [], None, 0, 0, 0)
    result = messages.parse_message(record)
    assert isinstance(result, messages.Poison) or result.origin == "C1"


def repairs(content: bytes) -> None:
    repairs_of(content.splitlines())


def columns(content: bytes) -> None:
    mapping.load(_file(content))


def rules(content: bytes) -> None:
    list(rule_files.as_lines(rule_files.read_rules(_file(content))))


def lists(content: bytes) -> None:
    rule_files.read_lists(_file(content))


def _file(content: bytes) -> Path:
    SCRATCH.write_bytes(content)
    return SCRATCH


PARSERS: dict[str, Callable[[bytes], None]] = {
    parser.__name__: parser
    for parser in (payment, label, message, repairs, columns, rules, lists)}


def run(name: str, content: bytes) -> None:
    """Give bytes to a parser; pass if it accepts or refuses them.

    Raises:
        Exception: the defect.
    """
    try:
        PARSERS[name](content)
    except REFUSALS as refusal:
        assert str(refusal).strip(), "the refusal has no message"
    finally:
        SCRATCH.unlink(missing_ok=True)
