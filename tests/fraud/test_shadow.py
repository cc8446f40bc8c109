from dataclasses import replace
from functools import partial

import msgspec
import numpy as np
import pytest

from fraud import bundle, shadow
from fraud.features import FeatureTable
from fraud.pending import Pending
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.shadow import ShadowScorer
from tests import factories
from tests.factories import NOON, emptying

payment = partial(factories.payment, origin_balance_cents=5_000_00)
PAYMENTS = [payment("a"), emptying("b"), payment("c", amount_cents=9_00), emptying("d")]


class Failing:
    """A model that fails."""

    def scores(self, rows):
        raise RuntimeError("no scores")


class Slow:
    """A model that takes its time, by a clock that the test reads."""

    def __init__(self, clock, seconds=1.0):
        self._clock, self._seconds = clock, seconds

    def scores(self, rows):
        self._clock.seconds += self._seconds
        return np.full(len(rows), 0.5)


class Recording:
    """A model that keeps the rows of its last call."""

    def scores(self, rows):
        self.rows = rows
        return np.full(len(rows), 0.5)


class Forgetful:
    """A model that returns a score too few."""

    def scores(self, rows):
        return np.full(len(rows) - 1, 0.5)


class Clock:
    seconds = 0.0

    def perf_counter(self):
        return self.seconds


@pytest.fixture(scope="module")
def champion(bundle_directory) -> bundle.Bundle:
    return bundle.load(bundle_directory)


@pytest.fixture
def strict(champion):
    """The champion's model as version 9, which declines everything."""
    levels = bundle.Thresholds(0, 0)
    return replace(champion, digest="9" * 64,
                   manifest=msgspec.structs.replace(champion.manifest, version="9"),
                   policy=bundle.Policy("9.1", levels, levels))


@pytest.fixture
def scorer(opened, champion):
    """Makes scorers of the champion, each with a store of its own: `scorer(shadow=None)`."""
    def scorer(shadow_scorer=None, filled=True) -> Scorer:
        store = opened("memory://")
        if filled:
            store.fill([], 0, NOON)
        made = Scorer(store, champion, Settings(clock="event", account_key="secret"), True)
        made.shadow = shadow_scorer
        return made

    return scorer


def bodies(outcomes) -> list[bytes]:
    return [outcome.body for outcome in outcomes]


@pytest.mark.parametrize("filled", [True, False])       # model, fallback
def test_a_challenger_scores_the_same_payments_and_changes_no_answer(
        scorer, strict, champion, filled):
    dropped = []
    shadowed = scorer(ShadowScorer(strict, dropped.append), filled).score(PAYMENTS)
    alone = scorer(filled=filled).score(PAYMENTS)
    assert bodies(shadowed) == bodies(alone)
    assert b"shadow" not in b"".join(bodies(shadowed))
    for outcome, without in zip(shadowed, alone, strict=True):
        of_challenger = outcome.decision.shadow
        assert (of_challenger.model_version, of_challenger.decision) == ("9", "decline")
        assert (of_challenger.model_digest, of_challenger.policy_digest) == (
            strict.digest, strict.policy_digest)
        assert of_challenger.thresholds == bundle.Thresholds(0, 0)
        assert of_challenger.score == pytest.approx(outcome.decision.score, abs=1e-6)
        assert without.decision.shadow is None
    assert dropped == []


def test_a_challenger_sees_the_counts_of_the_champion(scorer, strict):
    shadowed = scorer(ShadowScorer(strict, print)).score(
        [payment(f"p{number}") for number in range(30)])
    for outcome in shadowed:
        assert outcome.decision.shadow.score == pytest.approx(outcome.decision.score, abs=1e-6)


@pytest.mark.parametrize("filled", [True, False])       # model, fallback
@pytest.mark.parametrize("size", [1, 30])
def test_rows_of_the_champion_are_those_that_the_challenger_would_compute(
        scorer, strict, filled, size):
    other = replace(strict, features=type(strict.features)(strict.features.types))
    other.features.types = list(strict.features.types)      # no longer equal to the champion's
    payments = [payment(f"p{number}", amount_cents=100 + number, origin=f"C{number % 4}")
                for number in range(size)]
    taken, computed = ([outcome.decision.shadow for outcome in scorer(
        ShadowScorer(each, print), filled).score(payments)] for each in (strict, other))
    assert taken == computed and None not in taken


