import msgspec
import pytest

from fraud.features import DEFAULT
from fraud.rules import rule_set
from fraud.rules.rule_set import Condition, ListEntry, Rule, RulesError, RuleSet, check, summary

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
    check(rules(rule(LARGE, TRANSFER, in_types, feature),
                rule(name="any", any=(Condition("origin_balance", "!=", 0.0),),
                     expires=NOW + 1)), DEFAULT, NOW)


@pytest.mark.parametrize(("condition", "problem"), [
    (Condition("amont", ">", 1.0), "field 'amont' is unknown; use type, amount"),
    (Condition("is_fraud", "==", 1.0), "field 'is_fraud' is unknown"),
    (Condition("amount", ">", "1000"), "amount > '1000': compare it with a number"),
    (Condition("amount", "in", ["1"]), "amount in ['1']: compare it with a number"),
    (Condition("type", ">", "TRANSFER"), "type cannot be compared by >; use ==, != or in"),
    (Condition("type", "==", "TRANFER"), "type 'TRANFER' is unknown; the types are CASH_IN"),
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
    entries = (listed(), listed(), listed(side="origin"), listed(list="allow", expires=NOW - 1))
    lines = refusal(msgspec.structs.replace(rules(), entries=entries))
    assert [line.split(": ")[1] for line in lines] == [
        "2 entries for side both; keep one",
        "it expired on 2024-01-01 09:59:59 UTC; remove it, or give a later time"]


def test_more_than_ten_problems_are_counted():
    lines = refusal(rules(*(rule(name=f"r{number}") for number in range(13))))
    assert len(lines) == 11 and lines[-1] == "and 3 more problems"


def test_there_is_a_limit_on_rules_and_entries(monkeypatch):
    monkeypatch.setattr(rule_set, "MAX_RULES", 1)
    monkeypatch.setattr(rule_set, "MAX_ENTRIES", 0)
    given = msgspec.structs.replace(rules(rule(LARGE), rule(LARGE, name="b")), entries=(listed(),))
    assert refusal(given) == ["there are 2 rules, at most 1 are allowed; remove some",
                              "there are 1 list entries, at most 0 are allowed; remove some"]


def test_a_rule_set_survives_its_file():
    given = msgspec.structs.replace(rules(rule(LARGE, TRANSFER)), entries=(listed(expires=5),))
    assert msgspec.json.decode(msgspec.json.encode(given), type=RuleSet) == given


def test_no_rules_have_a_summary():
    assert summary(None) == "there are no rules or lists"
