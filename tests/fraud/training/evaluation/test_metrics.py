import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from fraud import bundle
from fraud.training.errors import TrainingError
from fraud.training.evaluation import metrics
from fraud.training.evaluation.calibration import fit_calibration
from fraud.training.evaluation.thresholds import f1_curve

SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.2, 0.1])
LABEL = np.array([1, 0, 1, 0, 0, 1], np.int8)
SEED = 7


def f1_at(scores, label, threshold) -> float:
    return f1_of(scores >= threshold, label)


def f1_of(flagged, label) -> float:
    hits = np.count_nonzero(flagged & (label == 1))
    return 2 * hits / max(1, np.count_nonzero(flagged) + np.count_nonzero(label))


# Metrics.

def test_metrics_of_a_small_case_are_those_computed_by_hand():
    found = metrics.period_metrics(SCORES, LABEL, 0.7, days=0.02, prefix="test_")
    pairs_in_order = 2 + 3 + 0          # of the 3 x 3 pairs of a payment of either class, by fraud
    assert found == pytest.approx({
        "test_precision": 2 / 3, "test_recall": 2 / 3, "test_f1": 2 / 3,
        "test_auprc": (1 / 1 + 2 / 3 + 3 / 6) / 3,
        "test_roc_auc": pairs_in_order / 9,
        "test_brier": (0.01 + 0.64 + 0.09 + 0.16 + 0.04 + 0.81) / 6,
        "test_recall_at_50_alerts_per_day": 1 / 3,        # 1 alert
        "test_recall_at_100_alerts_per_day": 1 / 3,       # 2 alerts
        "test_recall_at_200_alerts_per_day": 2 / 3,       # 4 alerts
        "test_recall_at_500_alerts_per_day": 1.0,         # 10 alerts: more than there are payments
    })
    assert all(type(value) is float for value in found.values())


def test_metrics_are_those_of_sklearn():
    rng = np.random.default_rng(SEED)
    label = (rng.random(1_000) < 0.1).astype(np.int8)
    scores = np.round(rng.beta(1 + 3 * label, 4), 2)           # with ties
    found = metrics.period_metrics(scores, label, 0.5, 1, "")
    flagged = scores >= 0.5
    expected = {
        "f1": sklearn_metrics.f1_score(label, flagged),
        "precision": sklearn_metrics.precision_score(label, flagged),
        "recall": sklearn_metrics.recall_score(label, flagged),
        "auprc": sklearn_metrics.average_precision_score(label, scores),
        "roc_auc": sklearn_metrics.roc_auc_score(label, scores),
        "brier": sklearn_metrics.brier_score_loss(label, scores)}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["f1"] == pytest.approx(f1_of(flagged, label))
    assert f1_curve(scores, label).max() == pytest.approx(
        max(f1_at(scores, label, score) for score in scores))


def test_a_score_at_the_threshold_is_called_fraud():
    assert metrics.period_metrics(SCORES, LABEL, 0.9, 1, "")["precision"] == 1.0


def test_a_threshold_that_nothing_reaches_finds_nothing_without_a_warning(recwarn):
    found = metrics.period_metrics(SCORES, LABEL, 0.95, 1, "validation_")
    assert found["validation_f1"] == found["validation_precision"] == 0.0
    assert not recwarn.list


# Calibration.

@pytest.fixture(scope="module")
def logits_and_labels():
    """Logits of which 2 * logit - 5 is the log odds of fraud."""
    rng = np.random.default_rng(SEED)
    logits = rng.normal(size=20_000).astype(np.float32)
    return logits, (rng.random(20_000) < 1 / (1 + np.exp(5 - 2 * logits))).astype(np.int8)


def test_calibration_finds_the_log_odds(logits_and_labels):
    calibration = fit_calibration(*logits_and_labels)
    assert calibration.slope == pytest.approx(2, rel=0.1)
    assert calibration.intercept == pytest.approx(-5, rel=0.1)


def test_calibrated_scores_are_as_large_as_fraud_is_frequent(logits_and_labels):
    logits, label = logits_and_labels
    scores = bundle.calibrated(logits, fit_calibration(logits, label))
    assert scores.mean() == pytest.approx(label.mean(), rel=0.01)
    for part in np.array_split(np.argsort(scores)[-8_000:], 4):
        assert scores[part].mean() == pytest.approx(label[part].mean(), rel=0.2)


