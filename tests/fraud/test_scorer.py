import logging
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from time import time

import msgspec
import numpy as np
import pytest

from fraud import bundle
from fraud.clock import HOUR_MS as HOUR
from fraud.decision import Answer, Answered, Decision, Refused
from fraud.features import DEFAULT
from fraud.history import StoreContractError, StoreUnavailable
from fraud.inference import SCALAR_BATCH_MAX
from fraud.pseudonym import pseudonym, with_pseudonyms
from fraud.rules.rule_set import Condition, ListEntry, Rule, RuleSet
from fraud.rules.ruling import Rules
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.windows import COUNT_NAMES, counts_of
from tests import factories
from tests.factories import NOON, emptying

payment = partial(factories.payment, origin_balance_cents=5_000_00)
THRESHOLDS = {"review": 0.5, "decline": 0.9, "review_by": "score", "decline_from": 0.0}


@pytest.fixture(scope="module")
def champion(bundle_directory) -> bundle.Bundle:
    return bundle.load(bundle_directory)


@pytest.fixture
def make(champion):
    """Makes a scorer of replays: `make(store, **settings)`."""
    def make(store, fallback_on_store_error: bool = True, **settings) -> Scorer:
        return Scorer(store, champion, Settings(**{"clock": "event", "account_key": "secret",
                                                   **settings}), fallback_on_store_error)
    return make


@pytest.fixture
def full(store):
    """A store that has recorded for long."""
    store.fill([], 0, NOON)
    return store


@pytest.fixture
def memory(opened):
    store = opened("memory://")
    store.fill([], 0, NOON)
    return store


def decisions(outcomes: list[Answered | Refused]) -> list[Decision]:
    return [outcome.decision for outcome in outcomes]


def answers(outcomes: list[Answered | Refused]) -> list[Answer]:
    return [msgspec.json.decode(outcome.body, type=Answer) for outcome in outcomes]


# Answers and decisions.

def test_an_answer_names_decision_model_and_reasons(make, full):
    [outcome] = make(full).score([emptying("a")])
    answer = msgspec.json.decode(outcome.body)
    score, reasons = answer.pop("score"), answer.pop("reasons")
    assert answer == {"transaction_id": "a", "decision": "decline", "history": "full",
                      "unknown_windows": [], "late": False, "idempotent": True,
                      "model_version": "3", "policy_version": "3.1", "thresholds": THRESHOLDS,
                      "decided_by": "model", "rules_version": ""}
    assert 0.9 <= score <= 1
    assert reasons[0]["code"] == "amount-against-balance"
    assert reasons[0]["value"]["empties_account"] == 1.0
    assert set(reasons[0]) == {"code", "text", "logit_drop", "value", "reference"}


def test_an_approval_has_no_reasons(make, memory):
    [answer] = answers(make(memory).score([payment("a")]))
    assert (answer.decision, answer.reasons) == ("approve", []) and answer.score < 0.5


def test_a_decision_is_logged_with_all_its_inputs(make, full, champion):
    scorer = make(full)
    scorer.score([payment("a")])
    before = time() * 1000
    [decision] = decisions(scorer.score([emptying("b")]))
    logged = msgspec.json.decode(msgspec.json.encode(decision))
    assert before - 1 <= logged.pop("decided_at") <= time() * 1000
    assert {name: logged[name] for name in (
        "transaction_id", "event_time", "type", "amount_cents", "origin_balance_cents",
        "destination_balance_cents", "history", "unknown_windows", "late", "recording_since",
        "idempotent", "model_digest", "model_version", "policy_digest", "policy_version",
        "thresholds")} == {
        "transaction_id": "b", "event_time": NOON, "type": "TRANSFER", "amount_cents": 5_000_00,
        "origin_balance_cents": 5_000_00, "destination_balance_cents": 0, "history": "full",
        "unknown_windows": [], "late": False, "recording_since": 0, "idempotent": True,
        "model_digest": champion.digest, "model_version": "3",
        "policy_digest": champion.policy_digest, "policy_version": "3.1",
        "thresholds": THRESHOLDS}
    assert dict(zip(COUNT_NAMES, logged["counts"], strict=True))["origin_sent_cents_day"] == 100_00
    row = DEFAULT.vector(emptying("b"), counts_of(logged["counts"]))
    assert np.array_equal(np.float32([logged["features"]]), row)
    assert champion.model.scores(row)[0] == pytest.approx(logged["score"], abs=1e-6)


