import json
import warnings
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from fraud import bundle, features
from fraud.bundle import BundleError, Calibration, Thresholds

FILES = ("bundle.json", "policy.json", "model.onnx", "fallback.onnx")


@pytest.fixture
def directory(tmp_path, make_bundle) -> Path:
    """A good bundle of linear models, whose logit is the amount."""
    make_bundle(tmp_path / "good")
    return tmp_path / "good"


def linear_onnx(weights: dict[str, float], names=features.NAMES) -> bytes:
    """ONNX of a model whose logit is the weighted sum of the named features."""
    column = np.array([[weights.get(name, 0.0)] for name in names], np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["features", "weights"], ["logit"])], "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(names)])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(column, "weights")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)],
                             ir_version=8).SerializeToString()


def linear(weights: dict[str, float], slope=1.0, medians=None) -> bundle.Model:
    content = linear_onnx(weights)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return bundle.Model(session, bundle.ModelManifest(
        file="model.onnx", sha256=bundle.sha256(content), features=list(features.NAMES),
        calibration=Calibration(slope, -3.0), metrics={},
        medians=dict.fromkeys(features.NAMES, 0.0) | (medians or {})))


def row(**values: float) -> np.ndarray:
    return np.array([[values.get(name, 0.0) for name in features.NAMES]], np.float32)


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def refusal(directory: Path, **options) -> str:
    with pytest.raises(BundleError) as caught:
        bundle.load(directory, **options)
    return str(caught.value)


# Loading.

def test_what_was_written_is_loaded(directory):
    loaded = bundle.load(directory)
    manifest = json.loads((directory / "bundle.json").read_text())
    assert msgspec.to_builtins(loaded.manifest) == manifest
    assert msgspec.to_builtins(loaded.policy) == json.loads((directory / "policy.json").read_text())
    assert loaded.model.features == features.NAMES
    assert loaded.fallback.features == features.FALLBACK_NAMES
    assert loaded.model.metrics == {"validation_f1": 0.5}
    assert loaded.digest == bundle.sha256((directory / "bundle.json").read_bytes())
    assert loaded.policy_digest == bundle.sha256((directory / "policy.json").read_bytes())
    assert loaded.model.logits(row(amount=7)).tolist() == [7.0]
    assert loaded.fallback.logits(row(amount=7)[:, :13]).tolist() == [7.0]
    assert bundle.load(str(directory), loaded.digest).digest == loaded.digest


def test_the_files_of_models_can_be_named_before_they_are_there(directory):
    raw = (directory / "bundle.json").read_bytes()
    assert bundle.model_files("s3://models/1", raw) == ["model.onnx", "fallback.onnx"]
    with pytest.raises(BundleError, match="names the file '../x.onnx', which is not beside it"):
        bundle.model_files("s3://models/1", raw.replace(b"model.onnx", b"../x.onnx"))


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(directory, file):
    (directory / file).unlink()
    assert refusal(directory) == (
        f"{directory / file}: cannot be read (No such file or directory); "
        "a bundle holds bundle.json, policy.json and two ONNX files")


@pytest.mark.parametrize("file", ["bundle.json", "model.onnx", "fallback.onnx"])
def test_any_changed_byte_is_found(directory, file):
    promised = bundle.load(directory).digest
    good = (directory / file).read_bytes()
    for place in {*range(0, len(good), 37), len(good) - 1}:
        bad = bytearray(good)
        bad[place] ^= 1
        (directory / file).write_bytes(bad)
        message = refusal(directory, expected_digest=promised)
        assert message.startswith(f"{directory / file}: sha256 is {bundle.sha256(bad)}")
        assert message.endswith("; publish the bundle again")


def test_a_changed_policy_has_another_digest(directory):
    before = bundle.load(directory)
    edit(directory / "policy.json", lambda policy: policy.update(version="1.2"))
    after = bundle.load(directory, before.digest)
    assert after.digest == before.digest and after.policy_digest != before.policy_digest


def test_a_bundle_that_was_not_promised_is_refused(directory):
    digest = bundle.load(directory).digest
    assert refusal(directory, expected_digest="0" * 64) == (
        f"{directory / 'bundle.json'}: sha256 is {digest}, not the promised {'0' * 64}; "
        "publish the bundle again")


