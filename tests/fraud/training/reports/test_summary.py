from dataclasses import replace

import pytest

from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.incidents import IncidentOutcomes
from fraud.training.evaluation.test_report import TestReport
from fraud.training.leakage.checks import Leakage, Score
from fraud.training.promotion.registration import Registered
from fraud.training.reports import summary
from tests.factories import prepared

SCORE = Score(auprc=0.412, f1=0.523)
LEAKAGE = Leakage([], 1_000, 900, {"empties_account": SCORE, "amount": Score(0.1, 0.2)},
                  Score(0.8, 0.75), None, 0.02, (0.0, 0.1), 20, 0.02, {})


@pytest.fixture
def screen(make_candidate, monkeypatch):
    monkeypatch.delenv("FRAUD_MODEL", raising=False)
    metrics = {"test_f1": 0.8, "test_auprc": 0.75, "test_precision": 0.9, "test_recall": 0.7}
    reports = {name: TestReport(name, metrics, (0.7, 0.85), {},
                                *2 * [IncidentOutcomes(8, 6, 300.0, 100.0, 2.0)],
                                (1, 0, 0, 1), 12.5, 20.0, 41)
               for name in ("xgboost", "tensorflow", "champion 4")}
    candidates = {name: make_candidate(name) for name in ("xgboost", "tensorflow")}

    def screen(promoted: bool) -> list[str]:
        return summary.of_run(prepared(), candidates, "xgboost", 0.874, LEAKAGE, reports,
                              PromotionDecision(promoted, 10 * "the reason "),
                              Registered("5", "r", promoted), 150).splitlines()

    return screen


def test_it_names_data_results_decision_and_next_commands(screen):
    text = "\n".join(screen(promoted=True))
    for part in ("1,000 payments from payments.csv", "20 frauds in 8 incidents, 3 rows in",
                 "quarantine, 1 of them fraud",
                 "empties_account alone: F1 0.523, AUPRC 0.412",
                 "xgboost, for the higher F1 in validation, and in 87% of bootstrap",
                 "0.800 (95 % 0.700 to 0.850)", "6 of 8 incidents",
                 "miss 25% of the money, with reviews 25%",
                 "12.5 declines and 20.0 reviews a day: 32 alerts of a budget of 150,",
                 "41 on the busiest day", "version 5 is promoted", "published in models",
                 "the reason", "make serve", "fraud.training.registry show 5"):
        assert part in text


def test_a_version_that_is_not_promoted_is_not_called_published(screen):
    text = "\n".join(screen(promoted=False))
    assert "version 5 is registered, but not promoted" in text
    assert "published" not in text


def test_columns_stand_below_their_headings(screen):
    lines = screen(promoted=True)
    (top,) = [number for number, line in enumerate(lines) if "validation F1" in line]
    ends = [lines[top].index(heading) + len(heading)
            for heading in ("validation F1", "test F1", "AUPRC", "precision", "recall")]
    for line in lines[top + 1:top + 3]:
        assert [line[end - 5:end] for end in ends] == ["0.500", "0.800", "0.750", "0.900", "0.700"]
    assert "champion 4" in lines[top + 3]


def test_every_line_fits_a_terminal(screen, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert max(map(len, screen(promoted=True))) <= summary.WIDTH


@pytest.mark.parametrize(("alone", "is_said"), [(0.75, True), (0.74, True), (0.72, False)])
def test_a_feature_that_does_as_well_as_all_of_them_is_named(alone, is_said):
    result = replace(LEAKAGE, alone={"empties_account": Score(0.9, alone)})
    lines = summary._baseline(result)
    assert ("one rule on empties_account does as well" in " ".join(lines)) == is_said
    assert max(map(len, lines)) <= summary.WIDTH


def test_a_sample_says_that_it_cuts_histories():
    whole, sample = (summary.of_data(prepared(sampled_rows=rows), []) for rows in (1_000, 100))
    assert "cuts the history" in sample and "cuts the history" not in whole
