import msgspec
import numpy as np
import pytest
from hypothesis import given, strategies

from fraud.bundle import Policy, Thresholds
from fraud.clock import DAY_MS, HOUR_MS
from fraud.training.errors import TrainingError
from fraud.training.registry import Registry, publication
from fraud.training.registry.policy_backtest import (
    LoggedScores, PolicyChange, changed_policy, outcome, read_scores, report)
from tests.fraud.training.registry.test_backtest import NOW, decision
from tests.fraud.training.registry.test_registry import ran

NOW_POLICY = Policy("7.1", Thresholds(0.5, 0.9), Thresholds(0.5, 0.9), 20.0)
LOG = [decision("a", 100.0, score=0.95), decision("b", 200.0, score=0.6),
       decision("c", 300.0, score=0.6, day=1), decision("d", 400.0, score=0.1, day=2),
       decision("e", 500.0, score=0.4, day=2), decision("f", 1.0, score=0.99, history="short"),
       decision("g", 1.0, score=0.99, model_digest="other"), decision("a", 100.0, score=0.95)]
LABELS = "transaction_id,is_fraud,label_time,incident_id\na,1,5,x\nb,0,5,\nc,1,5,x\ne,1,5,\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files `log` and `labels.csv` in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in LOG))
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path


@pytest.fixture
def scores(files) -> LoggedScores:
    return read_scores(["log"], files / "labels.csv", "")


def test_decisions_of_the_model_count_once_and_others_are_left_out(scores):
    assert scores.score.tolist() == [0.95, 0.6, 0.6, 0.1, 0.4]
    assert scores.label.tolist() == [1, 0, 1, -1, 1]
    assert scores.incident.tolist() == ["x", "b", "x", "d", "e"]
    assert scores.left_out == {"by the fallback": 1, "by another version": 1}
    assert (scores.days, scores.day.tolist()) == (2, [0, 0, 0, 1, 1])


def test_money_is_counted_by_incident(scores):
    now = outcome(NOW_POLICY.model, scores)
    assert (now.reviews_per_day, now.declines_per_day, now.busiest_day) == (1.0, 0.5, 3)
    assert (now.precision, now.recall) == (2 / 3, 2 / 3)
    assert (now.money_stopped, now.money_missed) == (100.0, 500.0)      # c does not happen
    assert now.legitimate_declined == 0


def test_a_policy_without_alerts_has_no_precision(scores):
    none = outcome(Thresholds(1.0, 1.0), scores)
    assert np.isnan(none.precision) and (none.recall, none.busiest_day) == (0.0, 0)


def test_the_report_shows_both_policies_and_the_decisions_that_change(scores):
    then = changed_policy(NOW_POLICY, PolicyChange(review=0.3, decline=0.6), "tried", scores)
    lines = report(NOW_POLICY, then, scores).splitlines()
    rows = {line[:28].strip(): line[28:].split() for line in lines}
    assert lines[0] == "5 payments with history in 2 days, 4 of them labelled, 3 fraud"
    assert lines[1] == "left out: 1 decided by another version, 1 decided by the fallback" or \
        lines[1] == "left out: 1 decided by the fallback, 1 decided by another version"
    assert rows["reviews a day"] == ["1.0", "0.5"] and rows["declines a day"] == ["0.5", "1.5"]
    assert rows["frauds caught"] == ["0.667", "1.000"]
    assert rows["money missed"] == ["500.00", "0.00"]
    assert rows["legitimate declined"] == ["0", "1"]
    assert rows["approve to review"] == ["1", "0", "0"]
    assert rows["review to decline"] == ["1", "1", "0"]


def test_without_labels_the_report_is_about_the_load(files):
    scores = read_scores(["log"], None, "")
    text = report(NOW_POLICY, NOW_POLICY, scores)
    assert "0 of them labelled" in text and "money" not in text
    assert text.endswith("no decision changes")


def test_a_log_of_other_models_is_named(files):
    with pytest.raises(TrainingError, match=r"log: no decision of this version .*\(8 by another"):
        read_scores(["log"], None, "f" * 64)
    with pytest.raises(TrainingError, match="--decisions: no decision .*no decisions"):
        read_scores([], None, "")


