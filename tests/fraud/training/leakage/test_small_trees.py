import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fraud.training.leakage import small_trees

ROWS = 20_000
RNG = np.random.default_rng(7)
LABEL = (RNG.random(ROWS) < 0.03).astype(np.int8)
AMOUNT = (RNG.lognormal(3, 1, ROWS) * (1 + LABEL)).astype(np.float32)
COLUMNS = {
    "amount": AMOUNT,
    "flag": (RNG.random(ROWS) < np.where(LABEL == 1, 0.5, 0.1)).astype(np.float32),
    "small": RNG.integers(0, 50, ROWS).astype(np.float32) - 20 * LABEL,
    "unknown": np.where(RNG.random(ROWS) < 0.5 + 0.4 * LABEL, np.nan, AMOUNT).astype(np.float32)}


@pytest.mark.parametrize("name", COLUMNS)
def test_the_score_of_a_column_alone_is_that_of_trees_of_its_payments(name):
    alone = small_trees.scores_alone({name: COLUMNS[name]}, LABEL, 7)[name]
    fitted = small_trees.score_of(COLUMNS[name][:, None], LABEL, 7)
    chance = LABEL.mean()
    assert alone.auprc > 1.5 * chance
    assert alone.auprc == pytest.approx(fitted.auprc, abs=0.1 * fitted.auprc)
    assert alone.f1 == pytest.approx(fitted.f1, abs=0.02)


def test_a_column_of_few_values_has_the_very_trees_of_its_payments():
    for name in ("flag", "small"):
        alone = small_trees.scores_alone({name: COLUMNS[name]}, LABEL, 7)[name]
        assert alone.auprc == pytest.approx(
            small_trees.score_of(COLUMNS[name][:, None], LABEL, 7).auprc, rel=1e-9)


def test_a_single_value_that_only_frauds_have_is_found_among_near_ones():
    column = np.round(AMOUNT, 2)
    column[LABEL == 1] = np.float32(20.005)
    assert small_trees.scores_alone({"amount": column}, LABEL, 7)["amount"].auprc > 0.95


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_column_that_says_nothing_reaches_chance(value):
    column = np.full(ROWS, value, np.float32)
    score = small_trees.scores_alone({"nothing": column}, LABEL, 7)["nothing"]
    assert score.auprc == pytest.approx(LABEL[-6_000:].mean(), rel=0.3)


def test_values_that_appear_late_are_scored():
    column = np.where(np.arange(ROWS) < ROWS // 2, np.nan, AMOUNT).astype(np.float32)
    assert 0 < small_trees.scores_alone({"late": column}, LABEL, 7)["late"].auprc < 1


def test_scores_are_measured_on_the_last_frauds():
    logits = small_trees.last_part_logits(AMOUNT[:, None], LABEL, 7)
    assert LABEL[-logits.size:].sum() == LABEL.sum() - int(0.8 * LABEL.sum())
    assert small_trees.measured(logits, LABEL).auprc == average_precision_score(
        LABEL[-logits.size:], logits)
