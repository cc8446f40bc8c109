import json
import logging
import shutil

import msgspec
import pytest

from fraud import bundle
from fraud.bundle import BundleError, CanaryPointer
from fraud.champion import CanaryBundle, Challenger, Champion
from fraud.training.registry import publication


@pytest.fixture
def source(tmp_path, make_bundle):
    """Directories with the bundles of versions 1 and 2."""
    for version in ("1", "2"):
        make_bundle(tmp_path / version, version=version)
    return tmp_path


@pytest.fixture(params=["a folder", "s3"])
def location(request, source):
    """A location with version 1 published in it. S3 is moto's server: AWS cannot run here."""
    location = str(source / "models")
    if request.param == "s3":
        request.getfixturevalue("bucket")
        location = "s3://models/team"
    publication.publish(source / "1", "fraud-detector", location)
    return location


def publish(source, location, version="2", name="fraud-detector"):
    return publication.publish(source / version, name, location)


def test_the_bundle_that_the_pointer_names_is_served(location):
    champion = Champion(location)
    assert champion.bundle.manifest.version == "1"
    assert champion.refresh() is False


def test_the_champion_follows_the_pointer_there_and_back(source, location):
    champion = Champion(location)
    for version in ("2", "1"):
        publish(source, location, version)
        assert champion.refresh() is True
        assert champion.bundle.manifest.version == version
        assert champion.refresh() is False


def test_a_new_policy_of_the_same_model_is_loaded(source, location):
    champion = Champion(location)
    policy = json.loads((source / "1/policy.json").read_text())
    policy |= {"version": "1.2", "model": {"review": 0.1, "decline": 0.2}}
    (source / "1/policy.json").write_text(json.dumps(policy))
    publish(source, location, "1")
    assert champion.refresh() is True
    assert champion.bundle.policy.version == "1.2"


def test_a_bundle_with_another_digest_than_the_pointer_promises_is_not_served(source, caplog):
    location = source / "models"
    publish(source, str(location), "1")
    champion = Champion(str(location))
    for file, name in (("bundle.json", "sha256 is"), ("policy.json", "policy.json: sha256 is"),
                       ("model.onnx", "model.onnx: sha256 is")):
        path = location / publish(source, str(location), "2").folder / file
        good = path.read_bytes()
        path.write_bytes(good + b" ")
        with caplog.at_level(logging.ERROR):
            assert champion.refresh() is False
        assert champion.bundle.manifest.version == "1"
        assert name in caplog.text and "the champion stays at version 1" in caplog.text
        caplog.clear()
        with pytest.raises(BundleError, match=name):
            Champion(str(location))
        path.write_bytes(good)
    assert champion.refresh() is True


def test_the_champion_stays_while_its_location_is_missing(source, caplog):
    location = source / "models"
    publish(source, str(location), "1")
    champion = Champion(str(location))
    shutil.move(location, source / "elsewhere")
    assert champion.refresh() is False
    assert champion.bundle.manifest.version == "1"
    shutil.move(source / "elsewhere", location)
    publish(source, str(location), "2")
    assert champion.refresh() is True


def test_a_bundle_directory_is_served_and_never_changes(source):
    champion = Champion(str(source / "1"))
    assert champion.bundle.manifest.version == "1"
    assert champion.refresh() is False


@pytest.mark.parametrize(("pointer", "message"), [
    (b"{", "champion.json"),
    (b'{"version": "1"}', "missing required field"),
    (b'{"version": "1", "folder": "../1", "sha256": "", "policy_sha256": ""}',
     "folder is '../1', not the name of a folder")])
def test_an_invalid_pointer_is_refused(source, pointer, message):
    (source / "champion.json").write_bytes(pointer)
    with pytest.raises(BundleError, match=message):
        Champion(str(source))


