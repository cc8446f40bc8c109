from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs

from fraud.bundle import Thresholds
from fraud.training.evaluation.gate import PromotionDecision
from fraud.training.evaluation.test_report import load_bundle, report
from fraud.training.features.splits import Rows
from fraud.training.leakage.checks import Leakage, Score
from fraud.training.promotion.final_test import Contestant, FinalTest
from fraud.training.registry.lineage import Lineage
from fraud.training.reports.model_card import model_card
from tests.factories import prepared, stored

HOUR = 3_600_000
START = 1_704_067_200_000       # 2024-01-01T00:00:00Z
ROWS = 400


@pytest.fixture
def card(make_candidate, make_bundle, tmp_path) -> str:
    """The card of a model that declines the TRANSFERs among frauds of two kinds."""
    number = np.arange(ROWS)
    fraud = number % 10 == 0
    rows = Rows(
        features=stored(np.zeros((ROWS, 1), np.float32), ["amount"]),
        label=fraud.astype(np.int8), event_time=START + number * HOUR,
        amount=np.where(fraud, 5_000.0, 50.0),
        type=np.where(number % 20 == 0, "TRANSFER", "PAYMENT"),
        incident=np.where(fraud, number.astype(str), None),
        fraud_type=np.where(fraud, np.where(number % 20 == 0, "mule", "scam"), None), days=17.0)
    score = np.where(number % 20 == 0, 0.95, np.where(fraud, 0.6, 0.0005))
    thresholds = Thresholds(0.5, 0.9)
    make_bundle(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")
    bundle = replace(bundle, policy=structs.replace(bundle.policy, model=thresholds))
    selected = Contestant(bundle, score, report("xgboost", score, rows, thresholds, 7))
    decision = PromotionDecision(True, "there is no champion yet")
    test = FinalTest([selected], selected.report, decision, 3, rows, {})
    data = prepared(first_time=START, last_time=START + 1_000 * HOUR)
    leakage = Leakage([], 500, 400, {"amount": Score(0.3, 0.4)}, Score(0.8, 0.7), None, 0.01,
                      (0.005, 0.02), 50, 0.1, {})
    return model_card(data, Lineage("d" * 64, "c" * 40, "TrainFlow/7",
                                    tuned_until=START + 600 * HOUR), make_candidate(),
                      test, leakage)


def test_it_says_what_was_learned_from_and_until_when(card):
    assert card.startswith("# Model card: xgboost\n\nThere is no champion yet.\n")
    for part in ("1,000 payments of `payments.csv`", "d" * 64, "20 frauds in 8 incidents",
                 "tuned on those before 2024-01-26 00:00 UTC", "c" * 40, "TrainFlow/7"):
        assert part in card


def test_it_says_where_the_model_is_good_and_where_it_is_bad(card):
    assert "| mule | 20 | 1.000 |" in card and "| scam | 20 | 0.000 |" in card
    assert "| PAYMENT | 380 | 20 | 20 | 0 | 0.000 |  |" in card     # none declined: no precision
    assert "| TRANSFER | 20 | 20 | 0 | 20 | 1.000 | 1.000 |" in card
    assert "| 1,000 to 10,000 | 40 | 40 | 20 | 20 | 0.500 | 1.000 |" in card
    assert "| 00 to 06 h UTC |" in card
    assert "| 0.9 to 1 | 20 | 0.9500 | 1.0000 |" in card
    assert "| 0.667 |" in card and "20 of 40" in card and "| 50% |" in card


def test_it_says_what_was_audited_how_often_the_window_was_used_and_the_limits(card):
    assert "This test period was used 3 times" in card
    assert "Features of 400 payments are the same, bit for bit" in card
    assert "AUPRC of 0.0100; chance gives 0.0050 to 0.0200" in card
    assert "## Limits" in card