@given(strategies.lists(strategies.tuples(strategies.floats(0, 1), strategies.floats(0, 1e6),
                                          strategies.integers(0, 239)), min_size=1),
       strategies.integers(1, 50), strategies.sampled_from(["score", "loss"]))
def test_an_alert_budget_is_held_on_the_payments_that_it_was_found_on(rows, budget, review_by):
    score, amount, hour = map(np.array, zip(*sorted(rows, key=lambda row: row[2]), strict=True))
    count = len(rows)
    scores = LoggedScores(score, amount, NOW + hour * HOUR_MS, np.full(count, -1),
                          np.arange(count), {})
    found = changed_policy(NOW_POLICY, PolicyChange(
        decline=1.0, decline_from=1e9, review_by=review_by, alerts_per_day=float(budget)), "2",
        scores)
    load = outcome(found.model, scores)
    assert load.reviews_per_day + load.declines_per_day <= budget
    assert load.busiest_day <= 1.5 * budget
    assert (found.alerts_per_day, found.model.review_by) == (budget, review_by)


@pytest.mark.parametrize(("change", "message"), [
    (PolicyChange(review=0.95), "these thresholds cannot be used: review must be from 0 to 0.9"),
    (PolicyChange(decline=2.0), "decline must be from 0 to 1"),
    (PolicyChange(alerts_per_day=9.0), "--alerts-per-day needs --decisions")])
def test_thresholds_that_cannot_be_are_named(change, message):
    with pytest.raises(TrainingError, match=message):
        changed_policy(NOW_POLICY, change, "2", None)


# The command.

@pytest.fixture
def champion(place, register):
    """A champion, and the log `decisions` of ten days, ten payments each."""
    Registry().promote(register(), "first")
    digest = publication.published("models").sha256
    lines = [decision(f"{day}-{number}", 10.0 * number, model_digest=digest, score=number / 10,
                      event_time=NOW + day * DAY_MS + number * DAY_MS // 10)
             for day in range(10) for number in range(10)]
    (place / "decisions").write_bytes(
        b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return place


def test_a_dry_run_changes_nothing_and_publishing_the_same_options_does(champion, capsys):
    before = publication.published("models")
    options = ["policy", "--alerts-per-day", "3.5", "--decisions", "decisions"]
    shown = ran(capsys, *options, "--dry-run")
    assert "reviews a day" in shown and publication.published("models") == before
    ran(capsys, *options, "--reason", "three analysts")
    Registry().export("1", champion / "out")
    written = msgspec.json.decode((champion / "out/policy.json").read_bytes(), type=Policy)
    assert (written.version, written.alerts_per_day) == ("1.2", 3.5)
    assert written.model.review == pytest.approx(0.65)      # of ten a day, the three highest
    assert publication.published("models") != before
    ran(capsys, "policy", "--review", "0.1", "--decline", "0.2", "--reason", "a wave")
    tags = Registry().champion().tags
    assert (tags["policy_version"], tags["policy_versions"]) == ("1.3", "1.1 1.2")


def test_a_file_is_tried_too(champion, capsys, policy):
    shown = ran(capsys, "policy", "--policy", str(policy("1.9", 0.85)), "--dry-run",
                "--decisions", "decisions")
    assert [line.split()[-2:] for line in shown.splitlines() if line.startswith("policy")] == [
        ["1.1", "1.9"]]


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "give --policy FILE, or thresholds"),
    (["--policy", "p.json", "--review", "1"], "give --policy FILE, or thresholds"),
    (["--review", "0.1"], "--reason is missing"),
    (["--review", "0.1", "--dry-run"], "--decisions: no decision of this version")])
def test_incomplete_options_are_named(champion, capsys, arguments, message):
    before = publication.published("models")
    with pytest.raises(SystemExit) as caught:
        ran(capsys, "policy", *arguments)
    assert caught.value.code == 2 and message in capsys.readouterr().err
    assert publication.published("models") == before
