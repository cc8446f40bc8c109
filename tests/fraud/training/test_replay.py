import shutil

import msgspec
import pytest

from fraud import bundle
from fraud.clock import HOUR_MS as HOUR
from fraud.decision import Decision
from fraud.features import DEFAULT
from fraud.rules.rule_set import Condition, Rule, RuleSet
from fraud.rules.ruling import Rules
from fraud.scorer import Scorer
from fraud.settings import Settings
from fraud.stores import open_store
from fraud.training import replay
from fraud.transaction import Transaction
from fraud.windows import COUNT_NAMES
from tests.tools import CommandResult, run_main

NOON = 480_012 * HOUR


def payment(position: int) -> Transaction:
    """One of a stream in which every third empties its account."""
    cents = 5_000_00 if position % 3 == 0 else 100_00 + position
    return Transaction(f"t{position}", NOON + position * 20 * 60_000, "TRANSFER",
                       cents, f"C{position % 2}", f"C{position % 5}", 5_000_00, 0)


def decided(bundle_directory, count: int, url: str = "memory://") -> list[Decision]:
    scorer = Scorer(open_store(Settings(history=url)), bundle.load(bundle_directory),
                    Settings(clock="event"), fallback_on_store_error=True)
    return [scorer.score([payment(position)])[0].decision for position in range(count)]


@pytest.fixture(scope="module")
def decisions(bundle_directory) -> list[Decision]:
    """Two days of them: after one, history is full."""
    return decided(bundle_directory, 150)


@pytest.fixture
def replayed(tmp_path, capsys, bundle_directory):
    """Exit code and output of the command on a decision of a log of these lines."""
    def run(name: str, lines: list[Decision], models=bundle_directory) -> CommandResult:
        path = tmp_path / "log"
        path.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return run_main(capsys, replay.main, name, "--decisions", path, "--models", models)
    return run


def changed(decisions: list[Decision], position: int, **changes) -> list[Decision]:
    lines = list(decisions)
    lines[position] = msgspec.structs.replace(lines[position], **changes)
    return lines


def step(out: str, name: str) -> str:
    [line] = [line for line in out.splitlines()[1:] if name in line.split()[:3]]
    return line


@pytest.mark.parametrize("position", [0, 1, 68, 69, 149])
def test_a_decision_is_reproduced(replayed, decisions, position):
    code, out, _ = replayed(f"t{position}", decisions[::-1])       # whatever the order of the lines
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["same", name] for name in ("counts", "features", "score", "reasons", "decision")]
    assert "reproduced from" in step(out, "counts") and "NOT" not in out
    history = "partial" if position > 68 else "short"
    assert f"t{position}, decided at 20" in out and (
        f"by model 3 and policy 3.1, history {history}" in out)


@pytest.fixture
def ruled(bundle_directory, tmp_path):
    """Decisions under rules, and a directory with their bundle and rules."""
    large = Rule("large", "decline", "why", "ana", (Condition("amount", ">=", 100.0),))
    content = msgspec.json.encode(RuleSet(4, NOON, "ana", "", (large,)))
    scorer = Scorer(open_store(Settings(history="memory://")), bundle.load(bundle_directory),
                    Settings(clock="event"), fallback_on_store_error=True)
    scorer.rules = Rules(msgspec.json.decode(content, type=RuleSet), bundle.sha256(content))
    models = shutil.copytree(bundle_directory, tmp_path / "models")
    (models / "rules-4-0.json").write_bytes(content)
    return [scorer.score([payment(position)])[0].decision for position in range(3)], models


def test_a_decision_under_rules_is_reproduced(replayed, ruled):
    decisions, models = ruled
    code, out, _ = replayed("t1", decisions, models)
    assert code == 0 and "rule:large" in step(out, "reasons")
    assert "version 4, rule:large; decided by rule" in step(out, "rules")
    changed_line = changed(decisions, 1, applied=["rule:other"])
    code, out, _ = replayed("t1", changed_line, models)
    assert code == 1 and step(out, "rules").startswith("NOT SAME")


def test_rules_that_are_missing_are_named(replayed, ruled):
    decisions, models = ruled
    (models / "rules-4-0.json").unlink()
    code, _, err = replayed("t1", decisions, models)
    assert code == 2 and "holds no rules-4-....json with sha256" in err