@pytest.mark.parametrize("size", [SCALAR_BATCH_MAX, 101])
def test_payments_score_alike_alone_and_in_a_batch(make, opened, size):
    payments = [payment(f"t{index}", NOON + index, amount_cents=index * 50_00,
                        destination=f"C{index % 3}") for index in range(101)]
    alone, together = opened("memory://"), opened("memory://")
    for store in (alone, together):
        store.fill([], 0, NOON)
    one_by_one, at_once = make(alone), make(together)
    single = [one_by_one.score([single])[0].decision for single in payments]
    batched: list[Decision] = []
    for start in range(0, 101, size):
        batched += decisions(at_once.score(payments[start:start + size]))
    for left, right in zip(single, batched, strict=True):
        assert left.features == right.features and left.counts == right.counts
        assert left.score == pytest.approx(right.score, abs=1e-6)
    assert len({decision.decision for decision in single}) > 1


def test_reasons_are_those_of_the_payment_itself(make, memory):
    outcomes = make(memory).score([payment("a"), emptying("b", amount_cents=7_00,
                                                          origin_balance_cents=7_00)])
    assert [len(answer.reasons) > 0 for answer in answers(outcomes)] == [False, True]
    assert answers(outcomes)[1].reasons[0].value["balance_left"] == 0.0


def test_each_model_has_its_own_thresholds(make, opened, champion):
    scorer = make(opened("memory://"))
    scorer.bundle = replace(champion, policy=bundle.Policy(
        "4", model=bundle.Thresholds(0, 0), fallback=bundle.Thresholds(1, 1)))
    outcomes = scorer.score([emptying("a"), payment("b", NOON + 24 * HOUR)])
    assert [answer.decision for answer in answers(outcomes)] == ["approve", "decline"]


def test_rules_and_lists_decide_with_the_model_and_the_log_says_how(make, memory):
    scorer = make(memory)
    large = Rule("large", "review", "why", "ana", (Condition("amount", ">=", 100.0),))
    tried = Rule("tried", "decline", "why", "ana", (Condition("type", "==", "TRANSFER"),),
                 dry_run=True)
    entry = ListEntry(pseudonym(b"secret", "mule"), "deny", "why", "ana")
    scorer.rules = Rules(RuleSet(4, NOON, "ana", "", (large, tried), (entry,)), "digest")
    outcomes = scorer.score([with_pseudonyms(b"secret", each) for each in (
        payment("a", amount_cents=5_00), payment("b"), payment("c", destination="mule"),
        emptying("d"))])
    logged = decisions(outcomes)
    assert [(each.decision, each.decided_by, each.model_decision, each.applied)
            for each in logged] == [
        ("approve", "model", "approve", []), ("review", "rule", "approve", ["rule:large"]),
        ("decline", "list", "approve", ["list:deny", "rule:large"]),
        ("decline", "model", "decline", ["rule:large"])]
    assert {(each.rules_version, each.rules_digest, *each.dry_run) for each in logged} == {
        ("4", "digest", "rule:tried")}
    assert [(answer.decided_by, answer.rules_version) for answer in answers(outcomes)] == [
        ("model", "4"), ("rule", "4"), ("list", "4"), ("model", "4")]


def test_a_repeat_gets_the_same_bytes_also_under_other_rules(make, memory):
    scorer = make(memory)
    [first] = scorer.score([payment("a")])
    scorer.rules = Rules(RuleSet(1, NOON, "", "", (
        Rule("all", "decline", "why", "ana", (Condition("amount", ">=", 0.0),)),)), "digest")
    assert scorer.score([payment("a")])[0].body == first.body


def test_nothing_is_scored_for_no_payments(make, full):
    assert make(full).score([]) == []


# Repeats and refusals.

def test_a_repeat_gets_the_same_bytes_also_from_another_model(make, full, champion):
    scorer = make(full)
    [first] = scorer.score([emptying("a")])
    scorer.bundle = replace(champion, digest="other")
    assert scorer.score([emptying("a")]) == [Answered(first.body, None)]
    assert scorer.score([emptying("b")])[0].decision.model_digest == "other"


