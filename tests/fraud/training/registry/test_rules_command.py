"""The command `registry rules`."""

import pytest

from fraud.rules.rule_set import ListEntry
from fraud.training.registry import Registry, __main__ as command, publication

pytestmark = pytest.mark.usefixtures("place")

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


def test_rules_may_have_a_folder_of_their_own(models, place, monkeypatch, capsys):
    monkeypatch.setenv("FRAUD_RULES", "elsewhere")
    ran(capsys, "--rules", "rules.toml", "--reason", "a wave")
    assert (place / "elsewhere/rules.json").exists() and not (models / "rules.json").exists()


def test_the_history_shows_who_published_rules_and_who_listed_an_account(models, monkeypatch,
                                                                         capsys):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", "key")
    ran(capsys, "--rules", "rules.toml", "--reason", "a wave")
    publication.rule_publisher().put(ListEntry("cd" * 16, "deny", "a mule", "ben"), "called us")
    assert [(change.by, change.action, change.before, change.after, change.reason)
            for change in Registry().history()] == [
        ("ann", "rules", "", "1", "a wave"), ("ben", "rules", "1", "2", "called us")]
