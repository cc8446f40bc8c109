import tomllib

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings as run_with, strategies as st
from sklearn.metrics import average_precision_score, log_loss

from fraud.bundle import Calibration, calibrated
from fraud.features import DEFAULT
from fraud.training import settings
from fraud.training.models import boosted_trees, candidate
from fraud.training.models.samples import LabelledSample
from tests.tools import ROOT

TREES = msgspec.structs.replace(settings.parse(tomllib.loads(
    (ROOT / "flows/train_flow.toml").read_text())).xgboost,
    rounds=60, learning_rate=0.3, early_stopping_rounds=5)
SEED = 7
WIDTHS = [len(DEFAULT.names), len(DEFAULT.fallback_names)]


@pytest.fixture(scope="module")
def fit(make_payments):
    """Fits trees for the first `width` features of 10,000 payments, of which 1 % are frauds."""
    train = LabelledSample(*make_payments(10_000, 0.01, seed=1))
    early = LabelledSample(*make_payments(5_000, 0.01, seed=2))

    def fit(width: int = WIDTHS[0], seed: int = SEED, trees=TREES):
        return boosted_trees.fit(train.first(width), early.first(width), trees, seed)

    return fit


@pytest.fixture(scope="module", params=WIDTHS)
def fitted(request, fit):
    """A width, and what was fitted to it."""
    return request.param, *fit(request.param)


@pytest.fixture(scope="module")
def exported(fitted, tmp_path_factory) -> bytes:
    width, booster, _ = fitted
    path = tmp_path_factory.mktemp("trees") / "model.onnx"
    boosted_trees.export(booster, width, path)
    return path.read_bytes()


def scores(logits: np.ndarray) -> np.ndarray:
    return calibrated(logits, Calibration(1.0, 0.0))


def test_the_export_scores_like_the_native_model(fitted, exported, make_payments):
    width, booster, _ = fitted
    rows = make_payments(10_000, 0.1, seed=3)[0][:, :width]
    native = scores(boosted_trees.logits(booster, rows))
    assert native.shape == (10_000,) and np.ptp(native) > 0.5
    assert np.abs(scores(candidate.onnx_logits(exported)(rows)) - native).max() <= 1e-5


@run_with(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.sampled_from([0.01, 0.3, 0.9, 1.0]), seed=st.integers(0, 99))
def test_the_export_takes_unknown_values_anywhere(fitted, exported, make_payments, share, seed):
    width, booster, _ = fitted
    rows = make_payments(300, 0.1, seed=3)[0][:, :width].copy()
    rows[np.random.default_rng(seed).random(rows.shape) < share] = np.nan
    native = scores(boosted_trees.logits(booster, rows))
    assert np.isfinite(native).all()
    assert np.abs(scores(candidate.onnx_logits(exported)(rows)) - native).max() <= 1e-5


def test_the_export_scores_extreme_payments_like_the_native_model(fitted, exported, extreme_rows):
    width, booster, _ = fitted
    rows = extreme_rows[:, :width]
    native, onnx = boosted_trees.logits(booster, rows), candidate.onnx_logits(exported)(rows)
    assert np.isfinite(onnx).all() and len(np.unique(onnx)) > 5
    assert np.abs(scores(onnx) - scores(native)).max() <= 1e-5


def test_values_at_the_borders_of_trees_go_the_same_way(fitted, exported, make_payments):
    """Payments at the very values that trees compare with, and a rounding beside them."""
    width, booster, _ = fitted
    nodes = booster.trees_to_dataframe().dropna(subset="Split")
    rows = make_payments(1, 0.0, seed=4)[0][:, :width].repeat(3 * len(nodes), axis=0)
    borders = nodes["Split"].to_numpy(np.float32)
    rows[np.arange(len(rows)), np.tile(nodes["Feature"].str[1:].astype(int), 3)] = np.concatenate(
        [np.nextafter(borders, -np.inf), borders, np.nextafter(borders, np.inf)])
    native = boosted_trees.logits(booster, rows)
    assert np.abs(candidate.onnx_logits(exported)(rows) - native).max() <= 1e-5


def test_trees_find_frauds(fitted, make_payments):
    width, booster, _ = fitted
    rows, label = make_payments(10_000, 0.01, seed=3)
    assert average_precision_score(label, boosted_trees.logits(booster, rows[:, :width])) > 0.7


def test_the_best_round_is_the_last_and_logits_are_log_odds(fitted, make_payments):
    width, booster, curves = fitted
    rows, label = make_payments(5_000, 0.01, seed=2)
    assert list(curves) == ["train_logloss", "early_stopping_logloss"]
    best = int(np.argmin(curves["early_stopping_logloss"]))
    assert booster.num_boosted_rounds() == best + 1 < len(curves["early_stopping_logloss"])
    assert log_loss(label, scores(boosted_trees.logits(booster, rows[:, :width]))) == (
        pytest.approx(min(curves["early_stopping_logloss"]), rel=1e-3))


def test_a_legitimate_payment_of_weight_two_counts_like_two(make_payments):
    train, early = (LabelledSample(*make_payments(count, 0.05, seed))
                    for count, seed in ((4_000, 1), (2_000, 2)))
    trees = msgspec.structs.replace(TREES, subsample=1.0, colsample_bytree=1.0, max_bin=4_096)
    twice = np.flatnonzero(train.label == 0)
    doubled = LabelledSample(np.concatenate([train.features, train.features[twice]]),
                             np.concatenate([train.label, train.label[twice]]))
    weighted, repeated = (
        boosted_trees.logits(boosted_trees.fit(sample, early, trees, SEED)[0], early.features)
        for sample in (train._replace(weight=2.0 - train.label), doubled))
    unweighted = boosted_trees.logits(
        boosted_trees.fit(train, early, trees, SEED)[0], early.features)
    assert np.abs(weighted - repeated).mean() < 0.1 * np.abs(weighted - unweighted).mean()


def test_the_same_data_and_seed_give_the_same_trees(fit, make_payments):
    rows = make_payments(1_000, 0.1, seed=3)[0]
    trees = msgspec.structs.replace(TREES, rounds=10)
    once, again, other = (boosted_trees.logits(fit(seed=seed, trees=trees)[0], rows)
                          for seed in (1, 1, 2))
    assert (once == again).all() and (once != other).any()


def test_what_is_saved_is_loaded(fitted, make_payments, tmp_path):
    width, booster, _ = fitted
    rows = make_payments(1_000, 0.1, seed=3)[0][:, :width]
    path = tmp_path / f"model{boosted_trees.SUFFIX}"
    boosted_trees.save(booster, path)
    assert (boosted_trees.logits(boosted_trees.load(path), rows)
            == boosted_trees.logits(booster, rows)).all()
