"""The flow as a user runs it: once whole, and with each input that it must refuse."""

import base64
import json
import re
import shutil
import sqlite3
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fraud import bundle
from fraud.champion import Champion
from fraud.features import DEFAULT
from fraud.training.registry import reference
from fraud.training.simulate import simulator
from tests.flows.running import ROOT, SETTINGS, Flow, written

PAYSIM = ROOT.parent / "shared/data/paysim-head.csv"


UNTOUCHED = ([[], [], []], {})


def registry_of(flow: Flow) -> tuple:
    """All that registration could change in a directory: versions, aliases, published files."""
    database, published = flow.directory / "mlflow.db", flow.directory / "models"
    rows = [[], [], []]
    if database.exists():
        with sqlite3.connect(database) as connection:
            rows = [connection.execute(f"select * from {table}").fetchall() for table in (
                "model_versions", "registered_model_aliases", "model_version_tags")]
    return rows, {path: path.read_bytes() for path in published.rglob("*") if path.is_file()}


def frauds_in(payments: Path) -> tuple[int, int]:
    """The numbers of frauds and of incidents in a file of payments."""
    table = pq.read_table(payments, columns=["is_fraud", "incident_id"])
    return pc.sum(table["is_fraud"]).as_py(), pc.count_distinct(table["incident_id"]).as_py()


def card(flow: Flow, step: str) -> str:
    """The content of a step's card, which its page holds in base64."""
    result = flow("card", "get", step, settings=None)
    assert result.returncode == 0, result.stderr
    (content,) = re.findall(r'MF_DATA__\["[^"]*"\] = "([^"]*)"', result.stdout)
    return base64.b64decode(content).decode()


def client_run(flow: Flow, monkeypatch):
    import metaflow

    monkeypatch.setenv("METAFLOW_DATASTORE_SYSROOT_LOCAL", str(flow.directory))
    metaflow.namespace(None)
    metaflow.metadata(f"local@{flow.directory}")
    return metaflow.Flow("TrainFlow").latest_successful_run


def served(flow: Flow) -> bundle.Bundle:
    """The champion that a flow published."""
    return Champion(str(flow.directory / "models")).bundle


# A whole run.

def test_the_last_screen_has_data_candidates_decision_and_next_commands(
        trained, payments):
    _, screen = trained
    frauds, _ = frauds_in(payments)
    for part in (f"60,000 payments, {frauds} of them fraud, 0 rows in quarantine",
                 "xgboost model:", "xgboost fallback:", "tensorflow model:", "tensorflow fallback:",
                 "for the higher F1 in validation", "version 1 is promoted",
                 "there is no champion yet", "python -m fraud.training.registry show 1"):
        assert part in screen


def test_the_screen_is_tidy(trained):
    _, screen = trained
    for chatter in ("WARNING", "WARN ", "I0000", "log4j", "it/s", "Epoch", "Traceback"):
        assert chatter not in screen
    assert len(screen.splitlines()) < 90


def test_what_is_published_is_the_champion_and_can_be_served(trained):
    flow, _ = trained
    pointer = json.loads((flow.directory / "models/champion.json").read_text())
    loaded = bundle.load(flow.directory / "models" / pointer["folder"], pointer["sha256"])
    assert loaded.manifest.version == "1"
    assert loaded.model.features == DEFAULT.names
    assert loaded.fallback.features == DEFAULT.fallback_names
    assert loaded.manifest.model.metrics["validation_f1"] > 0.2
    row = np.zeros((1, len(DEFAULT.names)), np.float32)
    assert 0 <= loaded.model.scores(row)[0] <= 1


def test_the_champion_has_the_higher_validation_f1(trained, monkeypatch):
    flow, _ = trained
    data = client_run(flow, monkeypatch).data
    f1 = {name: candidate.metrics["validation_f1"] for name, candidate in data.candidates.items()}
    assert set(f1) == {"xgboost", "tensorflow"}
    assert f1[data.selected] == max(f1.values())


