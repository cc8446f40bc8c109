import tomllib

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings as run_with, strategies as st
from sklearn.metrics import average_precision_score

from fraud.bundle import Calibration, calibrated
from fraud.features import DEFAULT
from fraud.training import settings
from fraud.training.models import candidate, neural_network
from fraud.training.models.samples import LabelledSample
from tests.tools import ROOT

NETWORK = msgspec.structs.replace(settings.parse(tomllib.loads(
    (ROOT / "flows/train_flow.toml").read_text())).tensorflow,
    units=[32, 16], learning_rate=0.01, batch_size=512, steps_per_epoch=50, epochs=5)
SHORT = msgspec.structs.replace(NETWORK, steps_per_epoch=5, epochs=2)
SEED = 7
WIDTHS = [len(DEFAULT.names), len(DEFAULT.fallback_names)]


@pytest.fixture(scope="module")
def fit(make_payments):
    """Fits a network for the first `width` features of 20,000 payments; 0.2 % are frauds."""
    train = LabelledSample(*make_payments(20_000, 0.002, seed=1))
    early = LabelledSample(*make_payments(10_000, 0.002, seed=2))

    def fit(width: int = WIDTHS[0], seed: int = SEED, network=NETWORK):
        return neural_network.fit(train.first(width), early.first(width), network, seed)

    return fit


@pytest.fixture(scope="module", params=WIDTHS)
def fitted(request, fit):
    """A width, and what was fitted to it."""
    return request.param, *fit(request.param)


@pytest.fixture(scope="module")
def exported(fitted, tmp_path_factory) -> bytes:
    width, model, _ = fitted
    path = tmp_path_factory.mktemp("network") / "model.onnx"
    neural_network.export(model, width, path)
    return path.read_bytes()


def scores(logits: np.ndarray) -> np.ndarray:
    return calibrated(logits, Calibration(1.0, 0.0))


def test_the_export_scores_like_the_native_model(fitted, exported, make_payments):
    width, model, _ = fitted
    rows = make_payments(10_000, 0.1, seed=3)[0][:, :width]
    native = scores(neural_network.logits(model, rows))
    assert native.shape == (10_000,) and np.ptp(native) > 0.5
    assert np.abs(scores(candidate.onnx_logits(exported)(rows)) - native).max() <= 1e-5


@run_with(max_examples=30, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.sampled_from([0.01, 0.3, 0.9, 1.0]), seed=st.integers(0, 99))
def test_the_export_takes_unknown_values_anywhere(fitted, exported, make_payments, share, seed):
    width, model, _ = fitted
    rows = make_payments(300, 0.1, seed=3)[0][:, :width].copy()
    rows[np.random.default_rng(seed).random(rows.shape) < share] = np.nan
    native = scores(neural_network.logits(model, rows))
    assert np.isfinite(native).all()
    assert np.abs(scores(candidate.onnx_logits(exported)(rows)) - native).max() <= 1e-5


def test_the_export_scores_extreme_payments_like_the_native_model(fitted, exported, extreme_rows):
    width, model, _ = fitted
    rows = extreme_rows[:, :width]
    native, exact = neural_network.logits(model, rows), candidate.onnx_logits(exported)(rows)
    assert np.isfinite(exact).all() and len(np.unique(exact)) > 50
    assert np.abs(scores(exact) - scores(native)).max() <= 1e-5
    assert np.abs(exact - native).max() <= 1e-5 * np.abs(native).max()


def test_the_graph_takes_currency_units_and_holds_logarithms_and_scaling(fitted, exported):
    width, _, _ = fitted
    graph = onnx.load_from_string(exported).graph
    [features_in], [logit] = graph.input, graph.output
    shape = [part.dim_value for part in features_in.type.tensor_type.shape.dim]
    assert shape == [0, width]                           # any number of rows
    assert [part.dim_value for part in logit.type.tensor_type.shape.dim][1] == 1
    operations = [node.op_type for node in graph.node]
    assert {"Abs", "Log", "Sign"} <= set(operations[:operations.index("MatMul")])
    assert {"Mul", "Add"} <= set(operations[:operations.index("MatMul")])


