import warnings

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, strategies as st
from onnx import TensorProto, helper, numpy_helper

from fraud import bundle
from fraud.bundle import Calibration
from fraud.features import DEFAULT
from fraud.reasons import Reason, UsualPayment


def linear_onnx(weights: dict[str, float], names=DEFAULT.names) -> bytes:
    """ONNX of a model whose logit is the weighted sum of the named features that are known."""
    column = np.array([[weights.get(name, 0.0)] for name in names], np.float32)
    graph = helper.make_graph(
        [helper.make_node("IsNaN", ["features"], ["unknown"]),
         helper.make_node("Where", ["unknown", "zero", "features"], ["known"]),
         helper.make_node("MatMul", ["known", "weights"], ["logit"])], "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(names)])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(column, "weights"),
         numpy_helper.from_array(np.float32(0), "zero")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)],
                             ir_version=8).SerializeToString()


def linear(weights: dict[str, float], slope=1.0, intercept=-3.0, medians=None,
           by_type=None) -> bundle.OnnxModel:
    content = linear_onnx(weights)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return bundle.OnnxModel(session, bundle.ModelManifest(
        file="model.onnx", sha256=bundle.sha256(content), features=list(DEFAULT.names),
        calibration=Calibration(slope, intercept), metrics={},
        medians=dict.fromkeys(DEFAULT.names, 0.0) | (medians or {}),
        medians_by_type={name: dict.fromkeys(DEFAULT.names, 0.0) | (medians or {})
                         for name in DEFAULT.types} | (by_type or {})), DEFAULT)


def row(**values: float) -> np.ndarray:
    return np.array([[values.get(name, 0.0) for name in DEFAULT.names]], np.float32)


# Scores.

def test_a_score_is_the_calibrated_logit():
    model = linear({"amount": 1}, slope=0.5, intercept=-1.0)
    scores = model.scores(np.concatenate([row(amount=2), row(amount=6)]))
    assert scores.dtype == np.float64
    assert scores.tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2.0))], abs=1e-15)


def test_a_batch_scores_like_its_rows_one_by_one():
    rng = np.random.default_rng(3)
    weights = rng.normal(size=len(DEFAULT.names))
    model = linear(dict(zip(DEFAULT.names, weights, strict=True)))
    rows = rng.normal(size=(500, len(DEFAULT.names))).astype(np.float32)
    batch = model.scores(rows)
    assert batch.std() > 0.1
    one_by_one = np.concatenate([model.scores(rows[[index]]) for index in range(500)])
    assert np.abs(batch - one_by_one).max() <= 1e-6


def test_the_graph_sees_what_is_not_known():
    model = linear({"amount": 1, "origin_balance": 2}, medians={"origin_balance": 5.0})
    assert model.logits(row(amount=3, origin_balance=np.nan)).tolist() == [3.0]


def test_extreme_logits_are_calibrated_without_a_warning():
    logits = np.array([-3e38, -1e4, -710, 0, 710, 1e4, 3e38], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = bundle.calibrated(logits, Calibration(2.0, 0.0))
    assert scores.tolist() == pytest.approx([0, 0, 0, 0.5, 1, 1, 1], abs=1e-300)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2), st.floats(0.01, 10),
       st.floats(-20, 20))
def test_calibration_keeps_the_order_and_returns_probabilities(logits, slope, intercept):
    scores = bundle.calibrated(np.sort(np.array(logits, np.float32)),
                               Calibration(slope, intercept))
    assert (np.diff(scores) >= 0).all() and 0 <= scores[0] and scores[-1] <= 1


# Reasons.

def explain(model: bundle.OnnxModel, **values: float) -> list[Reason]:
    """Reasons of a row of zeros but for these values."""
    exact = UsualPayment(dict.fromkeys(DEFAULT.names, 0.0) | values, "TRANSFER")
    return model.explain(row(**values), exact)


def test_reasons_come_with_the_largest_drop_first():
    model = linear({"amount": 1, "origin_balance": 3, "destination_balance": 2}, slope=0.5)
    reasons = explain(model, amount=2, origin_balance=2, destination_balance=2)
    assert [(reason.code, reason.logit_drop) for reason in reasons] == [
        ("origin-balance", 3.0), ("destination-balance", 2.0), ("amount", 1.0)]
    assert reasons[0].text == "The sender holds 2.00; a usual one holds nothing"


