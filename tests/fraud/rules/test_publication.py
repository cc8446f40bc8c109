"""Rule sets are published whole, or changed one list entry at a time."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec
import pytest

from fraud import change_history
from fraud.bundle import sha256
from fraud.clock import now_ms
from fraud.published import PublishedFolder
from fraud.rules.active import ActiveRules, read_rule_set
from fraud.rules.publication import RulePublisher, RulesConflict
from fraud.rules.rule_set import Condition, ListEntry, Rule, RulesError, key_check
from fraud.training.registry import publication

KEY = "key"
HOUR = 3_600_000
LARGE = Rule("large", "review", "why", "ana", (Condition("amount", ">=", 5.0),))


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
    return RulePublisher(models, models, KEY)


def entry(number: int = 1, **changes) -> ListEntry:
    return ListEntry(**{"account": f"{number:032x}", "list": "deny", "reason": "mule",
                        "author": "ana", "expires": now_ms() + HOUR, **changes})


def test_a_rule_set_is_published_as_a_file_and_a_pointer(models, publisher):
    rule_set = publisher.next_version(None, "ana", "a wave", rules=(LARGE,), entries=(entry(),))
    pointer = publisher.publish(rule_set)
    assert (pointer.version, publisher.in_force()) == (1, rule_set)
    folder = PublishedFolder(models)
    assert msgspec.json.decode(folder.read("rules.json")) == msgspec.to_builtins(pointer)
    assert sha256(folder.read(pointer.file)) == pointer.sha256
    assert ActiveRules(models, KEY).rules.version == "1"


def test_each_part_stays_until_it_is_replaced(publisher):
    first = publisher.next_version(None, "ana", "rules", rules=(LARGE,))
    second = publisher.next_version(first, "ben", "lists", entries=(entry(),))
    third = publisher.next_version(second, "ana", "no rules", rules=())
    assert (second.version, second.rules, second.entries[0].account) == (
        2, (LARGE,), entry().account)
    assert (third.version, third.rules, third.entries) == (3, (), second.entries)
    assert (second.published_by, second.reason, third.reason) == ("ben", "lists", "no rules")


def test_entries_remember_their_key_until_they_are_replaced(models, publisher):
    first = publisher.next_version(None, "ana", "lists", entries=(entry(),))
    other = RulePublisher(models, models, "other")
    assert other.next_version(first, "ana", "rules", rules=(LARGE,)).key_check == key_check(KEY)
    assert other.next_version(first, "ana", "lists", entries=()).key_check == key_check("other")


def test_of_two_rule_sets_at_once_the_second_is_refused(publisher):
    ours, theirs = (publisher.next_version(None, "ana", reason, rules=(LARGE,))
                    for reason in ("ours", "theirs"))
    publisher.publish(theirs)
    with pytest.raises(RulesConflict, match="published meanwhile .version 1: .*theirs"):
        publisher.publish(ours)
    assert publisher.in_force().reason == "theirs"
    publisher.publish(publisher.next_version(publisher.in_force(), "ana", "ours", rules=()))
    assert publisher.in_force().version == 2


def test_every_change_is_in_the_history_with_its_author(models, publisher):
    pointer = publisher.publish(publisher.next_version(None, "ana", "a wave", rules=(LARGE,)))
    publisher.put(entry(author="ben"), "a mule")
    publisher.remove(entry(), "eva", "a mistake")
    changes = change_history.read([models])
    assert [(change.by, change.before, change.after, change.reason) for change in changes] == [
        ("ana", "", "1", "a wave"), ("ben", "1", "2", "a mule"), ("eva", "2", "3", "a mistake")]
    assert changes[0].file == pointer.file


def test_an_entry_is_added_and_removed_and_the_rest_stays(models, publisher):
    publisher.publish(publisher.next_version(None, "ana", "first", rules=(LARGE,)))
    assert publisher.put(entry(1), "a mule") == 2
    assert publisher.put(entry(2), "another") == 3
    assert publisher.remove(entry(1), "ben", "a mistake") == 4
    rule_set = read_rule_set(models)
    assert ([each.account for each in rule_set.entries], rule_set.rules) == (
        [entry(2).account], (LARGE,))
    assert (rule_set.published_by, rule_set.reason) == ("ben", "a mistake")
    assert ActiveRules(models, KEY).rules.version == "4"


def test_an_entry_of_the_same_account_list_and_side_is_replaced(publisher):
    publisher.put(entry(), "first")
    publisher.put(entry(reason="longer", expires=now_ms() + 2 * HOUR), "second")
    publisher.put(entry(side="origin"), "third")
    assert [(each.reason, each.side) for each in publisher.in_force().entries] == [
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
    assert [each.account for each in publisher.in_force().entries] == [entry(2).account]


@pytest.mark.parametrize(("key", "message"), [("", "is not set"), ("other", "another FRAUD")])
def test_without_the_key_of_the_entries_nothing_is_published(models, publisher, key, message):
    publisher.put(entry(), "first")
    with pytest.raises(RulesError, match=message):
        RulePublisher(models, models, key).put(entry(2), "second")
    assert read_rule_set(models).version == 1


def test_without_a_champion_nothing_is_published(tmp_path):
    with pytest.raises(RulesError, match="holds no champion"):
        RulePublisher(str(tmp_path), str(tmp_path), KEY).put(entry(), "first")


@pytest.mark.parametrize("location", ["folder", "s3"])
def test_of_many_changes_at_once_none_is_lost(location, models, tmp_path, bucket):
    """Of entries from desks, and of rules from a registry, which asks again if it is refused."""
    publisher = RulePublisher(models if location == "folder" else "s3://models/live", models, KEY)

    def put(number: int) -> int:
        return RulePublisher(publisher.location, models, KEY).put(entry(number), "wave")

    def publish_rules() -> None:
        while True:
            with suppress(RulesConflict):
                publisher.publish(publisher.next_version(publisher.in_force(), "ana", "rules",
                                                         rules=(LARGE,)))
                return

    with ThreadPoolExecutor(8) as pool:
        rules = pool.submit(publish_rules)
        versions = list(pool.map(put, range(20)))
        rules.result()
    assert len(set(versions)) == 20 and max(versions) <= 21
    rule_set = publisher.in_force()
    assert (rule_set.version, len(rule_set.entries), rule_set.rules) == (21, 20, (LARGE,))
    assert {change.after for change in change_history.read([publisher.location])} == {
        str(number) for number in range(1, 22)}
