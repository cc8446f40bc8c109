import subprocess

from fraud import bundle
from fraud.training.registry import lineage
from fraud.training.registry.lineage import git_commit


def test_what_is_written_can_be_served_and_is_known_by_its_digest(tmp_path, make_bundle):
    digest = make_bundle(tmp_path, version="3", mlflow_run="r7", trained_at=9)
    loaded = bundle.load(tmp_path, expected_digest=digest)
    manifest = loaded.manifest
    assert (manifest.name, manifest.version) == ("fraud-detector", "3")
    assert manifest.framework == "xgboost"
    assert (manifest.data_digest, manifest.git_commit) == ("d" * 64, "c" * 40)
    assert (manifest.metaflow_run, manifest.mlflow_run) == ("TrainFlow/7", "r7")
    assert manifest.trained_at == 9
    assert loaded.policy == bundle.Policy("3.1", *2 * [bundle.Thresholds(0.5, 0.75)], 150.0)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "bundle.json", "fallback.onnx", "model.onnx", "policy.json"]


def test_the_same_candidate_gives_the_same_bytes_and_another_version_others(tmp_path, make_bundle):
    same = {make_bundle(tmp_path / name, version="3") for name in ("one", "two")}
    assert len(same) == 1
    assert make_bundle(tmp_path / "three", version="4") not in same


def test_the_commit_is_that_of_the_code_and_says_what_differs(monkeypatch, tmp_path):
    def git(*arguments):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b",
                        *arguments], check=True, capture_output=True)

    file = tmp_path / "assembly.py"
    file.write_text("one")
    monkeypatch.setattr(lineage, "__file__", str(file))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() == "unknown"
    git("init")
    git("add", ".")
    git("commit", "-m", "one")
    clean = git_commit()
    assert len(clean) == 40
    file.write_text("two")
    assert git_commit() == clean + "-dirty"
    monkeypatch.setenv("PATH", "")
    assert git_commit() == "unknown"
