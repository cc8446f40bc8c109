"""DVC as its users call it; moto's server stands in for S3."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fraud.training.registry import data_version
from tests.tools import ROOT

DVC = Path(sys.executable).parent / "dvc"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with this project's settings of DVC, and runs commands in it."""
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns(
        "cache", "tmp", "config.local"))
    shutil.copy(ROOT / "data/.gitignore", folder / "data")
    monkeypatch.chdir(folder)
    subprocess.run(["git", "init", "-q"], check=True)
    return folder


def dvc(*arguments: str, fails: bool = False) -> str:
    ran = subprocess.run([DVC, *arguments], capture_output=True, text=True,
                         env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    assert (ran.returncode != 0) == fails, ran.stderr
    return ran.stdout + ran.stderr


def add(file: str) -> None:
    """Let DVC keep a file, and git the note of it."""
    dvc("add", file)
    subprocess.run(["git", "add", f"{file}.dvc"], check=True)


def test_a_file_comes_back_from_s3_as_it_was(repository, bucket):
    file = repository / "data/mine.csv"
    file.write_text("step,type,amount\n1,TRANSFER,181.0\n")
    add("data/mine.csv")
    dvc("remote", "modify", "--local", "s3", "url", "s3://models/fraud")
    dvc("push")
    before, md5 = file.read_bytes(), data_version.dvc_md5("data/mine.csv")
    assert md5 == hashlib.md5(before).hexdigest()
    file.unlink()
    shutil.rmtree(repository / ".dvc/cache")
    dvc("pull", "data/mine.csv")
    assert file.read_bytes() == before
    assert data_version.dvc_md5("data/mine.csv") == md5
    [stored] = bucket.list_objects_v2(Bucket="models")["Contents"]
    assert stored["Key"] == f"fraud/files/md5/{md5[:2]}/{md5[2:]}"


def test_until_a_bucket_is_named_nothing_is_pushed_to_anyones(repository, bucket):
    (repository / "data/mine.csv").write_text("a\n")
    dvc("add", "data/mine.csv")
    assert 'Invalid bucket name "<bucket>"' in dvc("push", fails=True)


def test_a_note_of_a_file_is_for_git_and_the_file_is_not(repository):
    (repository / "data/mine.csv").write_text("a\n")
    dvc("add", "data/mine.csv")
    seen = subprocess.run(["git", "status", "--porcelain", "-uall", "data"], check=True, text=True,
                          capture_output=True).stdout.split()
    assert seen == ["??", "data/.gitignore", "??", "data/mine.csv.dvc"]


def test_a_file_that_changed_since_or_that_dvc_does_not_know_has_no_version(repository):
    (repository / "data/mine.csv").write_text("a\n")
    assert data_version.dvc_md5("data/mine.csv") == ""
    add("data/mine.csv")
    assert data_version.dvc_md5("data/mine.csv") != ""
    (repository / "data/mine.csv").write_text("b\n")
    assert data_version.dvc_md5("data/mine.csv") == ""
    assert data_version.dvc_md5("s3://bucket/mine.csv") == ""


def test_a_file_whose_note_git_does_not_know_cannot_be_had_again(repository):
    (repository / "data/mine.csv").write_text("a\n")
    dvc("add", "data/mine.csv")
    assert data_version.dvc_md5("data/mine.csv") == ""


def test_a_place_without_dvc_has_no_versions(tmp_path):
    (tmp_path / "mine.csv").write_text("a\n")
    assert data_version.dvc_md5(str(tmp_path / "mine.csv")) == ""


@pytest.mark.parametrize(("file", "command"), [
    ("mine.csv", ".venv/bin/dvc pull mine.csv"), ("transactions.parquet", "make data")])
def test_commands_bring_code_data_and_run_of_a_version_back(tmp_path, monkeypatch, file, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv.dvc").touch()         # it was added; the other one comes from a stage
    tags = {"git_commit": "c" * 40, "data_file": file, "data_md5": "e" * 32,
            "metaflow_run": "TrainFlow/7"}
    assert data_version.again(tags).splitlines() == [
        f"code  git checkout {'c' * 40}", f"data  {command}",
        "run   .venv/bin/python flows/train_flow.py card view 7/final_test"]


def test_what_cannot_be_had_again_is_said():
    said = data_version.again({"git_commit": f"{'c' * 40}-dirty", "data_file": "mine.csv",
                               "data_md5": "", "metaflow_run": "TrainFlow/7"})
    assert "(files differed from it)" in said
    assert "mine.csv: not kept by DVC; data_digest is its sha256" in said
    assert "code  trained outside of git" in data_version.again(
        {"git_commit": "unknown", "metaflow_run": "TrainFlow/7"})
