"""Parsers of what people and programs send, for a fuzzer: each takes any bytes.

A parser may refuse its input with an error of its own, `REFUSALS`. Anything else is a defect.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import msgspec
from kafka.consumer.fetcher import ConsumerRecord

from desk.forms import reason_of
from desk.intake import payment_row
from desk.worklist import parse_filters
from fraud import bundle
from fraud.decision import Decision
from fraud.errors import JSON_ERRORS, FraudError
from fraud.labels import InvalidLabel, parse as parse_label
from fraud.rules import active
from fraud.rules.rule_set import POINTER_FILE, RulesPointer
from fraud.rules.ruling import Rules
from fraud.training import settings as training_settings
from fraud.training.data import mapping, options
from fraud.training.data.check import check
from fraud.training.decision_log import read_decisions
from fraud.training.label_table import read_named_labels
from fraud.training.registry import rule_files
from fraud.transaction import InvalidTransaction, parse as parse_payment
from monitoring.shadow_log import ShadowLine
from serve.keys import Keys
from stream import messages
from stream.dead_letters import repairs_of
from stream.webhook_events import encoded_event

CORPUS = Path(__file__).parent / "corpus"
REFUSALS = (FraudError, InvalidTransaction, InvalidLabel)
SCRATCH = Path(tempfile.gettempdir(), f"fuzz-{os.getpid()}")
LARGEST = 2**63 - 1         # integer of a database
SPLIT = training_settings.load(training_settings.FILE).split


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


def published_rules(content: bytes) -> None:
    """A rule set from a folder can be put in force."""
    file = _file(content)
    pointer = RulesPointer(1, file.name, bundle.sha256(content))
    file.with_name(POINTER_FILE).write_bytes(msgspec.json.encode(pointer))
    rule_set = active.read_rule_set(str(file.parent))
    assert rule_set is not None
    Rules(rule_set)


def manifest(content: bytes) -> None:
    bundle.model_files("bundle", content)


def decisions(content: bytes) -> None:
    """Desk and webhook take in the lines that are decisions, training refuses a log with others."""
    for line in content.splitlines():
        try:
            decision = msgspec.json.decode(line, type=Decision)
        except JSON_ERRORS:
            continue
        row = payment_row(decision, line)
        assert all(abs(value) <= LARGEST for value in row.values() if isinstance(value, int))
        encoded_event(line)
    path = str(_file(content))
    list(read_decisions([path]))
    list(read_decisions([path], ShadowLine))


def labels_csv(content: bytes) -> None:
    read_named_labels(_file(content, "labels.csv"))


def label_log(content: bytes) -> None:
    read_named_labels(_file(content, "labels.jsonl"))


def history(content: bytes) -> None:
    """A file to train on, in any format."""
    check(str(_file(content)), options.DEFAULTS, SPLIT)


def settings(content: bytes) -> None:
    training_settings.load(_file(content))


def keys(content: bytes) -> None:
    """A variable of the environment."""
    text = content.decode("utf-8", "surrogateescape")
    Keys(text).find(f"Bearer {text}")


def filters(content: bytes) -> None:
    """A query string of the desk, or a form."""
    given = dict(parse_qsl(content.decode("utf-8", "replace")))
    parse_filters(given)
    reason_of(given)


def _file(content: bytes, name: str = "file") -> Path:
    path = SCRATCH / name
    path.write_bytes(content)
    return path


PARSERS: dict[str, Callable[[bytes], None]] = {
    parser.__name__: parser
    for parser in (payment, label, message, repairs, columns, rules, lists, published_rules,
                   manifest, decisions, labels_csv, label_log, history, settings, keys, filters)}


def run(name: str, content: bytes) -> None:
    """Give bytes to a parser; pass if it accepts or refuses them.

    Raises:
        Exception: the defect.
    """
    SCRATCH.mkdir(exist_ok=True)
    try:
        PARSERS[name](content)
    except REFUSALS as refusal:
        assert str(refusal).strip(), "the refusal has no message"
    finally:
        shutil.rmtree(SCRATCH)