def test_a_payment_twice_in_a_batch_is_scored_once(make, full):
    first, second, other = make(full).score([payment("a"), payment("a"), payment("b")])
    assert second == Answered(first.body, None) and first.decision
    assert dict(zip(COUNT_NAMES, other.decision.counts, strict=True))["origin_sent_count_day"] == 1


def test_after_a_crash_before_the_answer_the_counts_are_the_same(make, full):
    scorer = make(full)
    claims = full.claim([payment("a")], NOON)
    scorer.score([payment("b")])
    [outcome] = scorer.score([payment("a")])
    assert outcome.decision.counts == claims[0].counts == [0] * len(COUNT_NAMES)
    assert outcome.decision.store_sequence == claims[0].store_sequence


def test_an_id_with_another_payment_is_refused(make, full):
    scorer = make(full)
    scorer.score([payment("a")])
    for outcome in scorer.score([payment("a", amount_cents=1), payment("a", type="CASH_IN")]):
        assert outcome.code == "id-reused" and "'a'" in outcome.message


def test_the_first_answer_of_concurrent_scorers_wins(make, memory, monkeypatch):
    scorer, finish = make(memory), memory.finish

    def finish_behind(claims, bodies):
        finish(claims, [b"first"])
        return finish(claims, bodies)

    monkeypatch.setattr(memory, "finish", finish_behind)
    assert scorer.score([payment("a")]) == [Answered(b"first", None)]


# Time.

def now() -> int:
    return int(time() * 1000)


def test_a_payment_from_the_future_is_refused_and_not_counted(make, memory):
    scorer = make(memory, clock="wall", max_clock_skew_minutes=5.0)
    good, bad = payment("a", now() + 4 * 60_000), payment("b", now() + 6 * 60_000)
    later = payment("c", now() + 4 * 60_000)
    first, refused, third = scorer.score([good, bad, later])
    assert first.decision and refused.code == "event-time-ahead"
    assert "event_time is" in refused.message and "ahead of the clock" in refused.message
    assert dict(zip(COUNT_NAMES, third.decision.counts, strict=True))["origin_sent_count_day"] == 1


def test_in_replays_no_payment_is_too_far_ahead(make, memory):
    assert make(memory).score([payment("a", now() + 10 ** 10)])[0].decision


def test_recording_begins_by_the_wall_clock_or_in_replays_by_event_time(make, opened):
    before = now()
    began = {clock: decisions(make(opened("memory://"), clock=clock).score([payment("a")]))[0]
             .recording_since for clock in ("event", "wall")}
    assert began["event"] == NOON
    assert before <= began["wall"] <= now()


def test_a_late_payment_is_marked(make, full):
    scorer = make(full)
    outcomes = scorer.score([payment("a", NOON + 5), payment("b", NOON)])
    assert [answer.late for answer in answers(outcomes)] == [False, True]
    assert [decision.late for decision in decisions(outcomes)] == [False, True]


# Missing history.

def test_a_young_store_is_not_trusted(make, store, champion):
    scorer = make(store)
    hours = (0, 22, 23, 24, 7 * 24, 31 * 24)
    outcomes = scorer.score([emptying(f"t{hour}", event_time=NOON + 1 + hour * HOUR)
                             for hour in hours])
    assert [answer.history for answer in answers(outcomes)] == [
        "short", "short", "short", "partial", "partial", "full"]
    assert [answer.unknown_windows for answer in answers(outcomes)][2:] == [
        ["day", "week", "month"], ["week", "month"], ["month"], []]
    first, *_, last = decisions(outcomes)
    assert first.features == DEFAULT.vector(emptying("t", event_time=NOON + 1), None)[0].tolist()
    assert (first.thresholds, last.thresholds) == (champion.policy.fallback, champion.policy.model)
    assert first.score == pytest.approx(champion.fallback.scores(np.float32([first.features]))[0])
    assert first.idempotent and len(last.features) == len(DEFAULT.names)


def unreachable(opened):
    return opened("redis://127.0.0.1:1", history_deadline_ms=20.0)


def test_without_its_store_it_answers_without_history_and_logs_it(make, opened, champion, caplog):
    scorer = make(unreachable(opened))
    with caplog.at_level(logging.WARNING):
        outcomes = scorer.score([emptying("a"), payment("a"), payment("b")])
    for answer in answers(outcomes):
        assert (answer.history, answer.idempotent, answer.late) == ("unavailable", False, False)
    assert [answer.decision for answer in answers(outcomes)] == ["decline", "approve", "approve"]
    logged = decisions(outcomes)[0]
    assert (logged.counts, logged.store_sequence, logged.recording_since) == (None, None, None)
    assert logged.thresholds == champion.policy.fallback
    assert len(logged.features) == len(DEFAULT.fallback_names)
    assert "scoring without history: Redis: " in caplog.text