@pytest.mark.parametrize(("scale", "shift"), [(1, 4), (1, -3), (3, 0), (0.5, 2)])
def test_calibration_undoes_a_shift_and_a_scale_of_the_logits(logits_and_labels, scale, shift):
    logits, label = logits_and_labels
    moved = scale * logits + np.float32(shift)
    before = bundle.calibrated(logits, fit_calibration(logits, label))
    after = bundle.calibrated(moved, fit_calibration(moved, label))
    # Not exactly: the regression has a weak prior that the slope is small.
    assert np.abs(after - before).max() < 0.01


@pytest.mark.parametrize("logits_of", [np.negative, np.zeros_like],
                         ids=["falling with fraud", "all equal"])
def test_a_model_that_learned_nothing_is_refused(logits_and_labels, logits_of):
    logits, label = logits_and_labels
    with pytest.raises(TrainingError) as caught:
        fit_calibration(logits_of(logits), label)
    assert "the model learned nothing: the slope of its calibration" in str(caught.value)
    assert str(caught.value).endswith("give more data or other features")


# The interval of F1.

def flags(incidents: int, legs: int = 2, found_of_ten: int = 7, legitimate: int = 10_000):
    """Of ten incidents `found_of_ten` are flagged wholly, and 1 of 1,000 legitimate payments."""
    which = np.arange(incidents).repeat(legs)
    label = np.append(np.ones(which.size, np.int8), np.zeros(legitimate, np.int8))
    flagged = np.append(which % 10 < found_of_ten, np.arange(legitimate) % 1_000 == 0)
    names = np.append([f"i{number}" for number in which], np.full(legitimate, None))
    return flagged, label, names.astype(object)


def width(*case) -> float:
    low, high = metrics.f1_interval(*case, SEED)
    return high - low


@pytest.mark.parametrize("found_of_ten", [2, 7, 10])
def test_the_interval_holds_the_f1_of_the_data(found_of_ten):
    flagged, label, incident = flags(50, found_of_ten=found_of_ten)
    low, high = metrics.f1_interval(flagged, label, incident, SEED)
    assert 0 <= low <= f1_of(flagged, label) <= high <= 1
    assert low < high


def test_the_interval_narrows_with_more_incidents():
    assert width(*flags(1_000)) < 0.5 * width(*flags(50))


def test_payments_of_one_incident_are_no_independent_evidence():
    """Four legs each, found or missed together, say no more than one leg each."""
    assert width(*flags(100, legs=4, legitimate=4_000)) == pytest.approx(
        width(*flags(100, legs=1, legitimate=1_000)), rel=0.1)


@pytest.fixture(scope="module", params=[0, 30])
def false_alarms(request):
    """100 frauds of which 70 are found, and so many false alarms of 10,000."""
    flagged, label, incident = flags(100, legs=1)
    flagged[100:] = np.arange(10_000) < request.param
    return flagged, label, incident


def test_the_interval_is_that_of_drawing_all_payments_anew(false_alarms):
    flagged, label, incident = false_alarms
    rng = np.random.default_rng(SEED)
    drawn = [np.append(rng.integers(0, 100, 100), rng.integers(100, 10_100, 10_000))
             for _ in range(2_000)]
    expected = np.quantile([f1_of(flagged[rows], label[rows]) for rows in drawn],
                           [0.025, 0.975])
    assert metrics.f1_interval(flagged, label, incident, SEED) == pytest.approx(
        tuple(expected), abs=0.006)


def test_the_same_seed_gives_the_same_interval():
    case = flags(50)
    assert metrics.f1_interval(*case, 1) == metrics.f1_interval(*case, 1)
    assert metrics.f1_interval(*case, 1) != metrics.f1_interval(*case, 2)


def test_a_model_that_flags_nothing_has_an_interval_of_zero():
    flagged, label, incident = flags(50)
    assert metrics.f1_interval(np.zeros_like(flagged), label, incident, SEED) == (0.0, 0.0)


# Recall by kind.

def test_recall_is_told_for_each_kind_of_fraud_and_for_those_without_one():
    kind = np.array(["mule", None, "mule", "scam", None, "mule"], object)
    flagged = np.array([True, True, False, False, True, False])
    assert metrics.recall_by(kind, flagged) == {
        "fraud": (2, 1.0), "mule": (3, pytest.approx(1 / 3)), "scam": (1, 0.0)}
