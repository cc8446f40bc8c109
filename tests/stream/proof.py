"""Proof of exactly once, checked against the broker and the store."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import redis

from fraud.decision import Decision, answered
from fraud.history import AccountSnapshot
from fraud.labels import parse
from fraud.packing import unpack
from fraud.pseudonym import pseudonym
from fraud.stores.encoding import decode
from fraud.stores.redis import RECORDING
from fraud.stores.script_functions import NO_ACCOUNT as ACCOUNT
from tests.stream.running import ACCOUNT_KEY, Stream, eventually, source


def exactly_once(stream: Stream, sent: list[dict], seconds: float = 60) -> None:
    """Each message has one committed decision, of its own payment, with one log line that says the
    same, and is counted once."""
    records = stream.decisions(len(sent), seconds)
    assert len(records) == len({source(record) for record in records}) == len(sent)
    assert Counter(msgspec.json.decode(record.value)["transaction_id"] for record in records) == (
        Counter(item["transaction_id"] for item in sent))
    lines = stream.log_lines(len(sent), seconds)
    assert len(lines) == len(sent)
    assert {source(record): record.value for record in records} == {
        source(record): answered(msgspec.json.decode(record.value, type=Decision)).body
        for record in lines}
    client = redis.Redis.from_url(stream.settings.history)
    assert int(client.hget(RECORDING, "sequence")) == len(sent)
    assert counted(client) == expected(sent)


def all_take_part(stream: Stream, sent: list[dict]) -> None:
    """Champion, canary and the rule of `busy_folder` decided, one version for each account, and
    the challenger scored; repeats in the log are alike."""
    answers = [msgspec.json.decode(record.value) for record in stream.decisions(len(sent))]
    origins = {item["transaction_id"]: item["origin"] for item in sent}
    versions: dict[str, set[str]] = {}
    for answer in answers:
        versions.setdefault(origins[answer["transaction_id"]], set()).add(answer["model_version"])
    assert {version for each in versions.values() for version in each} == {"1", "2"}
    assert all(len(each) == 1 for each in versions.values())
    by_rule = {answer["transaction_id"] for answer in answers if answer["decided_by"] == "rule"}
    assert by_rule == {item["transaction_id"] for item in sent if item["amount"] == 0}
    lines = [msgspec.json.decode(line) for line
             in Path(stream.settings.decision_log).read_bytes().splitlines()]
    scored = {line["transaction_id"]: line["shadow"]["model_version"] for line in lines
              if line["shadow"]}
    assert len(scored) > len(sent) / 2 and set(scored.values()) == {"2"}


def labels_once(stream: Stream, sent: list[bytes], seconds: float = 60) -> None:
    """Each label is recorded, and each fraud counts once on both of its accounts."""
    eventually(lambda: stream.committed_labels() == len(sent), seconds)
    logged = Path(stream.settings.label_log).read_bytes().splitlines()
    assert {_known_of(line) for line in logged} == {_known_of(value) for value in sent}
    frauds: dict[str, list[int]] = {}
    for label in {label.transaction_id: label for label in map(parse, sent)}.values():
        for side, name in enumerate((label.origin, label.destination)):
            counts = frauds.setdefault(pseudonym(ACCOUNT_KEY.encode(), name), [0, 0])
            counts[side] += label.is_fraud
    client = redis.Redis.from_url(stream.settings.history)
    assert counted_frauds(client) == {name: tuple(each) for name, each in frauds.items()
                                      if any(each)}


def _known_of(label: bytes) -> tuple[str, int, int]:
    known = parse(label)
    return known.transaction_id, known.is_fraud, known.label_time


def counted_frauds(client: redis.Redis) -> dict[str, tuple[int, ...]]:
    """Known frauds sent and received of each account that has one, as Redis has them."""
    by_account = {past.account: tuple(map(sum, zip(*past.frauds.values(), strict=True)))
                  for past in snapshots(client)}
    return {account: counts for account, counts in by_account.items() if counts}


def snapshots(client: redis.Redis) -> Iterator[AccountSnapshot]:
    """All accounts that Redis has."""
    for key in client.scan_iter(ACCOUNT + "*", count=1_000):
        yield decode(key.decode().removeprefix(ACCOUNT), client.get(key))


def counted(client: redis.Redis) -> dict[str, tuple[int, ...]]:
    """Count and cents sent, count and cents received of each account, as Redis has them."""
    return {past.account: tuple(map(sum, zip(*map(unpack, past.days.values()), strict=True)))
            for past in snapshots(client)}


def expected(sent: list[dict]) -> dict[str, tuple[int, ...]]:
    """The same of what was sent."""
    accounts: dict[str, list[int]] = {}
    for item in sent:
        for name, first in ((item["origin"], 0), (item["destination"], 2)):
            sums = accounts.setdefault(pseudonym(ACCOUNT_KEY.encode(), name), [0, 0, 0, 0])
            sums[first] += 1
            sums[first + 1] += round(item["amount"] * 100)
    return {name: tuple(sums) for name, sums in accounts.items()}
