import json

import msgspec
import pytest

from fraud.bundle import sha256
from fraud.rules.active import ActiveRules, read_rule_set
from fraud.rules.rule_set import Condition, ListEntry, Rule, RulesError, key_check
from fraud.training.registry import __main__ as command, publication
from fraud.training.registry.rule_publication import changed, publish, summary, target

pytestmark = pytest.mark.usefixtures("place")

LARGE = Rule("large", "review", "why", "ana", (Condition("amount", ">=", 1_000.0),))
ENTRY = ListEntry("ab" * 16, "deny", "a mule", "ana")
TOML = """
[[rules]]
name = "large"
decision = "review"
reason = "why"
author = "ana"
all = [{field = "amount", op = ">=", value = 1000}]
"""
CSV = f"pseudonym,list,reason,author\n{'ab' * 16},deny,a mule,ana\n"


@pytest.fixture
def models(place, make_bundle):
    """The folder `models` with a champion, and files of rules and lists."""
    make_bundle(place / "1", version="1")
    publication.publish(place / "1", "fraud-detector", "models")
    (place / "rules.toml").write_text(TOML)
    (place / "lists.csv").write_text(CSV)
    return place / "models"


def ran(capsys, *arguments: str) -> str:
    command.main(["rules", *arguments])
    return capsys.readouterr().out


def refusal(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        command.main(["rules", *arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_a_rule_set_is_published_as_a_file_and_a_pointer(models):
    rule_set = changed(None, (LARGE,), (ENTRY,), "a wave")
    pointer = publish(rule_set, "models")
    assert json.loads((models / "rules.json").read_text()) == msgspec.to_builtins(pointer)
    assert sha256((models / pointer.file).read_bytes()) == pointer.sha256
    assert ActiveRules("models", "any key").rules.version == "1"
    assert read_rule_set("models") == rule_set


def test_each_part_stays_until_it_is_replaced(models):
    first = changed(None, (LARGE,), None, "rules")
    second = changed(first, None, (ENTRY,), "lists")
    third = changed(second, (), None, "no rules")
    assert (second.version, second.rules, second.entries) == (2, (LARGE,), (ENTRY,))
    assert (third.version, third.rules, third.entries) == (3, (), (ENTRY,))
    assert (third.published_by, third.reason) == ("ann", "no rules") and third.published_at > 0


def test_entries_remember_their_key_until_they_are_replaced(models, monkeypatch):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", "secret")
    first = changed(None, None, (ENTRY,), "lists")
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", "other")
    assert changed(first, (LARGE,), None, "rules").key_check == key_check("secret")
    assert changed(first, None, (ENTRY,), "lists").key_check == key_check("other")


def test_rules_may_have_a_folder_of_their_own(models, monkeypatch):
    assert target() == "models"
    monkeypatch.setenv("FRAUD_RULES", "elsewhere")
    publish(changed(None, (LARGE,), None, "why"), target())
    assert read_rule_set("elsewhere").version == 1 and read_rule_set("models") is None


def test_rules_without_a_champion_are_refused(place):
    with pytest.raises(RulesError, match="models: holds no champion to check the rules against"):
        publish(changed(None, (LARGE,), None, "why"), "models")


def test_the_command_publishes_and_shows(models, capsys):
    assert ran(capsys) == "there are no rules or lists\n"
    out = ran(capsys, "--rules", "rules.toml", "--reason", "a wave")
    assert out.startswith("version 1: 1 rules, 0 list entries, published by ann on 20")
    assert out.endswith(": a wave\n")
    ran(capsys, "--lists", "lists.csv", "--reason", "a mule")
    shown = ran(capsys).splitlines()
    assert shown[0].startswith("version 2: 1 rules, 1 list entries")
    assert shown[1].startswith("large") and shown[1].endswith("amount >= 1000.0")


@pytest.mark.parametrize(("text", "problem"), [
    (TOML.replace('"amount"', '"amont"'), "rule large: field 'amont' is unknown"),
    (TOML + TOML, "rule large: 2 rules have this name"),
    (TOML.replace("author", "expires = 2020-01-01\nauthor"), "rule large: it expired on 2020"),
    (TOML.replace("1000", "true"), "rule 1 (large): "), ("#" * 10_000_000, "at most 1,000,000")])
def test_bad_rules_get_a_line_and_the_old_ones_stay(models, place, capsys, text, problem):
    ran(capsys, "--rules", "rules.toml", "--reason", "a wave")
    before = sorted((path.name, path.read_bytes()) for path in models.glob("rules*"))
    (place / "bad.toml").write_text(text)
    error = refusal(capsys, "--rules", "bad.toml", "--reason", "worse")
    assert problem in error and len(error.splitlines()) == 1
    assert sorted((path.name, path.read_bytes()) for path in models.glob("rules*")) == before


def test_rules_are_not_published_without_a_reason(models, capsys):
    assert "--reason is missing" in refusal(capsys, "--rules", "rules.toml")
    assert not list(models.glob("rules*"))


def test_no_rules_have_a_summary():
    assert summary(None) == "there are no rules or lists"


def test_of_two_rule_sets_at_once_the_second_is_refused(models):
    ours, theirs = (changed(None, (LARGE,), None, reason) for reason in ("ours", "theirs"))
    publish(theirs, "models")
    with pytest.raises(RulesError, match="other rules were published meanwhile .version 1: .*thei"):
        publish(ours, "models")
    assert read_rule_set("models").reason == "theirs"
    publish(changed(read_rule_set("models"), None, (ENTRY,), "ours"), "models")
    assert (read_rule_set("models").version, read_rule_set("models").rules) == (2, (LARGE,))