def test_amounts_count_by_their_magnitude_so_that_no_logit_explodes(fitted, exported,
                                                                    extreme_rows):
    width, _, _ = fitted
    assert np.abs(candidate.onnx_logits(exported)(extreme_rows[:, :width])).max() < 10_000


def test_the_network_learns_from_two_frauds_in_a_thousand(fitted, make_payments):
    width, model, _ = fitted
    rows, label = make_payments(20_000, 0.002, seed=3)
    found = average_precision_score(label, neural_network.logits(model, rows[:, :width]))
    assert found > 0.5                                   # a guess would have 0.002


def test_the_weights_of_the_best_epoch_are_kept(fit, make_payments):
    """Best by the log loss of early stopping, as if it held the batches' share of frauds."""
    model, curves = fit(network=msgspec.structs.replace(
        NETWORK, learning_rate=0.1, steps_per_epoch=10, epochs=40, patience=2))
    assert list(curves) == ["train_logloss", "early_stopping_logloss"]
    losses = curves["early_stopping_logloss"]
    assert min(losses) < losses[-1] and len(curves["train_logloss"]) == len(losses)
    rows, label = make_payments(10_000, 0.002, seed=2)
    logits = neural_network.logits(model, rows).astype(np.float64)
    of_fraud, of_legitimate = (np.logaddexp(0, sign * logits[label == kind]).mean()
                               for sign, kind in ((-1, 1), (1, 0)))
    share = NETWORK.fraud_share
    loss = share * of_fraud + (1 - share) * of_legitimate
    assert loss == pytest.approx(min(losses), rel=1e-3)


def test_the_average_of_the_weights_does_not_follow_the_last_steps(
        fit, make_payments, monkeypatch):
    """With too high a learning rate, the weights of one step are far from those of the next."""
    rows, label = make_payments(10_000, 0.002, seed=3)
    network = msgspec.structs.replace(NETWORK, learning_rate=0.1, epochs=2)

    def found() -> float:
        return average_precision_score(label, neural_network.logits(fit(network=network)[0], rows))

    averaged = found()
    monkeypatch.setattr(neural_network, "MOMENTUM", 0.0)
    assert averaged > found() + 0.02


def test_the_same_data_and_seed_give_the_same_network(fit, make_payments):
    rows = make_payments(1_000, 0.1, seed=3)[0]
    once, again, other = (neural_network.logits(fit(seed=seed, network=SHORT)[0], rows)
                          for seed in (1, 1, 2))
    assert (once == again).all() and (once != other).any()


@pytest.mark.parametrize("value", [0.0, 5.0, -1e9])
def test_a_feature_that_never_changed_does_no_harm_when_it_does(make_payments, value):
    rows, label = make_payments(2_000, 0.05, seed=1)
    rows[:, 3] = value
    sample = LabelledSample(rows, label)
    model, _ = neural_network.fit(sample, sample, SHORT, SEED)
    before = neural_network.logits(model, rows)
    rows[:, 3] = value * 1.01 + 0.01
    assert np.abs(neural_network.logits(model, rows) - before).max() < 0.1


def test_where_nothing_can_be_learned_the_score_is_the_share_of_frauds_in_a_batch():
    rows, label = np.zeros((2_000, 4), np.float32), (np.arange(2_000) % 50 == 0).astype(np.int8)
    sample = LabelledSample(rows, label)
    model, _ = neural_network.fit(sample, sample, msgspec.structs.replace(
        NETWORK, fraud_share=0.25, learning_rate=0.05, epochs=3), SEED)
    assert scores(neural_network.logits(model, rows)) == pytest.approx(0.25, abs=0.03)


def test_what_is_saved_is_loaded(fitted, make_payments, tmp_path):
    width, model, _ = fitted
    rows = make_payments(1_000, 0.1, seed=3)[0][:, :width]
    path = tmp_path / f"model{neural_network.SUFFIX}"
    neural_network.save(model, path)
    assert (neural_network.logits(neural_network.load(path), rows)
            == neural_network.logits(model, rows)).all()