def test_a_challenger_with_other_features_gets_rows_of_its_own(scorer, strict):
    model, table = Recording(), FeatureTable(strict.features.types, left_out={"amount"})
    scorer(ShadowScorer(replace(strict, features=table, model=model), print)).score(PAYMENTS)
    assert model.rows.shape == (len(PAYMENTS), len(table.names))
    assert len(table.names) == len(strict.features.names) - 1


def test_a_payment_of_a_type_that_it_does_not_know_is_left_to_the_champion(scorer, strict):
    table = replace_types(strict)
    outcomes = scorer(ShadowScorer(table, print)).score([payment("a"), payment("b", type="DEBIT")])
    assert [outcome.decision.shadow is None for outcome in outcomes] == [False, True]


def replace_types(given: bundle.Bundle) -> bundle.Bundle:
    """A bundle whose table of features does not know DEBIT, but has the same columns."""
    codes = {name: code for name, code in given.features.type_codes.items() if name != "DEBIT"}
    table = type(given.features)(given.features.types)
    table.type_codes = codes
    return replace(given, features=table)


@pytest.mark.parametrize("model", ["model", "fallback"])
def test_a_challenger_that_fails_is_dropped_and_counted_once(scorer, strict, caplog, model):
    dropped = []
    broken = ShadowScorer(replace(strict, **{model: Failing()}), dropped.append)
    tried = scorer(broken, filled=model == "model")
    first, second = tried.score(PAYMENTS[:2]), tried.score(PAYMENTS[2:])
    alone = scorer(filled=model == "model")
    assert bodies(first + second) == bodies(alone.score(PAYMENTS[:2]) + alone.score(PAYMENTS[2:]))
    assert all(outcome.decision.shadow is None for outcome in first + second)
    assert dropped == ["error"]
    assert "challenger 9 is dropped: it failed (RuntimeError: no scores)" in caplog.text


def test_a_challenger_that_returns_too_few_scores_is_dropped(scorer, strict, caplog):
    dropped = []
    broken = ShadowScorer(replace(strict, model=Forgetful()), dropped.append)
    assert [outcome.decision.shadow for outcome in scorer(broken).score(PAYMENTS)] == [None] * 4
    assert dropped == ["error"] and "it failed (ValueError" in caplog.text


def test_results_that_do_not_fit_their_payments_drop_the_challenger(strict):
    dropped = []
    case = Pending(0, payment("a"), None)
    assert ShadowScorer(strict, dropped.append).score([case], strict.features, []) == {}
    assert dropped == ["error"]


def test_a_challenger_that_is_slow_several_times_in_a_row_is_dropped(
        scorer, strict, monkeypatch, caplog):
    dropped, clock = [], Clock()
    monkeypatch.setattr(shadow, "time", clock)
    slow = ShadowScorer(replace(strict, model=Slow(clock)), dropped.append)
    tried = scorer(slow)
    scored = [tried.score([payment(f"p{number}")])[0].decision.shadow is not None
              for number in range(shadow.SLOW_CALLS + 2)]
    assert scored == [True] * shadow.SLOW_CALLS + [False, False]
    assert dropped == ["slow"]
    assert "it took 1.000 s for 1 payments, and more than its bound 3 times" in caplog.text


@pytest.mark.parametrize(("seconds", "dropped"), [(1.0, []), (1.125, ["slow"])])
def test_each_payment_of_a_call_adds_to_the_time_that_a_challenger_has(
        scorer, strict, monkeypatch, seconds, dropped):
    clock, reasons = Clock(), []
    monkeypatch.setattr(shadow, "time", clock)
    monkeypatch.setattr(shadow, "SLOW_SECONDS", 0.5)
    monkeypatch.setattr(shadow, "SLOW_SECONDS_EACH", 0.125)     # 1 s for four payments
    tried = scorer(ShadowScorer(replace(strict, model=Slow(clock, seconds)), reasons.append))
    for call in range(shadow.SLOW_CALLS):
        tried.score([payment(f"p{call}-{number}") for number in range(4)])
    assert reasons == dropped


def test_a_challenger_may_be_slow_now_and_then(scorer, strict, monkeypatch):
    dropped, clock = [], Clock()
    monkeypatch.setattr(shadow, "time", clock)
    at_times = ShadowScorer(replace(strict, model=Slow(clock)), dropped.append)
    tried = scorer(at_times)
    for number in range(3 * shadow.SLOW_CALLS):
        fast = number % shadow.SLOW_CALLS == 0
        at_times._bundle = strict if fast else replace(strict, model=Slow(clock))
        tried.score([payment(f"p{number}")])
    assert dropped == []