def test_reasons_and_outcome_are_reported(replayed, decisions):
    _, out, _ = replayed("t99", decisions)
    assert "amount-against-balance" in step(out, "reasons")
    assert "decline, reproduced as decline" in step(out, "decision")


@pytest.mark.parametrize(("changes", "name", "why"), [
    ({"score": 0.123}, "score", "0.123000, reproduced as"),
    ({"decision": "approve"}, "decision", "approve, reproduced as decline"),
    ({"reasons": []}, "reasons", "none"),
    ({"amount_cents": 7}, "features", "amount is 5000.0, payment and counts give 0.07"),
    ({"features": [1.0]}, "features", f"the line has 1, the model takes {len(DEFAULT.names)}"),
    ({"counts": [9] + (len(COUNT_NAMES) - 1) * [0]}, "counts",
     "origin_sent_count_hour is 9, the earlier lines give")])
def test_what_is_not_reproduced_is_reported(replayed, decisions, changes, name, why):
    code, out, _ = replayed("t99", changed(decisions, 99, **changes))
    assert code == 1
    assert step(out, name).startswith("NOT SAME") and why in step(out, name)


def test_counts_of_another_version_of_the_code_are_an_error(replayed, decisions):
    code, _, err = replayed("t99", changed(decisions, 99, counts=[9] * 48))
    assert code == 2
    assert "t99 was decided on 48 counts of history, and this code has 52; use the code" in err


def test_reasons_must_weigh_the_same(replayed, decisions):
    reasons = [msgspec.structs.replace(reason, logit_drop=reason.logit_drop + 0.01)
               for reason in decisions[99].reasons]
    code, out, _ = replayed("t99", changed(decisions, 99, reasons=reasons))
    assert code == 1 and step(out, "reasons").startswith("NOT SAME")


@pytest.mark.parametrize(("lines", "code", "why"), [
    (slice(0, 150), 0, "reproduced from"), (slice(32, 150), 0, "as logged"),
    (slice(60, 150), 0, "as logged"),
    (slice(99, 100), 0, "as logged")])
def test_a_log_that_does_not_reach_back_is_no_proof_against_a_decision(
        replayed, decisions, lines, code, why):
    got, out, _ = replayed("t99", decisions[lines])
    assert (got, why in step(out, "counts")) == (code, True)


def test_a_gap_in_the_log_is_no_proof_either(replayed, decisions):
    code, out, _ = replayed("t99", decisions[:97] + decisions[98:])
    assert code == 0 and "without gaps" in step(out, "counts")


def test_a_store_that_was_filled_knew_more_than_its_log(replayed, decisions):
    counts = [number + 1 for number in decisions[1].counts]
    lines = changed(changed(decisions, 1, counts=counts), 0, recording_since=NOON - 48 * HOUR)
    assert replayed("t1", lines)[0] == 0
    assert replayed("t1", changed(decisions, 1, counts=counts))[0] == 1


def test_the_line_of_the_kept_answer_is_taken(replayed, decisions):
    away = msgspec.structs.replace(decisions[99], idempotent=False, counts=None, score=0.0)
    assert replayed("t99", [away, *decisions, away])[0] == 0


def test_an_answer_without_history_is_reproduced(replayed, bundle_directory):
    [decision] = decided(bundle_directory, 1, "redis://127.0.0.1:1")
    code, out, _ = replayed("t0", [decision])
    assert code == 0 and "the store was unavailable" in step(out, "counts")


def test_where_the_store_has_no_order_counts_are_as_logged(replayed, decisions):
    code, out, _ = replayed("t99", changed(decisions, 99, store_sequence=None))
    assert code == 0 and "no order" in step(out, "counts")


def test_the_model_is_found_by_its_digest(replayed, decisions, bundle_directory, tmp_path):
    for version in ("1", "2", "3"):
        shutil.copytree(bundle_directory, tmp_path / "models" / version)
    for version in ("1", "2"):
        (tmp_path / "models" / version / "bundle.json").write_text("{}")
    assert replayed("t99", decisions, tmp_path / "models")[0] == 0
    (tmp_path / "models/3/bundle.json").write_text("{}")
    code, _, err = replayed("t99", decisions, tmp_path / "models")
    assert code == 2 and decisions[99].model_digest in err and "registry export" in err


def test_what_cannot_be_done_is_one_line(replayed, decisions):
    code, out, err = replayed("unheard", decisions)
    assert (code, out) == (2, "")
    assert err.startswith("error: unheard has no line in ") and err.count("\n") == 1
