import json
import re

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace

from fraud.bundle import Thresholds
from fraud.decision import SCORED_BY_MODEL
from fraud.shadow import ShadowDecision
from fraud.training import settings as training_settings
from fraud.training.registry import evidence
from monitoring import shadow
from tests.monitoring.conftest import DAY, START, write_log
from tests.tools import run_main

SETTINGS = training_settings.load(training_settings.FILE)
LEVELS = Thresholds(review=0.5, decline=0.9)


def shadowed(decisions, scores, policy="q" * 64):
    """The decisions with those of a challenger of these scores."""
    return [replace(decision, shadow=ShadowDecision(
        "4", "4" * 64, policy, LEVELS, float(score),
        LEVELS.decide(score, decision.amount_cents)))
        for decision, score in zip(decisions, scores, strict=True)]


@pytest.fixture(scope="module")
def week(month):
    """A week of decisions with history, and labels: frauds are a half of the declines, and
    some payments that nobody declined."""
    decisions = [decision for decision in month.days(7, 14) if decision.history in SCORED_BY_MODEL]
    chance = np.random.default_rng(5).random(len(decisions))
    fraud = [chance < 0.5 if decision.decision == "decline" else chance < 0.02
             for decision, chance in zip(decisions, chance, strict=True)]
    labels = pd.DataFrame({
        "transaction_id": [decision.transaction_id for decision in decisions],
        "is_fraud": np.array(fraud, int), "label_time": START + 20 * DAY})
    return decisions, labels


@pytest.fixture
def made(week, tmp_path):
    """Makes the report of a challenger of some scores: `made(scores, *arguments)`."""
    decisions, labels = week
    labels.to_csv(tmp_path / "labels.csv", index=False)

    def make(scores, *arguments, lines=()):
        log = write_log([*shadowed(decisions, scores), *lines], tmp_path / "log.jsonl")
        shadow.main(["--decisions", str(log), "--out", str(tmp_path / "out"), *(
            arguments or ("--labels", str(tmp_path / "labels.csv")))])
        return tmp_path / "out"

    return make


def scores_of(decisions) -> np.ndarray:
    return np.array([decision.score for decision in decisions])


def better(week) -> np.ndarray:
    """Scores of a challenger that knows most frauds."""
    decisions, labels = week
    fraud = labels["is_fraud"].to_numpy() == 1
    knows = np.random.default_rng(6).random(fraud.size) < 0.9
    return np.where(fraud & knows, 0.95, np.where(fraud, 0.4, 0.01 * scores_of(decisions)))


def test_an_equal_challenger_decides_alike(week, made, capsys):
    decisions, labels = week
    directory = made(scores_of(decisions))
    report = json.loads((directory / "report.json").read_text())
    assert report["payments"] == len(decisions)
    assert [day["stricter"] + day["laxer"] for day in report["by_day"]] == [0] * 7
    assert report["largest"] == []
    assert "0.000% differ" in capsys.readouterr().out
    measured = evidence.load_evidence(directory / "report.json")
    assert measured.differences[:2] == (0.0, 0.0)
    assert measured.frauds == labels["is_fraud"].sum()


def test_a_better_challenger_passes_and_a_worse_one_does_not(week, made, capsys):
    decisions, labels = week
    assert labels["is_fraud"].sum() > SETTINGS.gate.incidents
    good = evidence.load_evidence(made(better(week)) / "report.json")
    assert good.differences.f1 > 0.3 and evidence.decide(good, SETTINGS).promote
    assert "Gate       passed: not worse than champion 3" in capsys.readouterr().out
    worse = np.where(scores_of(decisions) > 0.9, 0.1, 0.95 * (labels["is_fraud"] == 0))
    bad = evidence.decide(evidence.load_evidence(made(worse) / "report.json"), SETTINGS)
    assert not bad.promote and "live F1 0.0000 is below its floor" in bad.reason


