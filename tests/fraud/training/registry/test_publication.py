import json

import pytest

from fraud import bundle
from fraud.bundle import BundleError
from fraud.training.errors import TrainingError
from fraud.training.registry import publication


@pytest.fixture
def source(tmp_path, make_bundle):
    """Directories with the bundles of versions 1 and 2."""
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    return tmp_path


def test_a_published_bundle_is_what_the_pointer_promises(source):
    target = source / "deep/models"
    pointer = publication.publish(source / "1", "fraud-detector", str(target))
    assert publication.published(str(target)) == pointer
    assert json.loads((target / "champion.json").read_text())["folder"] == pointer.folder
    assert pointer.folder.startswith("fraud-detector-1-")
    loaded = bundle.load(target / pointer.folder, expected_digest=pointer.sha256)
    assert loaded.policy_digest == pointer.policy_sha256
    assert loaded.manifest.version == pointer.version == "1"


def test_a_later_bundle_stands_beside_the_earlier_and_the_pointer_moves(source):
    target = source / "models"
    first, second = (publication.publish(source / version, "fraud-detector", str(target))
                     for version in ("1", "2"))
    assert publication.published(str(target)).version == "2"
    assert sorted(path.name for path in target.iterdir()) == [
        "champion.json", first.folder, second.folder]
    bundle.load(target / first.folder)


def test_another_bundle_or_policy_of_a_version_never_takes_the_place_of_the_first(
        source, make_bundle):
    target = source / "models"
    first = publication.publish(source / "1", "fraud-detector", str(target))
    make_bundle(source / "again", version="1", git_commit="e" * 40)
    policy = source / "2/policy.json"
    policy.write_text(policy.read_text().replace('"2.1"', '"2.2"'))
    changed = [publication.publish(source / folder, "fraud-detector", str(target))
               for folder in ("again", "2")]
    assert len({one.folder for one in (first, *changed)}) == 3
    assert bundle.load(target / first.folder).digest == first.sha256


def test_what_is_served_is_not_written_again(source):
    target = source / "models"
    folder = publication.publish(source / "1", "fraud-detector", str(target)).folder
    before = {path: path.stat().st_ino for path in (target / folder).iterdir()}
    publication.publish(source / "1", "fraud-detector", str(target))
    assert {path: path.stat().st_ino for path in (target / folder).iterdir()} == before
    (target / folder / "model.onnx").write_bytes(b"broken on the way")
    publication.publish(source / "1", "fraud-detector", str(target))
    bundle.load(target / folder)


def test_where_nothing_is_published_there_is_no_pointer(tmp_path):
    assert publication.published(str(tmp_path / "nowhere")) is None


def test_what_cannot_be_served_is_not_published(source):
    target = source / "models"
    publication.publish(source / "1", "fraud-detector", str(target))
    (source / "2/model.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match="model.onnx: sha256 is"):
        publication.publish(source / "2", "fraud-detector", str(target))
    assert publication.published(str(target)).version == "1"


def test_a_bundle_is_not_a_place_for_bundles(source):
    with pytest.raises(TrainingError, match="is a bundle; set FRAUD_MODEL to a folder"):
        publication.publish(source / "1", "fraud-detector", str(source / "2"))
    assert not (source / "2/champion.json").exists()


@pytest.mark.parametrize(("destination", "message"), [
    ("/proc/models", "/proc/models: cannot be written to"),
    ("ftp://somewhere/models", "ftp://somewhere/models: cannot be published to")])
def test_a_place_that_takes_nothing_is_refused(source, destination, message):
    with pytest.raises(TrainingError, match=message) as caught:
        publication.publish(source / "1", "fraud-detector", destination)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("value", "place"), [
    (None, "models"), ("", "models"), ("s3://bucket/prefix", "s3://bucket/prefix")])
def test_the_place_is_the_one_that_serving_reads(monkeypatch, value, place):
    monkeypatch.delenv("FRAUD_MODEL", raising=False)
    if value is not None:
        monkeypatch.setenv("FRAUD_MODEL", value)
    assert publication.target() == place


def test_bundles_are_published_on_s3_too(source, bucket):
    first, pointer = (publication.publish(source / version, "fraud-detector",
                                          "s3://models/team/fraud/") for version in ("1", "2"))
    assert publication.published("s3://models/team/fraud") == pointer
    keys = {item["Key"] for item in bucket.list_objects_v2(Bucket="models")["Contents"]
            if item["Size"]}
    assert keys == {"team/fraud/champion.json"} | {
        f"team/fraud/{folder}/{name}" for folder in (first.folder, pointer.folder)
        for name in ("bundle.json", "fallback.onnx", "model.onnx", "policy.json")}
    body = bucket.get_object(
        Bucket="models", Key=f"team/fraud/{pointer.folder}/bundle.json")["Body"]
    assert bundle.sha256(body.read()) == pointer.sha256


def test_a_bucket_that_is_not_there_is_named(source, bucket):
    with pytest.raises(TrainingError, match="s3:"):
        publication.publish(source / "1", "fraud-detector", "s3://no-such-bucket/models")