def test_without_fallback_an_unavailable_store_is_an_error(make, opened):
    with pytest.raises(StoreUnavailable):
        make(unreachable(opened), fallback_on_store_error=False).score([payment("a")])


@pytest.mark.parametrize("fallback_on_store_error", [True, False])
def test_a_store_may_become_unavailable_before_the_answer_is_kept(
        make, memory, monkeypatch, fallback_on_store_error):
    def unavailable(claims, bodies):
        raise StoreUnavailable("down")

    scorer = make(memory, fallback_on_store_error)
    with monkeypatch.context() as patched:
        patched.setattr(memory, "finish", unavailable)
        if fallback_on_store_error:
            [answer] = answers(scorer.score([payment("a")]))
            assert (answer.history, answer.idempotent) == ("full", False)
        else:
            with pytest.raises(StoreUnavailable):
                scorer.score([payment("a")])
    [answer] = answers(scorer.score([payment("a")]))
    assert (answer.history, answer.idempotent) == ("full", True)


def test_answers_that_were_kept_without_a_reply_keep_their_decisions(make, memory, monkeypatch):
    finish = memory.finish

    def finish_silently(claims, bodies):
        finish(claims, bodies)
        raise StoreUnavailable("the reply came too late")

    scorer = make(memory, fallback_on_store_error=False)
    batch = [payment("a"), payment("b")]
    with monkeypatch.context() as patched:
        patched.setattr(memory, "finish", finish_silently)
        with pytest.raises(StoreUnavailable):
            scorer.score(batch)
    retried = scorer.score([*batch, payment("c")])
    assert [outcome.decision.transaction_id for outcome in retried] == ["a", "b", "c"]
    assert [outcome.body for outcome in retried] == [
        memory.answer(name) for name in ("a", "b", "c")]
    assert [outcome.decision for outcome in scorer.score(batch)] == [None, None]


def test_every_payment_is_answered_while_redis_stops_and_restarts(make, opened, own_redis):
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")
    scorer = make(opened(server.url, history_deadline_ms=100.0), fallback_on_store_error=True)
    opened(server.url).fill([], 0, NOON)
    given = answers(scorer.score([payment("a")]))
    server.process.send_signal(signal.SIGSTOP)
    given += answers(scorer.score([payment("b")]))
    server.kill()
    given += answers(scorer.score([payment("c")]))
    server.start()
    outcomes = scorer.score([payment("d")])
    given += answers(outcomes)
    assert [(answer.history, answer.idempotent) for answer in given] == [
        ("full", True), ("unavailable", False), ("unavailable", False), ("full", True)]
    counts = dict(zip(COUNT_NAMES, outcomes[0].decision.counts, strict=True))
    assert counts["origin_sent_count_day"] == 1


class Forgetful:
    """A store that returns no result for the last payment of a call."""

    def __init__(self, store, forgets: str):
        self._store, self._forgets = store, forgets

    def claim(self, payments, now):
        results = self._store.claim(payments, now)
        return results[:-1] if self._forgets == "claim" else results

    def finish(self, claims, bodies):
        kept = self._store.finish(claims, bodies)
        return kept[:-1] if self._forgets == "finish" else kept


@pytest.mark.parametrize("call", ["claim", "finish"])
@pytest.mark.parametrize("fallback_on_store_error", [True, False])
def test_a_store_that_returns_too_few_results_is_a_loud_error(
        make, memory, call, fallback_on_store_error):
    scorer = make(Forgetful(memory, call), fallback_on_store_error)
    with pytest.raises(StoreContractError, match=f"`{call}` returned 2 results for 3 payments"):
        scorer.score([payment("a"), payment("b"), payment("c")])


def test_importing_the_scorer_connects_to_nothing_and_needs_no_store_library():
    program = "import sys, fraud.scorer; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                            check=True).stdout.split()
    assert not {"redis", "botocore", "boto3", "pyspark", "xgboost", "pandas"} & set(loaded)
