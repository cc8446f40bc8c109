import math
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud import bundle
from fraud.features import DEFAULT
from fraud.training import settings
from fraud.training.errors import TrainingError
from fraud.training.evaluation import metrics
from fraud.training.evaluation.thresholds import decline_threshold, with_review
from fraud.training.features import splits
from fraud.training.models import boosted_trees, candidate
from fraud.training.registry import bundle_writer
from fraud.training.registry.lineage import Lineage
from fraud.transaction import TYPES
from tests.tools import ROOT

PARSED = settings.parse(tomllib.loads(
    (ROOT / "flows/train_flow.toml").read_text()))
SETTINGS = msgspec.structs.replace(
    PARSED,
    xgboost=msgspec.structs.replace(PARSED.xgboost, rounds=10),
    tensorflow=msgspec.structs.replace(
        PARSED.tensorflow, units=[32, 16], learning_rate=0.01, batch_size=512, steps_per_epoch=40,
        epochs=3))
ROWS = 10_000
MINUTE = 60_000
ENDS = {name: rows * MINUTE for name, rows in {
    "train": 5_000, "early_stopping": 6_000, "calibration": 8_000, "test": ROWS}.items()}
VALIDATION_DAYS = 3_000 / (24 * 60)


@pytest.fixture(scope="module")
def data(tmp_path_factory, make_payments):
    """A payment a minute, of which 2 % are frauds; there are no features of the test period."""
    place = tmp_path_factory.mktemp("data")
    matrix, label = make_payments(ROWS, 0.02, seed=1)
    number, nothing = np.arange(ROWS), pa.nulls(ROWS, pa.string())
    pq.write_table(pa.table({
        "position": number, "is_fraud": label, "label_time": number * MINUTE,
        "event_time": number * MINUTE, "amount_cents": number, "type": np.array(TYPES)[number % 5],
        "incident_id": nothing, "fraud_type": nothing}), place / "transactions.parquet")
    first = 0
    for name in (splits.TRAIN, splits.EARLY_STOPPING, splits.CALIBRATION):
        rows = slice(first, first := ENDS[name] // MINUTE)
        folder = place / "features" / splits.FOLDER.format(name)
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"position": number[rows], **dict(
            zip(DEFAULT.names, matrix[rows].T, strict=True))}), folder / "part.parquet")
    return place, matrix, label


@pytest.fixture(scope="module", params=candidate.TRAINERS)
def trained(request, data, tmp_path_factory):
    place, _, _ = data
    return candidate.train(
        request.param, DEFAULT, str(place / "features"), str(place / "transactions.parquet"), ENDS,
        tmp_path_factory.mktemp(request.param) / "deep" / "models", SETTINGS)


@pytest.fixture(params=candidate.VARIANTS)
def variant(request, trained):
    return getattr(trained, request.param)