@pytest.mark.parametrize("file", ["bundle.json", "policy.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"version": "\xff"}', b"\xff\xfe"])
def test_broken_json_is_refused(directory, file, content):
    (directory / file).write_bytes(content)
    message = refusal(directory)
    assert message.startswith(f"{directory / file}: ")
    assert message.endswith("; train or export the bundle again")


@given(st.binary(max_size=40))
def test_no_bytes_are_taken_for_a_manifest(raw):
    with pytest.raises(BundleError, match="bundle.json"):
        bundle.model_files("models", raw)


@pytest.mark.parametrize(("review", "decline"), [(0.6, 0.5), (-0.1, 0.5), (0.5, 1.1)])
@pytest.mark.parametrize("model", ["model", "fallback"])
def test_thresholds_out_of_order_are_refused(directory, model, review, decline):
    edit(directory / "policy.json", lambda policy: policy.update(
        {model: {"review": review, "decline": decline}}))
    message = refusal(directory)
    assert message.startswith(f"{directory / 'policy.json'}: thresholds must satisfy")
    assert f"not review={review}, decline={decline}" in message and f"$.{model}" in message


@pytest.mark.parametrize("model", ["model", "fallback"])
@pytest.mark.parametrize("file", ["../other/model.onnx", "/etc/model.onnx", "sub/model.onnx", ""])
def test_a_model_outside_of_the_bundle_is_refused(directory, model, file):
    edit(directory / "bundle.json", lambda manifest: manifest[model].update(file=file))
    assert str(directory) in refusal(directory)
    if file:
        assert refusal(directory) == (f"{directory / 'bundle.json'}: names the file {file!r}, "
                                      "which is not beside it; publish the bundle again")


# What the model expects.

def test_another_order_of_features_is_refused(directory):
    edit(directory / "bundle.json", lambda manifest: manifest["model"].update(
        features=[*features.NAMES[:3], features.NAMES[4], features.NAMES[3], *features.NAMES[5:]]))
    assert refusal(directory) == (
        f"{directory / 'model.onnx'}: feature 3 is 'amount_share_of_balance', this code computes "
        "'balance_left' there; use the code the model was trained with")


@pytest.mark.parametrize(("model", "names"), [
    ("model", features.FALLBACK_NAMES), ("model", (*features.NAMES, "more")),
    ("fallback", features.NAMES), ("fallback", ())])
def test_another_number_of_features_is_refused(directory, model, names):
    edit(directory / "bundle.json", lambda manifest: manifest[model].update(features=names))
    expected = {"model": features.NAMES, "fallback": features.FALLBACK_NAMES}[model]
    assert refusal(directory) == (
        f"{directory / model}.onnx: has {len(names)} features, this code computes "
        f"{len(expected)}; use the code the model was trained with")


def replace_model(directory: Path, content: bytes) -> None:
    (directory / "model.onnx").write_bytes(content)
    edit(directory / "bundle.json", lambda manifest: manifest["model"].update(
        sha256=bundle.sha256(content)))


def test_a_model_of_another_width_is_refused(directory):
    replace_model(directory, (directory / "fallback.onnx").read_bytes())
    assert refusal(directory) == (
        f"{directory / 'model.onnx'}: takes 13 columns, bundle.json names {len(features.NAMES)}; "
        "train or export the bundle again")


@pytest.mark.parametrize("content", [b"", b"not a model", onnx.ModelProto().SerializeToString()])
def test_what_is_no_model_is_refused(directory, content):
    replace_model(directory, content)
    message = refusal(directory)
    assert message.startswith(f"{directory / 'model.onnx'}: ONNX Runtime cannot load it (")
    assert message.endswith("; train or export the bundle again")


@pytest.mark.parametrize("model", ["model", "fallback"])
def test_a_missing_median_is_refused(directory, model):
    edit(directory / "bundle.json", lambda manifest: manifest[model]["medians"].pop("is_debit"))
    assert refusal(directory) == (
        f"{directory / model}.onnx: bundle.json has no median of 'is_debit'; "
        "train or export the bundle again")


# Scores and decisions.

def test_a_score_is_the_calibrated_logit(directory):
    edit(directory / "bundle.json", lambda manifest: manifest["model"].update(
        calibration={"slope": 0.5, "intercept": -1.0}))
    scores = bundle.load(directory).model.scores(np.concatenate([row(amount=2), row(amount=6)]))
    assert scores.dtype == np.float64
    assert scores.tolist() == pytest.approx([0.5, 1 / (1 + np.exp(-2.0))], abs=1e-15)


def test_a_batch_scores_like_its_rows_one_by_one():
    rng = np.random.default_rng(3)
    model = linear(dict(zip(features.NAMES, rng.normal(size=len(features.NAMES)))))
    rows = rng.normal(size=(500, len(features.NAMES))).astype(np.float32)
    batch = model.scores(rows)
    assert batch.std() > 0.1
    assert np.abs(batch - np.concatenate([model.scores(rows[[place]]) for place in range(500)])
                  ).max() <= 1e-6


def test_extreme_logits_are_calibrated_without_a_warning():
    logits = np.array([-3e38, -1e4, -710, 0, 710, 1e4, 3e38], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = bundle.calibrated(logits, Calibration(2.0, 0.0))
    assert scores.tolist() == pytest.approx([0, 0, 0, 0.5, 1, 1, 1], abs=1e-300)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2), st.floats(0.01, 10),
       st.floats(-20, 20))
def test_calibration_keeps_the_order_and_gives_probabilities(logits, slope, intercept):
    scores = bundle.calibrated(np.sort(np.array(logits, np.float32)),
                               Calibration(slope, intercept))
    assert (np.diff(scores) >= 0).all() and 0 <= scores[0] and scores[-1] <= 1


@pytest.mark.parametrize(("score", "decision"), [
    (0.0, "approve"), (np.nextafter(0.25, 0), "approve"), (0.25, "review"),
    (np.nextafter(0.75, 0), "review"), (0.75, "decline"), (1.0, "decline")])
def test_a_score_at_a_threshold_is_over_it(score, decision):
    assert Thresholds(review=0.25, decline=0.75).decide(score) == decision


def test_equal_thresholds_review_nothing():
    thresholds = Thresholds(review=0.5, decline=0.5)
    assert [thresholds.decide(score) for score in (0.49, 0.5)] == ["approve", "decline"]


# Reasons.

def test_reasons_come_with_the_largest_fall_first():
    model = linear({"amount": 1, "origin_balance": 3, "destination_balance": 2}, slope=0.5)
    reasons = model.explain(row(amount=2, origin_balance=2, destination_balance=2))
    assert [(reason.code, reason.logit_fall) for reason in reasons] == [
        ("origin-balance", 3.0), ("destination-balance", 2.0), ("amount", 1.0)]
    assert reasons[0].text == "origin balance is unlike that of a usual payment"


def test_the_features_of_a_group_are_set_to_their_medians_together():
    model = linear({"balance_left": 1, "exceeds_balance": 4, "empties_account": -2},
                   medians={"balance_left": 5.0, "amount_share_of_balance": 0.25})
    [reason] = model.explain(row(balance_left=7, exceeds_balance=1, empties_account=1))
    assert reason == bundle.Reason(
        code="amount-against-balance", logit_fall=7 - 5 + 4 - 2,
        text="amount against balance is unlike that of a usual payment",
        value={"balance_left": 7.0, "amount_share_of_balance": 0.0, "empties_account": 1.0,
               "exceeds_balance": 1.0},
        reference={"balance_left": 5.0, "amount_share_of_balance": 0.25, "empties_account": 0.0,
                   "exceeds_balance": 0.0})


def test_at_most_three_reasons_are_given():
    model = linear(dict.fromkeys(features.NAMES, 1.0))
    assert len(model.groups) > bundle.REASONS == 3
    assert len(model.explain(row(**dict.fromkeys(features.NAMES, 1.0)))) == 3


def test_what_lowers_a_score_or_leaves_it_is_no_reason():
    model = linear({"amount": -1, "origin_balance": 1, "hour_of_day": 1},
                   medians={"hour_of_day": 12.0})
    payment = row(amount=5, origin_balance=1, hour_of_day=12)
    assert [reason.code for reason in model.explain(payment)] == ["origin-balance"]
    assert linear({}).explain(payment) == []


def test_groups_are_disjoint_and_cover_every_column_of_their_features():
    groups = linear({}).groups
    assert sorted(np.concatenate(list(groups.values())).tolist()) == list(
        range(len(features.NAMES)))
    assert {features.NAMES[column]: group for group, columns in groups.items()
            for column in columns} == features.GROUPS