def test_the_features_of_a_group_are_set_to_their_medians_together():
    model = linear({"balance_left": 1, "exceeds_balance": 4, "empties_account": -2},
                   medians={"balance_left": 5.0, "amount_share_of_balance": 0.25})
    [reason] = explain(model, balance_left=7, exceeds_balance=1, empties_account=1)
    assert reason == Reason(
        code="amount-against-balance", logit_drop=7 - 5 + 4 - 2,
        text="Takes 0.00 from a sender who holds nothing",
        value={"balance_left": 7.0, "amount_share_of_balance": 0.0, "empties_account": 1.0,
               "exceeds_balance": 1.0},
        reference={"balance_left": 5.0, "amount_share_of_balance": 0.25, "empties_account": 0.0,
                   "exceeds_balance": 0.0})


def test_a_payment_is_compared_with_legitimate_ones_of_its_type():
    names = dict.fromkeys(DEFAULT.names, 0.0)
    model = linear({"amount": 1, "is_transfer": 50}, medians={"amount": 1.0}, by_type={
        "TRANSFER": names | {"amount": 90.0, "is_transfer": 1.0},
        "PAYMENT": names | {"amount": 20.0, "is_payment": 1.0}})
    [reason] = explain(model, amount=100, is_transfer=1)
    assert (reason.code, reason.logit_drop) == ("amount", 10.0)
    assert reason.reference == {"amount": 90.0}
    assert reason.text == "Moves 100.00; a usual TRANSFER, 90.00"


def test_a_feature_that_is_not_known_is_not_set_to_that_of_the_type():
    usual = dict.fromkeys(DEFAULT.names, 0.0) | {"balance_left": -100.0}
    model = linear({"balance_left": 1, "exceeds_balance": 1}, medians={"balance_left": 3.0},
                   by_type={"TRANSFER": usual})
    [reason] = explain(model, balance_left=np.nan, exceeds_balance=1)
    assert (reason.code, reason.logit_drop) == ("amount-against-balance", 1.0)


def test_a_sentence_has_the_exact_numbers_of_the_payment():
    amount = 98_765_432.11
    assert float(np.float32(amount)) == 98_765_432.0
    [reason] = explain(linear({"amount": 1}, medians={"amount": 74.25}), amount=amount)
    assert reason.text == "Moves 98,765,432.11; a usual TRANSFER, 74.25"


def test_at_most_three_reasons_are_given():
    model = linear(dict.fromkeys(DEFAULT.names, 1.0))
    assert len(model.groups) > bundle.MAX_REASONS == 3
    assert len(explain(model, **dict.fromkeys(DEFAULT.names, 1.0))) == 3


def test_a_group_that_lowers_a_score_or_leaves_it_is_not_a_reason():
    model = linear({"amount": -1, "origin_balance": 1, "hour_of_day": 1},
                   medians={"hour_of_day": 12.0})
    payment = {"amount": 5, "origin_balance": 1, "hour_of_day": 12}
    assert [reason.code for reason in explain(model, **payment)] == ["origin-balance"]
    assert explain(linear({}), **payment) == []


def test_what_is_not_known_is_never_a_reason():
    weights = dict.fromkeys(DEFAULT.names, 1.0)
    unknown = {name: np.nan for name in DEFAULT.names if "balance" in name}
    reasons = linear(weights, medians={"origin_balance": -4.0}).explain(
        row(**dict.fromkeys(DEFAULT.names, 1.0) | unknown), UsualPayment(
            dict.fromkeys(DEFAULT.names, 1.0) | unknown, "TRANSFER"))
    assert reasons and not any("balance" in reason.code for reason in reasons)
    for reason in reasons:
        assert not np.isnan([*reason.value.values(), *reason.reference.values()]).any()


def test_groups_are_disjoint_and_cover_every_column_of_their_features():
    groups = linear({}).groups
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(
        range(len(DEFAULT.names)))
    assert {DEFAULT.names[column]: group for group, columns in groups.items()
            for column in columns} == DEFAULT.groups
