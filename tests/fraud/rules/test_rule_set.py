import msgspec
import pytest

from fraud.features import DEFAULT
from fraud.pseudonym import pseudonym
from fraud.rules import rule_set
from fraud.rules.rule_set import (
    Condition, ListEntry, Rule, RulesError, RuleSet, check, check_key, key_check, summary)
from fraud.transaction import TYPES

NOW = 1_704_103_200_000
LARGE = Condition("amount", ">=", 1_000.0)
TRANSFER = Condition("type", "==", "TRANSFER")


def rules(*given: Rule) -> RuleSet:
    return RuleSet(1, NOW, "ana", "a wave", tuple(given))


def rule(*conditions: Condition, name="large", **changes) -> Rule:
    return Rule(name, "review", "a wave", "ana", conditions, **changes)


def listed(**changes) -> ListEntry:
    return msgspec.structs.replace(ListEntry("0" * 32, "deny", "a mule", "ana"), **changes)


def refusal(given: RuleSet) -> list[str]:
    with pytest.raises(RulesError) as caught:
        check(given, DEFAULT, NOW)
    return str(caught.value).splitlines()


def test_fields_of_the_payment_features_and_types_may_be_compared():
    in_types = Condition("type", "in", ["TRANSFER", "CASH_OUT"])
    feature = Condition("origin_sent_count_day", ">", 3.0)
    other = Condition("type", "!=", "DEBIT")
    check(rules(rule(LARGE, TRANSFER, in_types, other, feature),
                rule(name="any", any=(Condition("origin_balance", "!=", 0.0),),
                     expires=NOW + 1)), DEFAULT, NOW)


@pytest.mark.parametrize(("condition", "problem"), [
    (Condition("amont", ">", 1.0),
     "field 'amont' is unknown; use type, amount, origin_balance, destination_balance or a "
     "feature of the champion (docs/rules.md)"),
    (Condition("is_fraud", "==", 1.0), "field 'is_fraud' is unknown"),
    (Condition("amount", ">", "1000"), "amount > '1000': compare it with a number"),
    (Condition("amount", "in", ["1"]), "amount in ['1']: compare it with a number"),
    (Condition("amount", "in", 1.0), "amount in 1.0: compare it with a number, by <, <=, =="),
    (Condition("type", ">", "TRANSFER"), "type cannot be compared by >; use ==, != or in"),
    (Condition("type", "==", "TRANFER"),
     f"type 'TRANFER' is unknown; the types are {', '.join(TYPES)}"),
    (Condition("type", "in", "TRANSFER"), "type in 'TRANSFER': give a list of types"),
    (Condition("type", "==", ["TRANSFER"]), "type == ['TRANSFER']: give a type"),
    (Condition("type", "==", 4.0), "type == 4.0: give a type")])
def test_a_condition_that_cannot_work_is_named_with_its_rule(condition, problem):
    [line] = refusal(rules(rule(LARGE, condition)))
    assert line.startswith(f"rule large: {problem}")


def test_each_problem_has_a_line():
    lines = refusal(rules(
        rule(), rule(LARGE, name="old", expires=NOW), rule(LARGE, name="old")))
    assert lines == [
        "rule old: 2 rules have this name; give each its own",
        "rule large: it compares nothing; give conditions under all or any",
        "rule old: it expired on 2024-01-01 10:00:00 UTC; remove it, or give a later time"]


def test_entries_have_one_meaning_and_time_left():
    entries = (listed(), listed(), listed(side="origin"), listed(list="allow", expires=NOW),
               listed(list="review", expires=NOW + 1))
    lines = refusal(msgspec.structs.replace(rules(), entries=entries))
    assert [line.split(": ")[1] for line in lines] == [
        "2 entries for side both; keep one",
        "it expired on 2024-01-01 10:00:00 UTC; remove it, or give a later time"]


@pytest.mark.parametrize(("problems", "rest"), [
    (10, []), (11, ["and 1 more problems"]), (1_013, ["and 1,003 more problems"])])
def test_more_than_ten_problems_are_counted(monkeypatch, problems, rest):
    monkeypatch.setattr(rule_set, "MAX_RULES", 2_000)
    lines = refusal(rules(*(rule(name=f"r{number}") for number in range(problems))))
    assert lines[10:] == rest and "rule r9: it compares nothing" in lines[9]


def test_there_is_a_limit_on_rules_and_entries(monkeypatch):
    monkeypatch.setattr(rule_set, "MAX_RULES", 1)
    monkeypatch.setattr(rule_set, "MAX_ENTRIES", 1)
    check(msgspec.structs.replace(rules(rule(LARGE)), entries=(listed(),)), DEFAULT, NOW)
    monkeypatch.setattr(rule_set, "MAX_ENTRIES", 0)
    given = msgspec.structs.replace(rules(rule(LARGE), rule(LARGE, name="b")), entries=(listed(),))
    assert refusal(given) == ["there are 2 rules, at most 1 are allowed; remove some",
                              "there are 1 list entries, at most 0 are allowed; remove some"]


def test_a_rule_set_survives_its_file():
    given = msgspec.structs.replace(rules(rule(LARGE, TRANSFER)), entries=(listed(expires=5),))
    assert msgspec.json.decode(msgspec.json.encode(given), type=RuleSet) == given


def test_no_rules_have_a_summary():
    assert summary(None) == "there are no rules or lists"


def test_the_summary_of_a_rule_set_has_its_version_size_and_origin():
    given = msgspec.structs.replace(
        rules(*(rule(name=f"r{number}") for number in range(1_200))), entries=(listed(),))
    assert summary(given) == ("version 1: 1,200 rules, 1 list entries, published by ana on "
                              "2024-01-01 10:00:00 UTC: a wave")


# The key of the entries.

def made_with(check_of_key: str, *entries: ListEntry) -> RuleSet:
    return msgspec.structs.replace(rules(), entries=entries, key_check=check_of_key)


def test_the_check_of_a_key_is_a_pseudonym_that_rule_sets_keep():
    assert key_check("k1") == pseudonym(b"k1", "key check")
    assert key_check("") == ""


@pytest.mark.parametrize("given", [
    made_with(key_check("k1"), listed()), made_with("", listed()), made_with(key_check("k2"))])
def test_entries_of_the_same_key_or_of_an_unknown_key_and_no_entries_are_accepted(given):
    check_key(given, "k1")


@pytest.mark.parametrize(("account_key", "problem"), [
    ("", "there are list entries, but FRAUD_ACCOUNT_KEY is not set, so that none would match; "
         "set the key with which they were made"),
    ("k2", "the list entries were made with another FRAUD_ACCOUNT_KEY, so that none would match; "
           "set that key, or publish the lists again with this one")])
def test_entries_that_no_account_would_match_are_refused(account_key, problem):
    with pytest.raises(RulesError) as caught:
        check_key(made_with(key_check("k1"), listed()), account_key)
    assert str(caught.value) == problem
