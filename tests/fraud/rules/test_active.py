import logging

import msgspec
import pytest

from fraud.bundle import sha256
from fraud.rules.active import ActiveRules
from fraud.rules.rule_set import Condition, ListEntry, Rule, RulesError, RuleSet, key_check
from fraud.training.registry import publication

LARGE = Condition("amount", ">=", 1_000.0)


@pytest.fixture(params=["a folder", "s3"])
def location(request, tmp_path):
    """A location for rules. S3 is moto's server: AWS cannot run here."""
    if request.param == "s3":
        request.getfixturevalue("bucket")
        return "s3://models/team"
    return str(tmp_path / "models")


def publish(location, version, digest=None, content=None, file=None):
    rule_set = RuleSet(version, 0, "ana", "why", (Rule("large", "review", "w", "a", (LARGE,)),))
    raw = msgspec.json.encode(rule_set) if content is None else content
    name = file or f"rules-{version}.json"
    pointer = {"version": version, "file": name, "sha256": digest or sha256(raw)}
    publication.write_files(location, {name.rpartition("/")[2]: raw,
                                       "rules.json": msgspec.json.encode(pointer)})


def test_rules_follow_the_pointer_there_and_back(location):
    active = ActiveRules(location)
    assert not active.rules and active.refresh() is False
    for version in (1, 2, 1):
        publish(location, version)
        assert active.refresh() is True
        assert active.rules.version == str(version) and active.rules
        assert active.refresh() is False


@pytest.mark.parametrize(("change", "problem"), [
    ({"digest": "0" * 64}, "rules-2.json: is missing or does not have the promised sha256"),
    ({"content": b"{"}, "rules-2.json: Input data was truncated"),
    ({"content": b'{"version": 2}'}, "rules-2.json: Object missing required field"),
    ({"file": "../rules-2.json"}, "rules.json: file is '../rules-2.json', which is not in the")])
def test_rules_that_cannot_be_used_leave_those_before_in_force(tmp_path, caplog, change, problem):
    location = str(tmp_path)
    publish(location, 1)
    active = ActiveRules(location)
    publish(location, 2, **change)
    with caplog.at_level(logging.ERROR):
        assert active.refresh() is False
    assert active.rules.version == "1"
    assert "rules stay at version 1" in caplog.text and problem in caplog.text
    with pytest.raises(RulesError, match=problem):
        ActiveRules(location)
    publish(location, 3)
    assert active.refresh() is True and active.rules.version == "3"


def test_a_pointer_that_vanishes_leaves_the_rules_in_force(tmp_path):
    publish(str(tmp_path), 1)
    active = ActiveRules(str(tmp_path))
    (tmp_path / "rules.json").unlink()
    assert active.refresh() is False and active.rules.version == "1"


@pytest.mark.parametrize(("made_with", "key", "problem"), [
    ("secret", "secret", ""), ("", "secret", ""),
    ("secret", "", "FRAUD_ACCOUNT_KEY is not set, so that none would match"),
    ("other", "secret", "made with another FRAUD_ACCOUNT_KEY")])
def test_lists_need_the_key_with_which_they_were_made(tmp_path, made_with, key, problem):
    entry = ListEntry("ab" * 16, "deny", "a mule", "ana")
    listed = RuleSet(1, 0, "ana", "why", (), (entry,), key_check(made_with))
    publish(str(tmp_path), 1, content=msgspec.json.encode(listed))
    if not problem:
        assert ActiveRules(str(tmp_path), key).rules
        return
    with pytest.raises(RulesError, match=problem):
        ActiveRules(str(tmp_path), key)