def test_lineage_leads_from_the_served_bundle_to_data_code_and_runs(trained, payments, monkeypatch):
    flow, _ = trained
    manifest = served(flow).manifest
    assert manifest.data_digest == bundle.sha256(payments.read_bytes())
    assert len(manifest.git_commit.removesuffix("-dirty")) == 40
    assert manifest.metaflow_run == client_run(flow, monkeypatch).pathspec
    shown = flow.python("-m", "fraud.training.registry", "show", "1").stdout
    for value in (manifest.data_digest, manifest.git_commit, manifest.metaflow_run,
                  manifest.mlflow_run):
        assert value in shown


def test_what_the_champion_saw_in_validation_is_kept_for_monitoring(trained):
    flow, _ = trained
    result = flow.python("-m", "fraud.training.registry", "reference",
                         "--out", "monitored")
    assert result.returncode == 0, result.stderr
    kept = pq.read_table(flow.directory / "monitored/reference.parquet")
    assert kept.schema.metadata[reference.VERSION] == b"1"
    [features] = flow.directory.glob("data/runs/*/features")
    parts = [pq.read_table(features / f"split={name}", partitioning=None)
             for name in ("early_stopping", "calibration")]
    amounts = np.concatenate([part["amount"].to_numpy() for part in parts])
    assert np.isin(kept["amount"].to_numpy().astype(np.float32), amounts).all()
    assert len(parts[0]) < kept.num_rows <= len(amounts)
    (published,) = flow.directory.glob("models/fraud-detector-1-*")
    manifest = bundle.load(published).manifest
    flagged = pc.equal(kept["decision"], "decline").to_numpy()
    fraud = kept["is_fraud"].to_numpy() == 1
    f1 = 2 * (flagged & fraud).sum() / (flagged.sum() + fraud.sum())
    assert f1 == pytest.approx(manifest.model.metrics["validation_f1"])


def test_a_bundle_says_when_its_training_began(trained):
    flow, _ = trained
    manifest = served(flow).manifest
    assert 0 < time.time() - manifest.trained_at / 1_000 < 3_600


def test_mlflow_has_a_run_with_a_child_for_each_candidate(trained):
    import mlflow

    flow, _ = trained
    client = mlflow.MlflowClient(f"sqlite:///{flow.directory / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fraud-detection")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = {run.info.run_name: run for run in runs if run is not parent}
    assert set(children) == {"xgboost", "tensorflow"}
    assert {run.info.status for run in runs} == {"FINISHED"}
    for child in children.values():
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        for metric in ("f1", "precision", "recall", "auprc", "roc_auc", "brier"):
            assert {f"validation_{metric}", f"test_{metric}"} <= set(child.data.metrics)
        assert len(client.get_metric_history(child.info.run_id, "early_stopping_logloss")) > 1
    assert children["xgboost"].data.params["rounds"] == "40"
    assert parent.data.params["split.train"] == "0.5"
    assert parent.data.tags["data_digest"]
    for child in children.values():
        assert parent.info.start_time <= child.info.start_time < child.info.end_time
        assert child.info.end_time < parent.info.end_time
    figures = {Path(file.path).stem for file in client.list_artifacts(
        parent.info.run_id, "figures")}
    assert {"gain", "calibration", "learning-xgboost", "learning-tensorflow"} <= figures
    assert client.get_model_version("fraud-detector", "1").description.startswith("# Model card")


