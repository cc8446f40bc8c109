from datetime import UTC, datetime

import pytest

from fraud.pseudonym import pseudonym
from fraud.rules.rule_set import Condition, ListEntry, Rule, RulesError
from fraud.training.registry.rule_files import as_lines, read_lists, read_rules

RULES = """
[[rules]]
name = "large-transfers"
decision = "review"
reason = "a wave of large transfers"
author = "ana"
expires = 2027-06-30
all = [
  {field = "type", op = "==", value = "TRANSFER"},
  {field = "amount", op = ">=", value = 500_000},
]

[[rules]]
name = "cash"
decision = "decline"
reason = "agents"
author = "ben"
dry_run = true
any = [{field = "type", op = "in", value = ["CASH_OUT", "DEBIT"]}]
"""


@pytest.fixture
def file(tmp_path):
    """Writes a file: `file(text)`."""
    def file(text):
        path = tmp_path / "given"
        path.write_text(text)
        return path

    return file


def refusal(read, path) -> list[str]:
    with pytest.raises(RulesError) as caught:
        read(path)
    return str(caught.value).removeprefix(f"{path}: ").splitlines()


def test_rules_are_read_from_toml(file):
    expires = round(datetime(2027, 6, 30, tzinfo=UTC).timestamp() * 1000)
    assert read_rules(file(RULES)) == (
        Rule("large-transfers", "review", "a wave of large transfers", "ana",
             (Condition("type", "==", "TRANSFER"), Condition("amount", ">=", 500_000.0)), (),
             expires),
        Rule("cash", "decline", "agents", "ben", (),
             (Condition("type", "in", ["CASH_OUT", "DEBIT"]),), None, True))


def test_rules_are_shown_in_a_line_each(file):
    large, cash = as_lines(read_rules(file(RULES)))
    assert large.split()[:2] == ["large-transfers", "review"]
    assert large.endswith("type == TRANSFER and amount >= 500000.0") and "decline, dry run" in cash


@pytest.mark.parametrize(("text", "problem"), [
    ("rules", "is not TOML"), ("", "holds nothing; give tables [[rules]]"),
    ("[rule]", "holds rule; give tables [[rules]]"),
    ("rules = [1]", "holds rules; give tables [[rules]]"),
    (f"rules = {'[' * 2000}", "is not TOML"),
    (RULES.replace('"review"', '"block"'), "rule 1 (large-transfers): Invalid enum value 'block'"),
    (RULES.replace("author", "owner", 1), "rule 1 (large-transfers): Object contains unknown"),
    (RULES.replace("large-transfers", "Large!"), "rule 1 (Large!): Expected `str` matching regex"),
    (RULES.replace("2027-06-30", "7"), "rule 1 (large-transfers): expires is 7; give a date"),
    (RULES.replace('op = ">="', 'op = "=>"'), "rule 1 (large-transfers): Invalid enum value")])
def test_a_rule_that_is_none_is_named(file, text, problem):
    [line] = refusal(read_rules, file(text))
    assert line.startswith(problem)


def test_each_bad_rule_has_a_line(file):
    path = file(RULES.replace("decision", "decide"))
    assert len(refusal(read_rules, path)) == 2


def test_a_file_that_is_too_large_is_not_read(file):
    [line] = refusal(read_rules, file("#" * 10_000_000))
    assert line == "has 10,000,000 bytes; rules have at most 1,000,000"


def test_lists_are_read_from_csv_with_names_or_pseudonyms(file, monkeypatch):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", "key")
    read = read_lists(file("account,list,side,reason,author,expires\n"
                           'C1,deny,origin,"a mule, says the bank",ana,2027-06-30T12:00:00Z\n'
                           "C2,allow,,payroll,ben,\n"))
    noon = round(datetime(2027, 6, 30, 12, tzinfo=UTC).timestamp() * 1000)
    assert read == (
        ListEntry(pseudonym(b"key", "C1"), "deny", "a mule, says the bank", "ana", "origin", noon),
        ListEntry(pseudonym(b"key", "C2"), "allow", "payroll", "ben"))
    monkeypatch.delenv("FRAUD_ACCOUNT_KEY")
    given = file(f"pseudonym,list,reason,author\n{'ab' * 16},review,why,ana\n")
    assert read_lists(given) == (ListEntry("ab" * 16, "review", "why", "ana"),)


def test_names_need_the_key(file, monkeypatch):
    monkeypatch.delenv("FRAUD_ACCOUNT_KEY", raising=False)
    [line] = refusal(read_lists, file("account,list,reason,author\nC1,deny,why,ana\n"))
    assert line.startswith("names accounts, but FRAUD_ACCOUNT_KEY is not set")


@pytest.mark.parametrize(("line", "problem"), [
    ("ab,deny,why,ana,", "Expected `str` matching regex"),
    (f"{'ab' * 16},block,why,ana,", "Invalid enum value 'block'"),
    (f"{'ab' * 16},deny,,ana,", "Object missing required field `reason`"),
    (f"{'ab' * 16},deny,why,ana,soon", "Invalid isoformat string: 'soon'"),
    (f"{'ab' * 16},deny,why", "has more or fewer fields than the header"),
    (f"{'ab' * 16},deny,why,ana,,more", "has more or fewer fields than the header")])
def test_an_entry_that_is_none_is_named_with_its_line(file, line, problem):
    header = "pseudonym,list,reason,author,expires\n"
    [message] = refusal(read_lists, file(f"{header}{'cd' * 16},deny,why,ana,\n{line}\n"))
    assert message.startswith(f"line 3: {problem}")


def test_a_value_that_csv_cannot_hold_is_named_with_its_line(file):
    [message] = refusal(read_lists, file(f"pseudonym,list\n{'x' * 140_000},deny\n"))
    assert message == "line 2: field larger than field limit (131072); fix that line"
    [message] = refusal(read_lists, file(f"{'x' * 140_000},list\n"))
    assert message == "line 1: field larger than field limit (131072); fix that line"


def test_other_columns_and_missing_files_are_named(file, tmp_path):
    assert refusal(read_lists, file("name,list\n"))[0].startswith("has a column name")
    assert refusal(read_lists, tmp_path / "none")[0].startswith("cannot be read")


def test_a_hundred_thousand_entries_are_read(file, monkeypatch):
    monkeypatch.setenv("FRAUD_ACCOUNT_KEY", "key")
    lines = "".join(f"C{number},deny,why,ana\n" for number in range(100_000))
    assert len(read_lists(file(f"account,list,reason,author\n{lines}"))) == 100_000
