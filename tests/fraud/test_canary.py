from dataclasses import replace
from functools import partial

import msgspec
import pytest
from hypothesis import given, strategies as st

from fraud import bundle
from fraud.canary import Canary
from fraud.rules.rule_set import Condition, Rule, RuleSet
from fraud.rules.ruling import Rules
from fraud.scorer import Scorer
from fraud.settings import Settings
from tests import factories
from tests.factories import NOON, emptying

payment = partial(factories.payment, origin_balance_cents=5_000_00)
MANY = [payment(f"p{number}", origin=f"{number:032x}", destination="d" * 32)
        for number in range(2_000)]


class Calls:
    """A `CallObserver` that lists the calls."""

    def __init__(self):
        self.scored_by, self.failed_by = [], []

    def scored(self, version, seconds):
        assert 0 < seconds < 60
        self.scored_by.append(version)

    def failed(self, version):
        self.failed_by.append(version)


class Failing:
    """A model that fails."""

    def scores(self, rows):
        raise RuntimeError("no scores")


@pytest.fixture(scope="module")
def champion(bundle_directory) -> bundle.Bundle:
    return bundle.load(bundle_directory)


@pytest.fixture(scope="module")
def strict(champion):
    """The champion's model as version 4, which declines everything."""
    levels = bundle.Thresholds(0, 0)
    return replace(champion, digest="4" * 64,
                   manifest=msgspec.structs.replace(champion.manifest, version="4"),
                   policy=bundle.Policy("4.1", levels, levels))


@pytest.fixture
def scorer(opened, champion):
    def scorer(canary=None, filled=True) -> Scorer:
        store = opened("memory://")
        if filled:
            store.fill([], 0, NOON)
        made = Scorer(store, champion, Settings(clock="event", account_key="secret"), True)
        made.canary = canary
        return made

    return scorer


def taken(canary, payments=MANY) -> set[str]:
    return {each.origin for each in payments if canary.takes(each)}


@pytest.mark.parametrize("share", [1, 10, 50])
def test_the_share_of_the_accounts_is_the_one_that_was_asked_for(strict, share):
    count = len(taken(Canary(strict, share, Calls())))
    expected = len(MANY) * share / 100
    assert abs(count - expected) < 5 * (expected * (1 - share / 100)) ** 0.5


def test_a_share_of_all_takes_every_account_and_leaves_the_champion_nothing(scorer, strict):
    calls = Calls()
    canary = Canary(strict, 100, calls)
    assert all(map(canary.takes, MANY))
    scorer(canary).score(MANY[:10])
    assert calls.scored_by == ["4"]


@given(st.text(min_size=1, max_size=64), st.floats(0.1, 99), st.floats(0.1, 99))
def test_an_account_stays_when_the_share_grows_whatever_it_pays(strict, origin, share, other):
    low, high = sorted((share, other))
    small, large = Canary(strict, low, Calls()), Canary(strict, high, Calls())
    first, second = payment("a", origin=origin), emptying("b", origin=origin, destination="C9")
    assert small.takes(first) == small.takes(second)
    assert large.takes(first) or not small.takes(first)


def test_another_version_takes_other_accounts(strict, champion):
    first, second = (taken(Canary(each, 10, Calls())) for each in (strict, champion))
    assert len(first & second) < 60         # 20 of 2,000 expected


@pytest.mark.parametrize("filled", [True, False])       # model, fallback
@pytest.mark.parametrize("size", [1, 300])
def test_each_account_is_decided_by_its_version_and_the_line_says_which(
        scorer, strict, champion, filled, size):
    calls = Calls()
    canary = Canary(strict, 30, calls)
    payments = MANY[:300]
    shared = scorer(canary, filled)
    outcomes = [outcome for first in range(0, len(payments), size)
                for outcome in shared.score(payments[first:first + size])]
    alone = scorer(filled=filled).score(payments)
    for each, outcome, before in zip(payments, outcomes, alone, strict=True):
        decision = outcome.decision
        if canary.takes(each):
            assert (decision.model_version, decision.policy_version, decision.decision) == (
                "4", "4.1", "decline")
            assert decision.model_digest == strict.digest
        else:
            assert outcome.body == before.body
    assert set(calls.scored_by) == {"3", "4"} and calls.failed_by == []


def test_a_canary_that_fails_leaves_its_payments_to_the_champion(scorer, strict, caplog):
    calls = Calls()
    broken = Canary(replace(strict, model=Failing()), 50, calls)
    outcomes, alone = scorer(broken).score(MANY[:50]), scorer().score(MANY[:50])
    assert [outcome.body for outcome in outcomes] == [outcome.body for outcome in alone]
    assert (calls.scored_by, calls.failed_by) == (["3"], ["4"])
    assert caplog.messages == ["canary 4 failed, the champion decides (RuntimeError: no scores)"]


def test_a_champion_that_fails_is_not_hidden(opened, champion, strict):
    calls = Calls()
    made = Scorer(opened("memory://"), replace(champion, fallback=Failing()),
                  Settings(clock="event", account_key="secret"), True)
    made.canary = Canary(strict, 1, calls)
    with pytest.raises(RuntimeError):
        made.score(MANY[:50])
    assert calls.failed_by == ["3"]


def test_types_that_the_canary_does_not_know_are_left_to_the_champion(scorer, strict):
    table = type(strict.features)(strict.features.types)
    table.type_codes = {name: code for name, code in table.type_codes.items() if name != "DEBIT"}
    canary = Canary(replace(strict, features=table), 99, Calls())
    outcomes = scorer(canary).score([payment(f"d{number}", type="DEBIT", origin=f"C{number}")
                                     for number in range(30)])
    assert {outcome.decision.model_version for outcome in outcomes} == {"3"}


def test_rules_apply_to_both_versions(scorer, strict):
    rule = Rule("small", "review", "why", "ana", (Condition("amount", "<", 200.0),))
    shared = scorer(Canary(strict, 50, Calls()))
    shared.rules = Rules(RuleSet(1, 0, "ana", "why", (rule,)))
    outcomes = shared.score(MANY[:40])
    by_version = {version: [outcome.decision for outcome in outcomes
                            if outcome.decision.model_version == version] for version in "34"}
    assert all(decision.applied == ["rule:small"] for decision in by_version["3"] + by_version["4"])
    assert {decision.decided_by for decision in by_version["3"]} == {"rule"}
    assert {decision.decided_by for decision in by_version["4"]} == {"model"}


def test_a_repeat_gets_its_answer_after_the_canary_has_ended(scorer, strict):
    shared = scorer(Canary(strict, 50, Calls()))
    before = shared.score(MANY[:40])
    shared.canary = None
    assert [outcome.body for outcome in shared.score(MANY[:40])] == [
        outcome.body for outcome in before]
