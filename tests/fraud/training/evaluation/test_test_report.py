import json
from dataclasses import asdict

import numpy as np
import pytest

from fraud import bundle
from fraud.bundle import Thresholds
from fraud.features import DEFAULT
from fraud.training.evaluation import importance, test_report
from fraud.training.evaluation.importance import permutation_importance
from fraud.training.features import stored_features
from fraud.training.features.splits import Rows
from tests.factories import stored

DAY = 86_400_000


@pytest.fixture
def rows() -> Rows:
    """Ten payments in two days: frauds at 0 and 1 (one incident), 5 and 9; amounts of 100."""
    label = np.array([1, 1, 0, 0, 0, 1, 0, 0, 0, 1], np.int8)
    incident = np.array(["a", "a", *[None] * 3, "b", *[None] * 3, "c"], object)
    kind = np.where(label == 1, np.where(incident == "a", "takeover", "drain"), None)
    time = np.linspace(0, 2 * DAY, 10).astype(np.int64)
    matrix = np.zeros((10, len(DEFAULT.names)), np.float32)
    return Rows(stored(matrix), label, time, np.full(10, 100.0), label, incident, kind,
                days=2.0)


SCORES = np.array([0.2, 0.9, 0.8, 0.1, 0.0, 0.95, 0.3, 0.0, 0.0, 0.4])
THRESHOLDS = Thresholds(review=0.25, decline=0.5)


def test_a_judgement_is_what_one_counts_by_hand(rows):
    judged = test_report.report("xgboost", SCORES, rows, THRESHOLDS, seed=7)
    assert judged.confusion == (5, 1, 2, 2)
    assert judged.metrics["test_precision"] == pytest.approx(2 / 3)
    assert judged.metrics["test_recall"] == pytest.approx(2 / 4)
    assert judged.metrics["test_f1"] == pytest.approx(4 / 7)
    low, high = judged.f1_interval
    assert 0 <= low <= judged.metrics["test_f1"] <= high <= 1
    assert judged.recall_by_type == {"drain": (2, 0.5), "takeover": (2, 0.5)}
    assert judged.declined_per_day == pytest.approx(3 / 2)
    assert judged.reviewed_per_day == pytest.approx(2 / 2)
    assert judged.outcomes.incidents == 3 and judged.outcomes.stopped == 2
    assert (judged.outcomes.money_stopped, judged.outcomes.money_missed) == (200.0, 200.0)
    assert judged.outcomes_with_reviews.money_missed == 100.0      # 9 is reviewed, 0 is not


def test_a_floor_on_amounts_changes_decisions_but_not_the_metrics_of_the_score(rows):
    floor = Thresholds(review=0.25, decline=0.5, decline_from=101.0)
    report = test_report.report("xgboost", SCORES, rows, floor, seed=7)
    assert (report.declined_per_day, report.reviewed_per_day) == (0.0, 5 / 2)
    assert report.confusion == (6, 0, 4, 0) and report.outcomes.stopped == 0
    assert report.metrics["test_f1"] == pytest.approx(4 / 7)
    assert report.outcomes_with_reviews.stopped == 3


def test_all_its_numbers_are_finite_also_where_nothing_was_stopped(rows):
    judged = test_report.report("xgboost", np.zeros(10), rows, THRESHOLDS, seed=7)
    numbers = judged.all_metrics
    assert all(np.isfinite(value) for value in numbers.values())
    assert "test_median_minutes_to_detection" not in numbers
    assert numbers["test_money_missed"] == numbers["test_money_missed_with_reviews"] == 400.0
    assert numbers["test_recall_drain"] == 0.0
    assert all(name.startswith("test_") for name in numbers)
    json.dumps(asdict(judged))


@pytest.fixture
def first_feature(tmp_path, make_bundle) -> bundle.Bundle:
    """A bundle whose logit is the first feature, the amount."""
    make_bundle(tmp_path / "bundle")
    return test_report.load_bundle(tmp_path / "bundle")


def many_rows(count: int) -> Rows:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(count, len(DEFAULT.names))).astype(np.float32)
    label = (matrix[:, 0] > 1.5).astype(np.int8)
    time = np.arange(count, dtype=np.int64)
    return Rows(stored(matrix), label, time, np.ones(count), label, label.astype(object), label,
                days=1.0)


def test_scores_are_those_of_the_bundle_however_many_rows(first_feature, monkeypatch):
    monkeypatch.setattr(stored_features, "PART_ROWS", 300)
    rows = many_rows(1_000)
    logits = rows.features.matrix()[:, 0].astype(float)
    np.testing.assert_allclose(test_report.score_all(first_feature.model, rows),
                               1 / (1 + np.exp(-logits)), rtol=1e-6)


def test_only_the_group_that_a_model_looks_at_is_important(first_feature):
    lost = permutation_importance(first_feature, many_rows(2_000), seed=7)
    assert set(lost) == set(DEFAULT.groups.values())
    assert next(iter(lost)) == "amount"
    assert lost["amount"] > 0.5
    assert all(value == 0 for group, value in lost.items() if group != "amount")


def test_importance_is_the_same_again_and_on_a_sample_of_legitimate_payments(
        first_feature, monkeypatch):
    rows = many_rows(2_000)
    assert permutation_importance(first_feature, rows, 7) == permutation_importance(
        first_feature, rows, 7)
    monkeypatch.setattr(importance, "IMPORTANCE_ROWS", 100)
    assert next(iter(permutation_importance(first_feature, rows, seed=7))) == "amount"
