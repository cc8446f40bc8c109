import pytest
from hypothesis import given, strategies as st

from fraud.features import DEFAULT
from fraud.reasons import Reason
from fraud.rules import ruling
from fraud.rules.rule_set import Condition, ListEntry, Rule, RuleSet
from fraud.rules.ruling import NO_RULES, STRICTNESS, Rules, ScoredPayment
from fraud.transaction import TYPES, Transaction

NOW = 1_704_103_200_000
MODEL = Reason("amount", "Moves 5.00", 2.0, {}, {})
ANA, BEN, CARL = "a" * 32, "b" * 32, "c" * 32
NAN = float("nan")


def payment(amount_cents=500_00, type="TRANSFER", balance=None) -> Transaction:
    return Transaction("t", NOW, type, amount_cents, "ana", "ben", balance, None)


def scored(decision="approve", origin=ANA, destination=BEN, features=None, **changes):
    row = [0.0] * len(DEFAULT.names) if features is None else features
    reasons = [] if decision == "approve" else [MODEL]
    return ScoredPayment(payment(**changes), origin, destination, row, decision, reasons)


def rule(decision="review", *conditions, name="r", **changes) -> Rule:
    return Rule(name, decision, "why", "ana", conditions or (Condition("amount", ">=", 100.0),),
                **changes)


def entry(list, account=ANA, **changes) -> ListEntry:
    return ListEntry(account, list, "why", "ana", **changes)


def ruled(each: ScoredPayment, *given, now=NOW):
    rules = tuple(item for item in given if isinstance(item, Rule))
    entries = tuple(item for item in given if isinstance(item, ListEntry))
    in_force = Rules(RuleSet(3, NOW, "ana", "", rules, entries), "digest")
    [result] = in_force.rulings([each], DEFAULT.names, now)
    return result


@pytest.mark.parametrize(("model", "given", "decision", "decided_by"), [
    ("approve", [], "approve", "model"),
    ("approve", [rule("review")], "review", "rule"),
    ("approve", [rule("review"), rule("decline", name="s")], "decline", "rule"),
    ("review", [rule("review")], "review", "model"),
    ("decline", [rule("review")], "decline", "model"),
    ("approve", [entry("deny")], "decline", "list"),
    ("review", [entry("review")], "review", "model"),
    ("decline", [entry("allow")], "approve", "list"),
    ("decline", [entry("allow"), rule("review")], "review", "rule"),
    ("approve", [entry("allow"), entry("deny")], "decline", "list"),
    ("approve", [entry("allow"), entry("deny", BEN)], "decline", "list"),
    ("approve", [entry("allow"), entry("review", BEN)], "review", "list")])
def test_the_strictest_decides_and_an_allow_sets_only_the_model_aside(
        model, given, decision, decided_by):
    result = ruled(scored(model), *given)
    assert (result.decision, result.decided_by) == (decision, decided_by)


def test_an_answer_names_lists_and_rules_between_the_reasons_of_the_model():
    result = ruled(scored("review"), entry("review"), rule("review"), rule("decline", name="s"))
    assert [reason.code for reason in result.reasons] == [
        "list:review", "amount", "rule:r", "rule:s"]
    assert result.applied == ["list:review", "rule:r", "rule:s"]
    assert "why" not in str(result.reasons)         # that is for the team alone


def test_the_reasons_of_lists_and_rules_are_sentences_without_a_weight():
    result = ruled(scored(), entry("deny"), rule("review"))
    assert result.reasons == [
        Reason("list:deny", "An account is on the deny list", 0.0, {}, {}),
        Reason("rule:r", "The rule r applies", 0.0, {}, {})]


def test_rules_have_the_version_and_digest_of_their_file_and_none_have_neither():
    in_force = Rules(RuleSet(3, NOW, "ana", "", (rule(),)), "digest")
    assert (in_force.version, in_force.digest) == ("3", "digest")
    assert (NO_RULES.version, NO_RULES.digest) == ("", "")


def test_an_allowed_payment_has_no_reasons_of_the_model():
    assert [reason.code for reason in ruled(scored("decline"), entry("allow")).reasons] == [
        "list:allow"]


@pytest.mark.parametrize(("side", "account", "applies"), [
    ("origin", ANA, True), ("origin", BEN, False), ("destination", ANA, False),
    ("destination", BEN, True), ("both", ANA, True), ("both", BEN, True), ("both", CARL, False)])
def test_an_entry_is_for_its_side(side, account, applies):
    assert (ruled(scored(), entry("deny", account, side=side)).decision == "decline") is applies


def test_a_payment_without_a_destination_is_on_no_list_by_it():
    assert ruled(scored(destination=None), entry("deny", BEN)).decision == "approve"


@pytest.mark.parametrize("given", [entry("deny", expires=NOW), rule("decline", expires=NOW)])
def test_what_has_expired_does_nothing(given):
    assert ruled(scored(), given, now=NOW - 1).decision == "decline"
    assert ruled(scored(), given, now=NOW).decision == "approve"


