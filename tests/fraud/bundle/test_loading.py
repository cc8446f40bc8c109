import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given, strategies as st

from fraud import bundle
from fraud.bundle import BundleError
from fraud.features import DEFAULT

FILES = ("bundle.json", "policy.json", "model.onnx", "fallback.onnx")


@pytest.fixture
def directory(tmp_path, make_bundle) -> Path:
    """A good bundle of linear models, whose logit is the amount."""
    make_bundle(tmp_path / "good")
    return tmp_path / "good"


def row(**values: float) -> np.ndarray:
    return np.array([[values.get(name, 0.0) for name in DEFAULT.names]], np.float32)


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def refusal(directory: Path, **options) -> str:
    with pytest.raises(BundleError) as caught:
        bundle.load(directory, **options)
    return str(caught.value)


# Loading.

def test_a_written_bundle_is_loaded(directory):
    loaded = bundle.load(directory)
    manifest = json.loads((directory / "bundle.json").read_text())
    assert json.loads(msgspec.json.encode(loaded.manifest)) == manifest
    assert msgspec.to_builtins(loaded.policy) == json.loads((directory / "policy.json").read_text())
    assert loaded.model.features == DEFAULT.names
    assert loaded.fallback.features == DEFAULT.fallback_names
    assert loaded.model.metrics == {"validation_f1": 0.5}
    assert loaded.digest == bundle.sha256((directory / "bundle.json").read_bytes())
    assert loaded.policy_digest == bundle.sha256((directory / "policy.json").read_bytes())
    assert loaded.model.logits(row(amount=7)).tolist() == [7.0]
    assert loaded.fallback.logits(row(amount=7)[:, :13]).tolist() == [7.0]
    assert bundle.load(str(directory), loaded.digest).digest == loaded.digest


def test_model_files_are_listed_before_they_are_fetched(directory):
    raw = (directory / "bundle.json").read_bytes()
    assert bundle.model_files("s3://models/1", raw) == ["model.onnx", "fallback.onnx"]
    with pytest.raises(BundleError, match="names the file '../x.onnx', which is not in the same"):
        bundle.model_files("s3://models/1", raw.replace(b"model.onnx", b"../x.onnx"))


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(directory, file):
    (directory / file).unlink()
    assert refusal(directory) == (
        f"{directory / file}: cannot be read (No such file or directory); "
        "a bundle holds bundle.json, policy.json and two ONNX files")


@pytest.mark.parametrize("file", ["bundle.json", "model.onnx", "fallback.onnx"])
def test_any_changed_byte_is_refused(directory, file):
    promised = bundle.load(directory).digest
    good = (directory / file).read_bytes()
    for index in {*range(0, len(good), 37), len(good) - 1}:
        bad = bytearray(good)
        bad[index] ^= 1
        (directory / file).write_bytes(bad)
        message = refusal(directory, expected_digest=promised)
        assert message.startswith(f"{directory / file}: sha256 is {bundle.sha256(bad)}")
        assert message.endswith("; publish the bundle again")


def test_a_changed_policy_has_another_digest(directory):
    before = bundle.load(directory)
    edit(directory / "policy.json", lambda policy: policy.update(version="1.2"))
    after = bundle.load(directory, before.digest)
    assert after.digest == before.digest and after.policy_digest != before.policy_digest


def test_a_bundle_with_another_digest_than_promised_is_refused(directory):
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
def test_arbitrary_bytes_are_not_a_manifest(raw):
    with pytest.raises(BundleError, match="bundle.json"):
        bundle.model_files("models", raw)


@pytest.mark.parametrize(("review", "decline", "problem"), [
    (0.6, 0.5, "review must be"), (-0.1, 0.5, "review must be"), (0.5, 1.1, "decline must be")])
@pytest.mark.parametrize("model", ["model", "fallback"])
def test_thresholds_out_of_order_are_refused(directory, model, review, decline, problem):
    edit(directory / "policy.json", lambda policy: policy.update(
        {model: {"review": review, "decline": decline}}))
    message = refusal(directory)
    assert message.startswith(f"{directory / 'policy.json'}: {problem}")
    assert f"$.{model}" in message


@pytest.mark.parametrize("model", ["model", "fallback"])
@pytest.mark.parametrize("file", ["../other/model.onnx", "/etc/model.onnx", "sub/model.onnx", ""])
def test_a_model_outside_the_bundle_is_refused(directory, model, file):
    edit(directory / "bundle.json", lambda manifest: manifest[model].update(file=file))
    assert str(directory) in refusal(directory)
    if file:
        assert refusal(directory) == (
            f"{directory / 'bundle.json'}: names the file {file!r}, which is not in the same "
            "directory; publish the bundle again")


# The inputs of the model.

def test_another_order_of_features_is_refused(directory):
    edit(directory / "bundle.json", lambda manifest: manifest["model"].update(
        features=[*DEFAULT.names[:3], DEFAULT.names[4], DEFAULT.names[3], *DEFAULT.names[5:]]))
    assert refusal(directory) == (
        f"{directory / 'model.onnx'}: feature 3 is 'amount_share_of_balance', this code computes "
        "'balance_left' there; use the code the model was trained with")


@pytest.mark.parametrize(("model", "names"), [
    ("model", DEFAULT.fallback_names), ("model", (*DEFAULT.names, "more")),
    ("fallback", DEFAULT.names), ("fallback", ())])
def test_another_number_of_features_is_refused(directory, model, names):
    edit(directory / "bundle.json", lambda manifest: manifest[model].update(features=names))
    expected = {"model": DEFAULT.names, "fallback": DEFAULT.fallback_names}[model]
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
        f"{directory / 'model.onnx'}: takes 13 columns, bundle.json names {len(DEFAULT.names)}; "
        "train or export the bundle again")


@pytest.mark.parametrize("content", [b"", b"not a model", onnx.ModelProto().SerializeToString()])
def test_a_file_that_is_not_a_model_is_refused(directory, content):
    replace_model(directory, content)
    message = refusal(directory)
    assert message.startswith(f"{directory / 'model.onnx'}: ONNX Runtime cannot load it (")
    assert message.endswith("; train or export the bundle again")


@pytest.mark.parametrize("model", ["model", "fallback"])
@pytest.mark.parametrize(("missing", "drop"), [
    ("'is_debit'", lambda manifest: manifest["medians"].pop("is_debit")),
    ("'is_debit' for TRANSFER",
     lambda manifest: manifest["medians_by_type"]["TRANSFER"].pop("is_debit")),
    ("'amount' for TRANSFER", lambda manifest: manifest["medians_by_type"].pop("TRANSFER"))])
def test_a_missing_median_is_refused(directory, model, missing, drop):
    edit(directory / "bundle.json", lambda manifest: drop(manifest[model]))
    assert refusal(directory) == (
        f"{directory / model}.onnx: bundle.json has no median of {missing}; "
        "train or export the bundle again")