def test_money_and_counts_are_those_of_the_log(week, made):
    decisions, labels = week
    fraud = dict(zip(labels["transaction_id"], labels["is_fraud"], strict=True))
    scores = better(week)
    report = json.loads((made(scores) / "report.json").read_text())
    gained = [decision for decision, score in zip(decisions, scores, strict=True)
              if score >= 0.9 and decision.decision != "decline" and fraud[decision.transaction_id]]
    [side] = [side for side in report["one_sided"]
              if (side["stops"], side["version"]) == ("decline", "challenger")]
    assert side["frauds"] == len(gained) > 50
    assert side["fraud_money"] == pytest.approx(
        sum(decision.amount_cents for decision in gained) / 100)
    counts = report["decisions"]
    assert sum(map(sum, (row.values() for row in counts.values()))) == len(decisions)
    for groups in (report["by_type"], report["by_amount"], report["by_day"]):
        assert sum(group["payments"] for group in groups) == len(decisions)
        assert sum(group["stricter"] for group in groups) == (
            counts["approve"]["review"] + counts["approve"]["decline"]
            + counts["review"]["decline"])
    largest = report["largest"]
    assert len(largest) == 20
    apart = [abs(one["score"] - one["challenger_score"]) for one in largest]
    assert apart == sorted(apart, reverse=True)


def test_the_page_shows_the_report_and_no_script(week, made):
    page = (made(better(week)) / "report.html").read_text()
    for words in ("Challenger in shadow", "Different decisions by day", "Agreement by type",
                  "Agreement by amount", "Largest disagreements", "CASH_OUT", "<svg",
                  "Declined by the challenger alone"):
        assert words in page
    assert "<script" not in page and not re.search(r"https?://(?!www.w3.org)", page)


def test_lines_that_are_no_comparison_are_left_out_and_counted(week, made, capsys):
    decisions, _ = week
    same = scores_of(decisions)
    first = shadowed(decisions[:1], same[:1])[0]
    made(same, lines=[
        first, replace(first, transaction_id="x", shadow=None),
        replace(first, transaction_id="y", history="short"),
        *shadowed([replace(decisions[0], transaction_id="z")], [0.5], "r" * 64)])
    out = capsys.readouterr().out
    for reason in ("repeated lines", "without a shadow score", "decided by the fallback",
                   "of another pair of versions or policies"):
        assert f" 1 lines left out: {reason}" in out


def test_without_labels_the_gate_is_not_passed(week, made, capsys):
    decisions, _ = week
    made(scores_of(decisions), "--as-of", "2026-01-01")
    assert "Gate       not passed: insufficient evidence: 0 incidents" in capsys.readouterr().out


def test_decisions_of_lists_and_rules_are_not_those_of_the_model(week, made):
    decisions, _ = week
    ruled = [replace(decision, decision="decline", model_decision=decision.decision,
                     decided_by="rule") for decision in decisions]
    log = made(scores_of(decisions)).parent / "ruled.jsonl"
    write_log(shadowed(ruled, scores_of(decisions)), log)
    shadow.main(["--decisions", str(log), "--out", str(log.parent / "ruled")])
    report = json.loads((log.parent / "ruled/report.json").read_text())
    assert sum(day["laxer"] for day in report["by_day"]) == 0


def test_a_log_without_a_challenger_is_an_error_with_a_fix(week, tmp_path, capsys):
    decisions, _ = week
    log = write_log(decisions[:10], tmp_path / "log.jsonl")
    result = run_main(capsys, shadow.main, "--decisions", log, "--out", tmp_path)
    assert result.code == 2
    assert result.err == (
        f"error: {log}: holds no payment that a challenger scored with history; challenge a "
        "version with python -m fraud.training.registry challenge, or name the logs of its days\n")


def test_payments_before_a_moment_are_left_out(week, made):
    decisions, _ = week
    since = START + 10 * DAY
    made(scores_of(decisions), "--since", "2024-01-11")
    report = json.loads((made(scores_of(decisions), "--since", "2024-01-11")
                         / "report.json").read_text())
    assert report["payments"] == sum(decision.event_time >= since for decision in decisions)
