"""Proof of exactly once, checked against the broker and the store."""

from collections import Counter
from pathlib import Path

import msgspec
import redis

from fraud.packing import unpack
from fraud.pseudonym import pseudonym
from fraud.stores.account import decode
from fraud.stores.redis import RECORDING
from tests.stream.running import ACCOUNT_KEY, Stream, source

ACCOUNT = "fraud:account:"


def exactly_once(stream: Stream, sent: list[dict], seconds: float = 60) -> None:
    """Each message has one committed decision, of its own payment, and is counted once."""
    records = stream.decisions(len(sent), seconds)
    assert len(records) == len({source(record) for record in records}) == len(sent)
    assert Counter(msgspec.json.decode(record.value)["transaction_id"] for record in records) == (
        Counter(item["transaction_id"] for item in sent))
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


def counted(client: redis.Redis) -> dict[str, tuple[int, ...]]:
    """Count and cents sent, count and cents received of each account, as Redis has them."""
    accounts = {}
    for key in client.scan_iter(ACCOUNT + "*", count=1_000):
        past = decode(key.decode().removeprefix(ACCOUNT), client.get(key))
        buckets = map(unpack, past.days.values())
        accounts[past.account] = tuple(map(sum, zip(*buckets, strict=True)))
    return accounts


def expected(sent: list[dict]) -> dict[str, tuple[int, ...]]:
    """The same of what was sent."""
    accounts: dict[str, list[int]] = {}
    for item in sent:
        for name, first in ((item["origin"], 0), (item["destination"], 2)):
            sums = accounts.setdefault(pseudonym(ACCOUNT_KEY.encode(), name), [0, 0, 0, 0])
            sums[first] += 1
            sums[first + 1] += round(item["amount"] * 100)
    return {name: tuple(sums) for name, sums in accounts.items()}
