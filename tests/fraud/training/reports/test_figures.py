import io

import numpy as np
import pytest

from fraud.bundle import Thresholds
from fraud.clock import DAY_MS
from fraud.training.evaluation.decision_tables import DayCounts
from fraud.training.reports import figures

LABEL = np.array([1, 0, 1, 0, 0, 0])
SCORE = np.array([0.9, 0.8, 0.7, 0.2, 0.2, 0.1])
AMOUNT = np.array([100.0, 10.0, 50.0, 10.0, 10.0, 10.0])


def lines(axes) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_learning_curves_have_a_panel_a_model_and_a_line_a_part():
    figure = figures.learning_curves({
        "model": {"train_logloss": [0.3, 0.2, 0.1], "early_stopping_logloss": [0.3, 0.25, 0.2]},
        "fallback": {"train_logloss": [0.4], "early_stopping_logloss": [0.5]}})
    model, fallback = figure.axes
    assert (model.get_title(), fallback.get_title()) == ("model", "fallback")
    assert lines(model)["early stopping"].tolist() == [[1, 0.3], [2, 0.25], [3, 0.2]]


def test_precision_recall_names_the_area_of_each_model():
    figure = figures.precision_recall({"good": SCORE, "perfect": LABEL * 1.0}, LABEL, "Test")
    drawn = lines(figure.axes[0])
    assert set(drawn) == {"good (AUPRC 0.833)", "perfect (AUPRC 1.000)"}
    assert [0.5, 1.0] in drawn["good (AUPRC 0.833)"].tolist()


def test_precision_recall_has_a_point_for_each_fraud_among_however_many_payments():
    label = np.arange(50_000) < 100
    score = np.random.default_rng(7).random(label.size) + label * 0.5
    (axes,) = figures.precision_recall({"model": score}, label, "Test").axes
    [curve] = lines(axes).values()
    assert set(np.arange(1, 101)) <= set(np.rint(curve[:, 0] * 100).astype(int))


def test_thresholds_show_f1_and_what_reviews_and_missed_frauds_cost():
    figure = figures.thresholds(SCORE, LABEL, AMOUNT, review_cost=5.0, chosen=0.7)
    f1, cost = ({x: y for x, y in next(iter(lines(axes).values()))} for axes in figure.axes)
    assert f1[0.9] == pytest.approx(2 / 3) and f1[0.7] == pytest.approx(0.8)
    assert cost == {0.9: 55.0, 0.8: 60.0, 0.7: 15.0, 0.2: 25.0, 0.1: 30.0}
    assert all("decline from 0.700" in lines(axes) for axes in figure.axes)


def test_calibration_compares_mean_score_and_share_of_fraud():
    score = np.array([0.25] * 8 + [0.85] * 4)
    label = np.array([1, 1] + [0] * 6 + [1, 1, 1, 0])
    drawn = lines(figures.calibration(score, label, Thresholds(0.5, 0.9)).axes[0])
    np.testing.assert_allclose(drawn["on the test period"], [[0.25, 0.25], [0.85, 0.75]])
    assert drawn["review from 0.500"][0, 0] == 0.5 and drawn["decline from 0.900"][0, 0] == 0.9


def test_gain_shows_the_fraud_that_a_load_reaches():
    drawn = lines(figures.gain(SCORE, LABEL, AMOUNT, 2.0, Thresholds(0.7, 0.9)).axes[0])
    np.testing.assert_allclose(drawn["payments"][:3], [[0.5, 0.5], [1.0, 0.5], [1.5, 1.0]])
    np.testing.assert_allclose(drawn["money"][:3], [[0.5, 2 / 3], [1.0, 2 / 3], [1.5, 1.0]])
    assert {"review: 1.5 a day", "decline: 0.5 a day"} < set(drawn)


def test_days_show_their_alerts_and_the_budget():
    days = [DayCounts(0, 10, 2, 1, 3, 2), DayCounts(DAY_MS, 10, 0, 4, 3, 2)]
    axes = figures.alerts_by_day(days, 5.0).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [1, 4, 2, 0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["01-01", "01-02"]
    assert set(lines(axes)["budget of 5"][:, 1]) == {5.0}


def test_bars_show_each_value():
    lost = figures.importance({"amount": 0.5, "type": 0.1}).axes[0]
    assert [bar.get_width() for bar in lost.patches] == [0.1, 0.5]      # the largest on top
    recall = figures.recall_by_type({"drain": (8, 0.75)}).axes[0]
    assert [bar.get_width() for bar in recall.patches] == [0.75]
    assert [text.get_text() for text in recall.get_yticklabels()] == ["drain (8)"]


def test_confusion_shows_the_counts():
    texts = [text.get_text() for text in figures.confusion((1_000, 2, 3, 4)).axes[0].texts]
    assert texts == ["1,000", "2", "3", "4"]


def test_pictures_can_be_drawn():
    figure = figures.thresholds(SCORE, LABEL, AMOUNT, 5.0, 0.7)
    file = io.BytesIO()
    figure.savefig(file)
    assert file.getvalue().startswith(b"\x89PNG")
