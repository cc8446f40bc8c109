import json
import logging
import shutil

import pytest

from fraud import bundle
from fraud.bundle import BundleError
from fraud.champion import Champion
from fraud.training import publication


@pytest.fixture
def source(tmp_path, make_bundle):
    """Directories with the bundles of versions 1 and 2."""
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    return tmp_path


@pytest.fixture(params=["a folder", "s3"])
def place(request, source):
    """A place with version 1 published in it. S3 is moto's server: AWS cannot run here."""
    place = str(source / "models")
    if request.param == "s3":
        request.getfixturevalue("bucket")
        place = "s3://models/team"
    publication.publish(source / "1", "fraud-detector", place)
    return place


def publish(source, place, version="2", name="fraud-detector"):
    return publication.publish(source / version, name, place)


def test_what_the_pointer_names_is_served(place):
    champion = Champion(place)
    assert champion.bundle.manifest.version == "1"
    assert champion.refresh() is False


def test_a_new_champion_is_taken_when_the_pointer_moves_and_back_again(source, place):
    champion = Champion(place)
    for version in ("2", "1"):
        publish(source, place, version)
        assert champion.refresh() is True
        assert champion.bundle.manifest.version == version
        assert champion.refresh() is False


def test_a_new_policy_of_the_same_model_is_taken(source, place):
    champion = Champion(place)
    policy = json.loads((source / "1/policy.json").read_text())
    policy |= {"version": "1.2", "model": {"review": 0.1, "decline": 0.2}}
    (source / "1/policy.json").write_text(json.dumps(policy))
    publish(source, place, "1")
    assert champion.refresh() is True
    assert champion.bundle.policy.version == "1.2"


def test_a_bundle_that_is_not_what_the_pointer_promises_is_not_taken(source, caplog):
    place = source / "models"
    publish(source, str(place), "1")
    champion = Champion(str(place))
    for file, name in (("bundle.json", "sha256 is"), ("policy.json", "policy.json: sha256 is"),
                       ("model.onnx", "model.onnx: sha256 is")):
        path = place / publish(source, str(place), "2").folder / file
        good = path.read_bytes()
        path.write_bytes(good + b" ")
        with caplog.at_level(logging.ERROR):
            assert champion.refresh() is False
        assert champion.bundle.manifest.version == "1"
        assert name in caplog.text and "the champion stays at version 1" in caplog.text
        caplog.clear()
        with pytest.raises(BundleError, match=name):
            Champion(str(place))
        path.write_bytes(good)
    assert champion.refresh() is True


def test_a_place_that_is_gone_for_a_while_leaves_the_champion(source, caplog):
    place = source / "models"
    publish(source, str(place), "1")
    champion = Champion(str(place))
    shutil.move(place, source / "elsewhere")
    assert champion.refresh() is False
    assert champion.bundle.manifest.version == "1"
    shutil.move(source / "elsewhere", place)
    publish(source, str(place), "2")
    assert champion.refresh() is True


def test_a_bundle_itself_is_served_and_stays(source):
    champion = Champion(str(source / "1"))
    assert champion.bundle.manifest.version == "1"
    assert champion.refresh() is False


@pytest.mark.parametrize(("pointer", "message"), [
    (b"{", "champion.json"),
    (b'{"version": "1"}', "missing required field"),
    (b'{"version": "1", "folder": "../1", "sha256": "", "policy_sha256": ""}',
     "folder is '../1', not one beside it")])
def test_a_pointer_that_is_none_is_refused(source, pointer, message):
    (source / "champion.json").write_bytes(pointer)
    with pytest.raises(BundleError, match=message):
        Champion(str(source))


def test_a_manifest_that_names_a_file_elsewhere_is_refused(source):
    manifest = json.loads((source / "1/bundle.json").read_text())
    manifest["model"]["file"] = "../2/model.onnx"
    (source / "1/bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="names the file '../2/model.onnx', which is not beside"):
        Champion(str(source / "1"))


@pytest.mark.parametrize(("location", "message"), [
    ("", "FRAUD_MODEL is '', which is no directory"),
    ("/nowhere", "FRAUD_MODEL is '/nowhere', which is no directory"),
    ("gs://bucket", "FRAUD_MODEL is 'gs://bucket': name a directory or an s3:// prefix"),
    ("/proc", "holds neither champion.json nor bundle.json")])
def test_where_there_is_no_model_it_says_what_to_do(location, message):
    with pytest.raises(BundleError, match=message):
        Champion(location)


def test_a_bucket_without_a_champion_is_named(bucket):
    with pytest.raises(BundleError, match="s3://models/none/champion.json: cannot be read"):
        Champion("s3://models/none")


def test_an_s3_bundle_needs_no_files_of_its_own_afterwards(source, bucket, tmp_path, monkeypatch):
    folder = publish(source, "s3://models", "1").folder
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    champion = Champion("s3://models")
    assert champion.bundle.digest == bundle.load(source / "1").digest
    bucket.delete_object(Bucket="models", Key=f"{folder}/model.onnx")
    assert champion.refresh() is False