def validated(data, variant) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of validation, as the server computes them."""
    _, matrix, label = data
    session = onnxruntime.InferenceSession(variant.onnx, providers=["CPUExecutionProvider"])
    model = bundle.OnnxModel(session, variant.manifest, DEFAULT)
    return model.scores(matrix[5_000:8_000, :len(model.features)]), label[5_000:8_000]


def test_the_test_period_is_not_read(data, trained):
    assert not (data[0] / "features" / splits.FOLDER.format(splits.TEST)).exists()
    assert trained.framework in candidate.TRAINERS


def test_the_model_has_all_features_and_the_fallback_those_without_history(trained):
    assert trained.model.manifest.features == list(DEFAULT.names)
    assert trained.fallback.manifest.features == list(DEFAULT.fallback_names)
    assert set(DEFAULT.fallback_names) < set(DEFAULT.names)


def test_files_are_there_and_their_digests_are_those_of_the_manifest(trained, variant):
    content = Path(variant.onnx).read_bytes()
    assert variant.manifest.sha256 == bundle.sha256(content)
    assert variant.manifest.file == Path(variant.onnx).name
    assert Path(variant.native).suffix == candidate.TRAINERS[trained.framework].SUFFIX


def test_what_was_trained_is_what_its_native_file_holds(data, trained, variant):
    rows = data[1][:1_000, :len(variant.manifest.features)]
    trainer = candidate.TRAINERS[trained.framework]
    native = trainer.logits(trainer.load(Path(variant.native)), np.ascontiguousarray(rows))
    served = candidate.onnx_logits(Path(variant.onnx).read_bytes())(rows)
    assert np.abs(bundle.calibrated(native, variant.manifest.calibration)
                  - bundle.calibrated(served, variant.manifest.calibration)).max() <= 1e-5


def test_metrics_and_the_decline_threshold_are_those_of_validation(data, variant):
    scores, label = validated(data, variant)
    assert variant.thresholds.decline == decline_threshold(scores)
    assert variant.manifest.metrics == pytest.approx(metrics.period_metrics(
        scores, label, variant.thresholds.decline, VALIDATION_DAYS, "validation_"))
    assert variant.manifest.metrics["validation_auprc"] > 0.5        # a guess would have 0.02


def test_the_alert_budget_counts_all_payments_of_both_periods_of_validation(data, variant):
    _, matrix, _ = data
    session = onnxruntime.InferenceSession(variant.onnx, providers=["CPUExecutionProvider"])
    model = bundle.OnnxModel(session, variant.manifest, DEFAULT)
    scores = model.scores(matrix[5_000:8_000, :len(model.features)])
    day = np.arange(3_000) * 2 // 3_000             # 2.1 days
    traffic = splits.Traffic(np.arange(5_000, 8_000) / 100, day, 2)
    assert variant.thresholds == with_review(
        variant.thresholds, scores, traffic, SETTINGS.alerts.alerts_per_day)


def test_scores_are_calibrated_on_validation(data, variant):
    scores, label = validated(data, variant)
    assert scores.mean() == pytest.approx(label.mean(), rel=0.05)


def test_medians_are_those_of_the_train_period(data, variant):
    _, matrix, label = data
    legitimate = label[:5_000] == 0
    transfers = legitimate & (np.arange(5_000) % 5 == TYPES.index("TRANSFER"))
    for rows, medians in ((legitimate, variant.manifest.medians),
                          (transfers, variant.manifest.medians_by_type["TRANSFER"])):
        assert medians == {name: np.nanmedian(matrix[:5_000][rows, column])
                           for column, name in enumerate(variant.manifest.features)}


def test_what_people_want_to_see_is_told(trained, variant):
    assert set(variant.curves) == {"train_logloss", "early_stopping_logloss"}
    assert all(math.isfinite(loss) for losses in variant.curves.values() for loss in losses)
    assert variant.seconds > 0
    assert trained.parameters == msgspec.to_builtins(getattr(SETTINGS, trained.framework))


def test_a_search_sets_the_parameters_of_both_variants(data, tmp_path, capsys):
    place, _, _ = data
    unable = msgspec.structs.replace(SETTINGS.xgboost, subsample=1e-4, max_bin=64)   # no splits
    tuned = candidate.train(
        "xgboost", DEFAULT, str(place / "features"), str(place / "transactions.parquet"), ENDS,
        tmp_path, msgspec.structs.replace(SETTINGS, xgboost=unable), trials=3)
    assert tuned.parameters.pop("search_trials") == 3
    chosen = msgspec.convert(tuned.parameters, settings.BoostedTrees)
    assert chosen.subsample > unable.subsample and chosen.rounds == unable.rounds
    auprc = tuned.model.manifest.metrics["validation_auprc"]
    assert f"validation AUPRC {auprc:.3f}, as configured " in capsys.readouterr().out
    for variant in (tuned.model, tuned.fallback):
        trees = boosted_trees.load(Path(variant.native)).get_dump()
        depth = max(line.count("\t") for tree in trees for line in tree.splitlines())
        assert 0 < depth <= chosen.max_depth


def test_metrics_of_a_candidate_tell_of_both_variants(trained):
    model, fallback = trained.model, trained.fallback
    assert trained.metrics == {
        **model.manifest.metrics, "training_seconds": model.seconds + fallback.seconds,
        **{f"fallback_{name}": value for name, value in fallback.manifest.metrics.items()}}


def test_a_candidate_becomes_a_bundle_that_loads(trained, tmp_path):
    bundle_writer.write(trained, Lineage("d" * 64, "c" * 40, "TrainFlow/7"), tmp_path)
    loaded = bundle.load(tmp_path)
    assert loaded.policy.model == trained.model.thresholds
    assert loaded.policy.fallback == trained.fallback.thresholds
    assert loaded.manifest.framework == trained.framework


def test_a_period_without_fraud_is_refused_before_anything_is_fitted(data, tmp_path):
    place, _, label = data
    ends = {**ENDS, "early_stopping": ENDS["train"] + int(np.argmax(label[5_000:])) * MINUTE}
    with pytest.raises(TrainingError, match="the early_stopping period has no fraud"):
        candidate.train("xgboost", DEFAULT, str(place / "features"),
                        str(place / "transactions.parquet"), ends, tmp_path, SETTINGS)
    assert list(tmp_path.iterdir()) == []
