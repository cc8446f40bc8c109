"""moto's server stands in for S3."""

from collections import Counter

import pytest

from fraud.training import shared
from fraud.training.errors import TrainingError

PREFIX = "s3://models/runs/7"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "here"
    (folder / "features/split=train").mkdir(parents=True)
    (folder / "features/split=train/part.parquet").write_bytes(b"features")
    (folder / "transactions.parquet").write_bytes(b"payments")
    return folder


def test_a_folder_comes_back_on_another_machine_as_it_was(bucket, folder, tmp_path):
    shared.keep(folder, PREFIX)
    shared.fetch(PREFIX, tmp_path / "there")
    files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.parquet")}
    assert len(files) == 2
    assert files == {path.relative_to(tmp_path / "there"): path.read_bytes()
                     for path in (tmp_path / "there").rglob("*") if path.is_file()}


def test_only_what_is_new_is_copied(bucket, folder):
    bucket.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    shared.keep(folder, PREFIX)
    (folder / "model.onnx").write_bytes(b"model")
    (folder / "transactions.parquet").write_bytes(b"other payments")
    shared.keep(folder, PREFIX)
    assert written(bucket) == {"runs/7/features/split=train/part.parquet": 1,
                               "runs/7/model.onnx": 1, "runs/7/transactions.parquet": 2}


def test_what_two_steps_leave_at_the_same_time_stays(bucket, folder, tmp_path):
    for name in ("xgboost", "tensorflow"):
        (tmp_path / name / name).mkdir(parents=True)
        (tmp_path / name / name / "model.onnx").write_text(name)
        shared.keep(tmp_path / name, PREFIX)
    assert set(written(bucket)) == {"runs/7/xgboost/model.onnx", "runs/7/tensorflow/model.onnx"}


def written(bucket) -> dict[str, int]:
    """How often each file on S3 was written, since its bucket keeps versions."""
    return Counter(one["Key"] for one in bucket.list_object_versions(Bucket="models")["Versions"]
                   if not one["Key"].endswith("/"))


@pytest.mark.parametrize("prefix, message", [
    ("models/runs", "models/runs: is no place on S3; give s3://BUCKET/PREFIX"),
    ("s3://absent/runs", "s3://absent/runs"),
])
def test_a_place_that_is_not_there_is_named(bucket, folder, prefix, message):
    with pytest.raises(TrainingError, match=message):
        shared.keep(folder, prefix)