def test_a_dry_run_is_named_and_decides_nothing():
    result = ruled(scored(), rule("decline", dry_run=True))
    assert (result.decision, result.applied, result.dry_run) == ("approve", [], ["rule:r"])
    assert result.reasons == []


@pytest.mark.parametrize(("condition", "applies"), [
    (Condition("amount", "==", 500.0), True), (Condition("amount", "!=", 500.0), False),
    (Condition("amount", "<", 500.0), False), (Condition("amount", "<=", 500.0), True),
    (Condition("amount", ">", 499.99), True), (Condition("type", "==", "TRANSFER"), True),
    (Condition("type", "!=", "TRANSFER"), False), (Condition("type", "in", ["DEBIT"]), False),
    (Condition("type", "in", ["DEBIT", "TRANSFER"]), True)])
def test_conditions_compare_exact_values_of_the_payment(condition, applies):
    assert (ruled(scored(), rule("review", condition)).decision == "review") is applies


@pytest.mark.parametrize("op", ["<", "<=", "==", "!=", ">=", ">"])
@pytest.mark.parametrize("field", ["origin_balance", "origin_sent_count_day", "no_such_feature"])
def test_what_is_unknown_makes_a_condition_false(field, op):
    short = [0.0] * len(DEFAULT.fallback_names)         # without history
    for features in (short, [None] * len(DEFAULT.names), [NAN] * len(DEFAULT.names)):
        unknown = scored(features=features)
        assert ruled(unknown, rule("review", Condition(field, op, 1.0))).decision == "approve"


def test_all_must_be_true_and_one_of_any():
    large, debit = Condition("amount", ">=", 100.0), Condition("type", "==", "DEBIT")
    cash = Condition("type", "==", "CASH_OUT")
    assert ruled(scored(), rule("review", large, debit)).decision == "approve"
    assert ruled(scored(type="DEBIT"), rule("review", large, debit)).decision == "review"
    either = rule("review", large, any=(debit, cash))
    assert ruled(scored(type="CASH_OUT"), either).decision == "review"
    assert ruled(scored(), either).decision == "approve"


def test_no_rules_are_false():
    assert not NO_RULES and NO_RULES.version == ""
    assert Rules(RuleSet(1, NOW, "", "", entries=(entry("deny"),)))


numbers = st.one_of(st.just(NAN), st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]))
conditions = st.one_of(
    st.builds(Condition, st.sampled_from(["amount", "origin_balance", "amount_share_of_balance",
                                          "origin_sent_count_day"]),
              st.sampled_from(["<", "<=", "==", "!=", ">=", ">"]),
              st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    st.builds(Condition, st.just("type"), st.sampled_from(["==", "!="]), st.sampled_from(TYPES)),
    st.builds(Condition, st.just("type"), st.just("in"),
              st.lists(st.sampled_from(TYPES), min_size=1, max_size=3)))
some = st.lists(conditions, max_size=3).map(tuple)
rule_sets = st.lists(st.builds(
    lambda decision, conditions, either, dry_run: Rule(
        "r", decision, "why", "ana", conditions, either, None, dry_run),
    st.sampled_from(["review", "decline"]), some, some, st.booleans()).filter(
        lambda rule: rule.conditions), max_size=4)
payments = st.lists(st.builds(
    lambda decision, cents, type, balance, features: ScoredPayment(
        payment(cents, type, balance), ANA, BEN, features, decision, []),
    st.sampled_from(list(STRICTNESS)), st.sampled_from([0, 50, 100, 200]), st.sampled_from(TYPES),
    st.sampled_from([None, 0, 100]), st.lists(numbers, min_size=len(DEFAULT.names),
                                              max_size=len(DEFAULT.names))),
    min_size=1, max_size=20)


@given(rule_sets, payments)
def test_arrays_and_single_payments_get_the_same_rulings(given, batch):
    rules = Rules(RuleSet(1, NOW, "", "", tuple(given)))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ruling, "SCALARS_UP_TO", 0)
        together = rules.rulings(batch, DEFAULT.names, NOW)
    apart = [rules.rulings([each], DEFAULT.names, NOW)[0] for each in batch]
    assert together == apart
    for each, result in zip(batch, together, strict=True):
        assert STRICTNESS[result.decision] >= STRICTNESS[each.decision]


def test_the_nan_of_a_feature_is_unknown_to_arrays_too(monkeypatch):
    monkeypatch.setattr(ruling, "SCALARS_UP_TO", 0)
    rules = Rules(RuleSet(1, NOW, "", "", (
        rule("review", Condition("origin_sent_count_day", "!=", 1.0)),)))
    row = [0.0] * len(DEFAULT.names)
    unknown = [NAN] * len(DEFAULT.names)
    results = rules.rulings([scored(features=row), scored(features=unknown)], DEFAULT.names, NOW)
    assert [result.decision for result in results] == ["review", "approve"]