@pytest.mark.parametrize(("framework", "tolerance"), [("xgboost", 1e-5), ("tensorflow", 1e-5)])
def test_the_native_models_in_mlflow_say_what_the_bundle_says(trained, framework, tolerance):
    import mlflow

    from fraud.training.models import candidate

    flow, _ = trained
    mlflow.set_tracking_uri(f"sqlite:///{flow.directory / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("fraud-detection")
    (run,) = client.search_runs([experiment.experiment_id],
                                f"attributes.run_name = '{framework}'")
    (model,) = [model for model in client.search_logged_models([experiment.experiment_id])
                if model.source_run_id == run.info.run_id and model.name == "native"]
    (parts,) = flow.directory.glob("data/runs/*/features/split=test")
    table = pq.read_table(parts, partitioning=None)
    rows = np.column_stack([table[name] for name in DEFAULT.names])[:2_000]
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    named = pd.DataFrame(rows, columns=DEFAULT.names)
    native = loaded.predict(named if framework == "xgboost" else rows).reshape(-1)
    onnx = client.download_artifacts(run.info.run_id, "onnx/model.onnx")
    logits = candidate.onnx_logits(Path(onnx).read_bytes())(rows)
    expected = 1 / (1 + np.exp(-logits)) if framework == "xgboost" else logits
    np.testing.assert_allclose(native, expected, rtol=tolerance, atol=tolerance)
    assert loaded.metadata.metadata["features"] == list(DEFAULT.names)
    assert loaded.predict(loaded.input_example).shape[0] == 1
    if framework == "xgboost":
        assert loaded.metadata.signature.inputs.input_names() == list(DEFAULT.names)


@pytest.mark.parametrize(("step", "words", "pictures"), [
    ("start", ["# Data", "in {1} incidents", "{0} in"], 0),
    ("train_xgboost", ["xgboost", "fallback"], 1),
    ("train_tensorflow", ["tensorflow", "fallback"], 1),
    ("select", ["is selected", "(selected)"], 0),
    ("audit", ["Nothing leaks", "one feature: "], 0),
    ("final_test", ["promoted", "95 % interval", "money stopped", "Model card: ",
                    "was used once; ", "By kind of fraud", "alerts of the budget"], 8)])
def test_each_card_shows_what_its_step_found(trained, payments, step, words, pictures):
    content = card(trained[0], step)
    for word in words:
        assert word.format(*frauds_in(payments)) in content
    assert content.count("data:image/png;base64,") == pictures


def test_the_same_data_gives_the_same_metrics_and_an_equal_candidate_is_promoted(
        trained, payments, tmp_path):
    first, _ = trained
    flow = Flow(tmp_path / "again")
    shutil.copytree(first.directory, flow.directory, ignore=shutil.ignore_patterns("data"))
    before = flow.python("-m", "fraud.training.registry", "show", "1").stdout
    result = flow("run", "--transactions", str(payments))
    assert "version 2 is promoted" in written(result)
    assert ("not worse than champion 1 by more than 0.02: F1 +0.0000 and at least +0.0000"
            in written(result))
    assert "This test period was used 2 times; " in card(flow, "final_test")
    after = flow.python("-m", "fraud.training.registry", "show", "2").stdout
    measured = [[line for line in text.splitlines() if line.startswith("test_")]
                for text in (before, after)]
    assert measured[0] == measured[1] and len(measured[0]) >= 6


# What it refuses. tests/fraud/training/data/test_readers.py has the files that cannot be read,
# tests/fraud/training/test_acquire.py the flags that exclude each other.


def saved(directory: Path, name: str, content: bytes) -> list[str]:
    (directory / name).write_bytes(content)
    return ["--transactions", name]


def one_class(directory: Path, payments: Path) -> list[str]:
    table = pq.read_table(payments)
    pq.write_table(table.filter(pc.equal(table["is_fraud"], 0)), directory / "one.parquet")
    return ["--transactions", "one.parquet"]


HEADER = (b"step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,"
          b"newbalanceDest,isFraud,isFlaggedFraud\n")
REFUSED = {
    "a missing file": (lambda directory, payments: ["--transactions", "absent.csv"],
                       "absent.csv: no such file"),
    "one class only": (one_class, "the train period has no fraud among its "),
    "all rows bad": (
        lambda directory, payments: saved(
            directory, "bad.csv", HEADER + b"1,WIRE,1,C1,1,0,C2,0,0,0,0\n" * 9),
        "bad.csv: 9 of 9 rows are invalid (unknown-type 9)"),
    "a data folder that cannot be written to": (
        lambda directory, payments: ["--transactions", str(payments), "--data-dir", "/proc/data"],
        "/proc/data"),
    "a sample of nothing": (
        lambda directory, payments: ["--transactions", str(payments), "--sample", "0"],
        "sample is 0.0"),
    "a negative search": (
        lambda directory, payments: ["--transactions", str(payments), "--tune", "-1"],
        "--tune -1 is negative: give the number of trials"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_clear_line_and_the_registry_stays(flow, payments, case):
    make, message = REFUSED[case]
    result = flow("run", *make(flow.directory, payments))
    lines = written(result).splitlines()
    assert result.returncode != 0
    assert len([line for line in lines if message in line]) == 1
    assert "Traceback" not in written(result)
    assert registry_of(flow) == UNTOUCHED


def test_without_java_it_says_how_to_install_it(flow, payments):
    result = flow("run", "--transactions", str(payments), PATH="/nowhere", JAVA_HOME="")
    assert result.returncode != 0
    assert "Java is missing and Spark needs 17 or newer; install it: apt-get" in written(result)
    assert "Traceback" not in written(result)


def test_a_misspelt_setting_is_named(flow, payments, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(Path(ROOT / "flows/train_flow.toml").read_text().replace(
        "max_depth", "max_deepth"))
    result = flow("run", "--transactions", str(payments), settings=settings)
    assert result.returncode != 0
    assert "max_deepth" in written(result) and "Traceback" not in written(result)


# At full size.

@pytest.mark.system
@pytest.mark.skipif(not PAYSIM.exists(), reason=f"{PAYSIM} is absent: not part of the project")
def test_on_rows_of_paysim_the_champion_reaches_f1_of_098(flow):
    result = flow("run", "--transactions", str(PAYSIM), settings=None)
    assert result.returncode == 0, written(result)
    manifest = served(flow).manifest
    assert f1_of_candidates(flow)[manifest.framework] >= 0.98


def f1_of_candidates(flow: Flow) -> dict[str, float]:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{flow.directory / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("fraud-detection")
    return {run.info.run_name: run.data.metrics["test_f1"]
            for run in client.search_runs([experiment.experiment_id])
            if "mlflow.parentRunId" in run.data.tags}


# Dying.

STEPS = ("start", "features", "audit", "train_xgboost", "train_tensorflow", "select", "final_test",
         "register", "end")
DIES = """
import os, signal, sys
if "step" in sys.orig_argv and sys.orig_argv[sys.orig_argv.index("step") + 1] == {step!r}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.system
def test_a_run_killed_in_each_step_in_turn_resumes_and_registers_once(flow, payments, tmp_path):
    run, resume = ["run", "--transactions", str(payments)], []
    for step in STEPS:
        folder = tmp_path / f"dies-in-{step}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(DIES.format(step=step))
        before = registry_of(flow)
        if step in STEPS[:2]:       # a run that died in its first step has nothing to resume
            result = flow(*run, PYTHONPATH=str(folder))
        else:                       # with the settings of the run that it resumes
            result = flow(*resume, settings=None, PYTHONPATH=str(folder))
        # Left alone, Metaflow resumes what `run` began last, not what was resumed since.
        resume = ["resume", "--origin-run-id", re.search(r"run-id (\d+)", written(result))[1]]
        assert result.returncode != 0
        assert f"Step {step} (task-id" in written(result), written(result)
        if step != "end":           # the step before it registers
            assert registry_of(flow) == before == UNTOUCHED
    result = flow(*resume, settings=None)
    assert result.returncode == 0, written(result)
    assert "version 1 is promoted" in written(result)
    versions, aliases, _ = registry_of(flow)[0]
    assert len(versions) == len(aliases) == 1


@pytest.mark.system
def test_a_reason_that_is_added_after_a_block_lets_the_run_resume_without_new_features(
        flow, tmp_path):
    payments = tmp_path / "payments.parquet"        # without incidents: each fraud is one
    simulator.write(simulator.simulate(150_000, seed=5), payments)
    pq.write_table(pq.read_table(payments).drop_columns(["incident_id"]), payments)
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS.read_text().replace("alone_auprc = 0.9", "alone_auprc = 0.02")
                        .replace("rows = 20_000", "rows = 100_000"))    # enough frauds to judge
    blocked = flow("run", "--transactions", str(payments), settings=settings)
    assert blocked.returncode == 2 and "Step train_xgboost" not in written(blocked)
    features = set(re.findall(r"(\w+) alone reaches an AUPRC", written(blocked)))
    assert features
    reasons = "".join(f'{name} = "known beforehand"\n' for name in sorted(features))
    settings.write_text(settings.read_text().replace(
        "[audit.allowed]\n", f"[audit.allowed]\n{reasons}"))
    killed = tmp_path / "dies"
    killed.mkdir()
    (killed / "sitecustomize.py").write_text(DIES.format(step="train_xgboost"))
    resumed = flow("resume", settings=None, PYTHONPATH=str(killed))
    assert "alone reaches" not in written(resumed)
    assert "Step train_xgboost (task-id" in written(resumed)
    assert "Cloning" in written(resumed)
