"""Lists change one entry at a time, and nothing else of the rule set does."""

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from fraud.bundle import sha256
from fraud.clock import now_ms
from fraud.published import PublishedFolder
from fraud.rules.active import ActiveRules, read_rule_set
from fraud.rules.publication import ListPublisher
from fraud.rules.rule_set import Condition, ListEntry, Rule, RulesError, RuleSet
from fraud.training.registry import publication, rule_publication

KEY = "key"
HOUR = 3_600_000


@pytest.fixture
def models(tmp_path, make_bundle, monkeypatch):
    make_bundle(tmp_path / "bundle")
    models = str(tmp_path / "models")
    publication.publish(tmp_path / "bundle", "fraud-detector", models)
    monkeypatch.setenv("FRAUD_MODEL", models)
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", KEY)
    return models


@pytest.fixture
def publisher(models):
    return ListPublisher(models, models, KEY)


def entry(number: int = 1, **changes) -> ListEntry:
    return ListEntry(**{"account": f"{number:032x}", "list": "deny", "reason": "mule",
                        "author": "ana", "expires": now_ms() + HOUR, **changes})


def test_an_entry_is_added_and_removed_and_the_rest_stays(models, publisher):
    rule = Rule("all", "review", "why", "ana", (Condition("amount", ">=", 5.0),))
    rule_publication.publish(RuleSet(1, 0, "ana", "first", (rule,)), models)
    assert publisher.put(entry(1), "a mule") == 2
    assert publisher.put(entry(2), "another") == 3
    assert publisher.remove(entry(1), "ben", "a mistake") == 4
    rule_set = read_rule_set(models)
    assert ([each.account for each in rule_set.entries], rule_set.rules) == (
        [entry(2).account], (rule,))
    assert (rule_set.published_by, rule_set.reason) == ("ben", "a mistake")
    assert ActiveRules(models, KEY).rules.version == "4"


def test_an_entry_of_the_same_account_list_and_side_is_replaced(publisher):
    publisher.put(entry(), "first")
    publisher.put(entry(reason="longer", expires=now_ms() + 2 * HOUR), "second")
    publisher.put(entry(side="origin"), "third")
    assert [(each.reason, each.side) for each in publisher.entries()] == [
        ("longer", "both"), ("mule", "origin")]


def test_what_has_expired_is_left_out(models, publisher):
    publisher.put(entry(1), "first")
    rule_set = read_rule_set(models)
    old = msgspec.structs.replace(
        rule_set, version=2, entries=(msgspec.structs.replace(rule_set.entries[0], expires=1),))
    content, folder = msgspec.json.encode(old), PublishedFolder(models)
    folder.write("rules-2.json", content)
    folder.write("rules.json", msgspec.json.encode(
        {"version": 2, "file": "rules-2.json", "sha256": sha256(content)}))
    publisher.put(entry(2), "second")
    assert [each.account for each in publisher.entries()] == [entry(2).account]


@pytest.mark.parametrize(("key", "message"), [("", "is not set"), ("other", "another FRAUD")])
def test_without_the_key_of_the_entries_nothing_is_published(models, publisher, key, message):
    publisher.put(entry(), "first")
    with pytest.raises(RulesError, match=message):
        ListPublisher(models, models, key).put(entry(2), "second")
    assert read_rule_set(models).version == 1


def test_without_a_champion_nothing_is_published(tmp_path):
    with pytest.raises(RulesError, match="holds no champion"):
        ListPublisher(str(tmp_path), str(tmp_path), KEY).put(entry(), "first")


def test_of_many_changes_at_once_none_is_lost(models):
    def put(number: int) -> int:
        return ListPublisher(models, models, KEY).put(entry(number), "wave")

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(put, range(20)))
    assert sorted(versions) == list(range(1, 21))
    assert len(read_rule_set(models).entries) == 20


def test_lists_on_s3(bucket, tmp_path, make_bundle):
    make_bundle(tmp_path / "bundle")
    publication.publish(tmp_path / "bundle", "fraud-detector", "s3://models/live")
    ListPublisher("s3://models/live", "s3://models/live", KEY).put(entry(), "a mule")
    assert [each.account for each in read_rule_set("s3://models/live").entries] == [
        entry().account]
