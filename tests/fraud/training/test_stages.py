import ast
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from fraud.training import settings, stages
from fraud.training.data import dataset
from fraud.training.features import spark_job, splits
from fraud.training.simulate import simulator
from tests.tools import ROOT, run_main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The output of the three stages for a small simulation."""
    folder = tmp_path_factory.mktemp("data")
    stages.main(["acquire", "--rows", "3000", "--out", str(folder / "transactions.parquet")])
    stages.main(["validate", "--transactions", str(folder / "transactions.parquet"),
                 "--out", str(folder / "validated")])
    run_features(folder / "validated", folder / "features")
    return folder


def run_features(validated: Path, out: Path) -> None:
    """In a process of its own: it ends its Spark session, and other tests need theirs."""
    subprocess.run([sys.executable, "-m", "fraud.training.stages", "features",
                    "--validated", validated, "--out", out],
                   check=True, cwd=ROOT)


@pytest.fixture(scope="module")
def prepared(folder):
    return msgspec.json.decode((folder / "validated/prepared.json").read_bytes(),
                               type=dataset.Prepared)


def test_what_became_of_the_payments_is_on_record(prepared, folder):
    assert prepared.source == str(folder / "transactions.parquet")
    assert (prepared.rows, prepared.bad) == (3_000, 0)
    assert pq.read_metadata(prepared.transactions).num_rows == 3_000


def test_features_are_those_of_the_flow_in_event_order(prepared, folder, spark, tmp_path):
    ends = splits.borders(prepared.first_time, prepared.last_time, settings.Split(
        train=0.50, early_stopping=0.08, calibration=0.12))
    spark_job.write_features(spark, prepared.feature_table, prepared.transactions, str(tmp_path),
                             ends, prepared.recording_since)
    seen = 0
    for name in splits.NAMES:
        of_stage = pq.read_table(folder / "features" / splits.FOLDER.format(name),
                                 partitioning=None)
        of_flow = pq.read_table(tmp_path / splits.FOLDER.format(name), partitioning=None)
        assert of_stage.equals(of_flow.sort_by("position"))
        assert np.array_equal(of_stage["position"], np.arange(seen, seen + of_stage.num_rows))
        seen += of_stage.num_rows
    assert seen == 3_000


def test_the_same_input_gives_the_same_bytes(folder, tmp_path):
    run_features(folder / "validated", tmp_path / "again")
    files = sorted(path.relative_to(folder / "features")
                   for path in (folder / "features").rglob("*.parquet"))
    assert len(files) == len(splits.NAMES)
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (folder / "features" / file).read_bytes()


def test_what_cannot_be_read_is_one_line(tmp_path, capsys):
    result = run_main(capsys, stages.main, "validate", "--transactions", "none.csv",
                      "--out", tmp_path / "validated")
    assert result.code == 2
    assert result.err.startswith("error: none.csv: no such file; check the path")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"{"])
def test_what_was_not_validated_has_no_features(tmp_path, capsys, content):
    if content:
        (tmp_path / "prepared.json").write_bytes(content)
    result = run_main(capsys, stages.main, "features", "--validated", tmp_path,
                      "--out", tmp_path / "features")
    assert result.code == 2
    assert re.search("prepared.json: .*; run the stage validate", result.err)


def test_data_that_is_acquired_is_what_the_flow_would_simulate():
    assert yaml.safe_load((ROOT / "params.yaml").read_text())["acquire"] == {
        "transactions": "", "rows": simulator.DEFAULT_ROWS, "file": "transactions.parquet",
        "columns": ""}


NO_BYTE_DEPENDS_ON = {f"fraud/{name}.py" for name in (
    "command_line", "errors", "training/errors", "training/java", "training/quiet",
    "training/simulate/__main__")}


def used_by(*modules: str) -> set[str]:
    """Files of the modules, and of those of `fraud` that they import, directly or not."""
    seen, left = set(), [f"{name.replace('.', '/')}.py" for name in modules]
    while left:
        file = left.pop()
        if file not in seen and (ROOT / file).is_file():
            seen.add(file)
            left += [f"{name.replace('.', '/')}.py"
                     for node in ast.walk(ast.parse((ROOT / file).read_text()))
                     if isinstance(node, ast.ImportFrom) and node.module.startswith("fraud")
                     for name in [node.module, *(f"{node.module}.{alias.name}"
                                                 for alias in node.names)]]
    return seen - NO_BYTE_DEPENDS_ON


@pytest.mark.parametrize(("stage", "code"), [
    ("acquire", used_by("fraud.training.simulate.simulator")),
    ("validate", used_by("fraud.training.data.dataset")),
    ("features", used_by("fraud.training.features.spark_job")
        | {"fraud/training/data/periods.py"})])
def test_each_stage_of_dvc_runs_again_where_the_code_that_computes_it_has_changed(stage, code):
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]
    assert {path for path in declared["deps"] if path.startswith("fraud/")} == code