def test_a_manifest_that_names_a_file_elsewhere_is_refused(source):
    manifest = json.loads((source / "1/bundle.json").read_text())
    manifest["model"]["file"] = "../2/model.onnx"
    (source / "1/bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="names the file '../2/model.onnx', which is not in the"):
        Champion(str(source / "1"))


@pytest.mark.parametrize(("location", "message"), [
    ("", "FRAUD_MODEL is '', which is not a directory"),
    ("/nowhere", "FRAUD_MODEL is '/nowhere', which is not a directory"),
    ("gs://bucket", "FRAUD_MODEL is 'gs://bucket': name a directory or an s3:// prefix"),
    ("/proc", "holds neither champion.json nor bundle.json")])
def test_a_location_without_a_model_is_an_error_with_a_fix(location, message):
    with pytest.raises(BundleError, match=message):
        Champion(location)


def test_a_bucket_without_a_champion_is_named(bucket):
    with pytest.raises(BundleError, match="s3://models/none/champion.json: is missing"):
        Champion("s3://models/none")


def test_an_s3_bundle_needs_no_files_once_it_is_loaded(source, bucket, tmp_path, monkeypatch):
    folder = publish(source, "s3://models", "1").folder
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    champion = Champion("s3://models")
    assert champion.bundle.digest == bundle.load(source / "1").digest
    bucket.delete_object(Bucket="models", Key=f"{folder}/model.onnx")
    assert champion.refresh() is False


# The challenger.

def challenge(source, location, version="2"):
    return publication.publish(source / version, "fraud-detector", location, "challenger.json")


def test_a_challenger_follows_its_own_pointer_until_the_challenge_ends(source, location):
    challenger = Challenger(location)
    assert challenger.bundle is None and challenger.refresh() is False
    for version in ("2", "1"):
        challenge(source, location, version)
        assert challenger.refresh() is True and challenger.refresh() is False
        assert challenger.bundle.manifest.version == version
    assert Champion(location).bundle.manifest.version == "1"
    publication.remove(location, "challenger.json")
    assert challenger.refresh() is True and challenger.bundle is None


def test_a_bundle_has_no_challenger(source):
    assert Challenger(str(source / "1")).bundle is None


@pytest.mark.parametrize(("damage", "problem"), [
    (lambda folder: (folder / "model.onnx").unlink(), "model.onnx: cannot be read"),
    (lambda folder: (folder / "bundle.json").write_bytes(b"{}"), "sha256 is"),
    (lambda folder: shutil.rmtree(folder), "bundle.json: cannot be read")])
def test_a_challenger_that_cannot_be_used_is_logged_and_does_not_score(
        source, caplog, damage, problem):
    location = str(source / "models")
    publish(source, location, "1")
    damage(source / "models" / challenge(source, location).folder)
    challenger = Challenger(location)
    assert challenger.bundle is None and problem in caplog.text
    assert challenger.refresh() is False            # logged once
    challenge(source, location, "1")
    assert challenger.refresh() is True and challenger.bundle.manifest.version == "1"


def test_a_challenger_of_other_features_does_not_score(source, caplog):
    location = str(source / "models")
    publish(source, location, "1")
    folder = source / "models" / challenge(source, location).folder
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["model"]["features"][0] = "another"
    (folder / "bundle.json").write_text(json.dumps(manifest))
    pointer = json.loads((source / "models/challenger.json").read_text())
    pointer["sha256"] = bundle.sha256((folder / "bundle.json").read_bytes())
    (source / "models/challenger.json").write_text(json.dumps(pointer))
    assert Challenger(location).bundle is None
    assert "feature 0 is 'another'" in caplog.text


def test_a_pointer_that_cannot_be_read_leaves_the_challenger(source, caplog):
    location = str(source / "models")
    publish(source, location, "1")
    challenge(source, location)
    challenger = Challenger(location)
    (source / "models/challenger.json").write_bytes(b"broken")
    assert challenger.refresh() is False and challenger.bundle.manifest.version == "2"
    assert "the challenger is not known to have changed" in caplog.text


# The canary.

def start_canary(source, location, share, version="2"):
    pointer = publication.add_bundle(source / version, "fraud-detector", location)
    publication.write_pointer(CanaryPointer(
        **msgspec.structs.asdict(pointer), share=share, since=7), location, "canary.json")


def test_a_canary_follows_its_pointer_and_share_until_it_ends(source, location):
    canary = CanaryBundle(location)
    assert canary.bundle is canary.pointer is None
    for share in (10.0, 25.0):
        start_canary(source, location, share)
        assert canary.refresh() is True and canary.refresh() is False
        assert (canary.bundle.manifest.version, canary.pointer.share) == ("2", share)
    assert Champion(location).bundle.manifest.version == "1"
    publication.remove(location, "canary.json")
    assert canary.refresh() is True and canary.bundle is None


def test_a_canary_that_cannot_be_used_is_logged_and_decides_nothing(source, caplog):
    location = str(source / "models")
    publish(source, location, "1")
    publication.write_pointer(CanaryPointer("2", "gone", "d", "d", share=10, since=7), location,
                              "canary.json")
    assert CanaryBundle(location).bundle is None
    assert "there is no canary: " in caplog.text
    (source / "models/canary.json").write_bytes(b'{"version": "2"}')
    assert CanaryBundle(location).bundle is None
    assert "the canary is not known to have changed" in caplog.text
