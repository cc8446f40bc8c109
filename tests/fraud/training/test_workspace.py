"""moto's server stands in for S3."""

from collections import Counter

import pytest

from fraud.training import workspace
from fraud.training.errors import TrainingError

PLACE = "s3://models/runs/7"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "here"
    (folder / "features/split=train").mkdir(parents=True)
    (folder / "features/split=train/part.parquet").write_bytes(b"features")
    (folder / "transactions.parquet").write_bytes(b"payments")
    return folder


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def written(bucket) -> dict[str, int]:
    """Count the writes of each file on S3; the bucket keeps versions."""
    return Counter(one["Key"] for one in bucket.list_object_versions(Bucket="models")["Versions"]
                   if not one["Key"].endswith("/"))


def test_a_folder_comes_back_on_another_machine_as_it_was(bucket, folder, tmp_path):
    workspace.store(folder, PLACE, {})
    workspace.fetch(PLACE, tmp_path / "there")
    assert files(tmp_path / "there") == files(folder) and len(files(folder)) == 2


def test_only_what_a_step_wrote_is_copied_though_it_has_the_same_size(bucket, folder, tmp_path):
    bucket.put_bucket_versioning(Bucket="models", VersioningConfiguration={"Status": "Enabled"})
    workspace.store(folder, PLACE, {})
    fetched = workspace.fetch(PLACE, tmp_path / "there")
    (tmp_path / "there/model.onnx").write_bytes(b"model")
    (tmp_path / "there/transactions.parquet").write_bytes(b"PAYMENTS")
    workspace.store(tmp_path / "there", PLACE, fetched)
    assert written(bucket) == {"runs/7/features/split=train/part.parquet": 1,
                               "runs/7/model.onnx": 1, "runs/7/transactions.parquet": 2}
    workspace.fetch(PLACE, tmp_path / "third")
    assert files(tmp_path / "third")["transactions.parquet"] == b"PAYMENTS"


def test_what_a_step_that_runs_again_replaced_is_gone(bucket, folder, tmp_path):
    workspace.store(folder, PLACE, {})      # left half-way by a first attempt
    there = tmp_path / "there"
    fetched = workspace.fetch(PLACE, there)
    (there / "features/split=train/part.parquet").rename(
        there / "features/split=train/another.parquet")
    workspace.store(there, PLACE, fetched)
    workspace.fetch(PLACE, tmp_path / "third")
    assert set(files(tmp_path / "third")) == {
        "features/split=train/another.parquet", "transactions.parquet"}


def test_what_two_steps_leave_at_the_same_time_stays(bucket, folder, tmp_path):
    workspace.store(folder, PLACE, {})
    states = {name: workspace.fetch(PLACE, tmp_path / name) for name in ("xgboost", "tensorflow")}
    for name, state in states.items():
        (tmp_path / name / name).mkdir()
        (tmp_path / name / name / "model.onnx").write_text(name)
        workspace.store(tmp_path / name, PLACE, state)
    workspace.fetch(PLACE, tmp_path / "select")
    assert set(files(tmp_path / "select")) == {
        *files(folder), "xgboost/model.onnx", "tensorflow/model.onnx"}


def test_a_prefix_may_end_in_a_slash():
    assert workspace.location("s3://models/runs", "7") == PLACE
    assert workspace.location("s3://models/runs/", "7") == PLACE


def test_what_is_no_place_on_s3_is_named():
    with pytest.raises(TrainingError,
                       match="--workspace-uri is 'models/runs': give s3://BUCKET/PREFIX"):
        workspace.location("models/runs", "7")


def test_a_bucket_that_is_not_there_may_be_tried_again(bucket, folder):
    with pytest.raises(OSError):
        workspace.store(folder, "s3://absent/runs/7", {})
