"""Notebooks: committed without outputs; their results in an execution are correct."""

import importlib
import json
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import nbformat
import pandas as pd
import pyarrow.parquet as pq
import pytest
from metaflow.exception import MetaflowNotFound
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from fraud import bundle
from fraud.brokers import BROKERS
from fraud.clock import HOUR_MS
from fraud.training.registry import publication
from fraud.training.simulate.simulator import START
from tests.flows.running import ROOT, bare_environment

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
SECONDS = 300               # for one cell: enough on a busy machine


class Executed(NamedTuple):
    """The outputs of a notebook, and the values of some expressions at its end."""

    cells: list
    values: dict

    @property
    def text(self) -> str:
        """All text of its outputs."""
        return "\n".join(output.get("text") or output["data"].get("text/markdown", "")
                         for cell in self.cells for output in cell.get("outputs", []))

    @property
    def pictures(self) -> int:
        return sum("image/png" in output.get("data", {})
                   for cell in self.cells for output in cell.get("outputs", []))


def client(name: str, directory: Path, *more: str, **variables: str) -> NotebookClient:
    """Return the client of a notebook in a project folder, with variables of its first cell set."""
    shutil.copytree(ROOT / "notebooks", directory / "notebooks", dirs_exist_ok=True)
    notebook = nbformat.read(directory / f"notebooks/{name}.ipynb", 4)
    first = notebook.cells[1]
    for variable, value in variables.items():
        assert first.source.count(f"{variable} = None ") == 1
        first.source = first.source.replace(f"{variable} = None ", f"{variable} = {value!r} ")
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in more]
    return NotebookClient(notebook, timeout=SECONDS, kernel_name="python3",
                          resources={"metadata": {"path": str(directory / "notebooks")}})


def environment() -> dict[str, str]:
    """Return this environment without a broker, with the project's programs."""
    kept = {name: value for name, value in bare_environment().items()
            if name != BROKERS and not name.startswith("FRAUD_") or name == "FRAUD_CACHE"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def execute(name: str, directory: Path, expressions: list[str], **variables: str) -> Executed:
    """Execute a notebook as JupyterLab would, and return the values of expressions at its end."""
    values = ", ".join(f"{expression!r}: {expression}" for expression in expressions)
    executor = client(name, directory, f"import json\nprint(json.dumps({{{values}}}, default=str))",
                      **variables)
    executor.execute(env=environment())
    *cells, last = executor.nb.cells
    return Executed(cells, json.loads(last.outputs[0]["text"]))


def served(directory: Path) -> bundle.Manifest:
    pointer = publication.published(str(directory / "models"))
    return bundle.load(directory / "models" / pointer.folder).manifest


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_is_committed_without_outputs(path):
    notebook = nbformat.read(path, 4)
    assert notebook.metadata.kernelspec.name == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and all(cell.outputs == [] and cell.execution_count is None for cell in code)


def test_there_are_four():
    assert NAMES == ["01_transactions", "02_inspect_run", "03_thresholds", "04_stream"]


@pytest.mark.system
@pytest.mark.parametrize("name", NAMES)
def test_before_anything_is_trained_one_line_names_the_command(name, tmp_path):
    executor = client(name, tmp_path)
    with pytest.raises(CellExecutionError):
        executor.execute(env=environment())
    [line] = executor.nb.cells[1].outputs[-1].traceback
    assert line.endswith("; run `make train`") and "\n" not in line


@pytest.fixture
def workspace(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "notebooks")
    return importlib.import_module("workspace")


def test_a_run_without_its_files_is_missing_and_the_command_is_named(
        workspace, monkeypatch, tmp_path):
    def find(pathspec):
        return SimpleNamespace(pathspec=pathspec, data=SimpleNamespace(workspace=str(folder)))

    monkeypatch.setattr("metaflow.Run", find)
    folder = tmp_path / "removed"
    with pytest.raises(workspace.Missing, match="files of the run .*; run `make train`$"):
        workspace.find_run("TrainFlow/1")
    folder.mkdir()
    assert workspace.find_run("TrainFlow/1").pathspec == "TrainFlow/1"


def test_a_run_that_does_not_exist_is_missing_and_the_command_is_named(workspace, monkeypatch):
    def find(pathspec):
        raise MetaflowNotFound(pathspec)

    monkeypatch.setattr("metaflow.Run", find)
    with pytest.raises(workspace.Missing, match="run TrainFlow/1 is not in .*; run `make train`"):
        workspace.find_run("TrainFlow/1")


@pytest.mark.system
def test_transactions_counts_frauds_and_shows_that_balances_after_the_payment_leak_labels(
        trained, payments):
    flow, _ = trained
    table = pq.read_table(payments, columns=["is_fraud", "incident_id", "fraud_type"]).to_pandas()
    frauds = table[table["is_fraud"] == 1]
    shown = execute("01_transactions", flow.directory, [
        "int(len(frauds))", "len(incidents)", "kinds['payments'].to_dict()",
        "rules['recall'].to_list()", "rules['precision'].to_list()"])
    count, of_incidents, kinds, recall, precision = shown.values.values()
    assert (count, of_incidents) == (len(frauds), frauds["incident_id"].nunique())
    assert kinds == frauds["fraud_type"].value_counts().to_dict()
    assert recall[0] == precision[0] == 1.0 > recall[1]
    assert f"{len(frauds):,} of {len(table):,} payments are fraud" in shown.text
    assert "these are computed for a bank that cancels fraud" in shown.text
    assert shown.pictures == 4


def paysim(payments: Path) -> pd.DataFrame:
    """Simulated payments in PaySim's columns; one fraud in two was cancelled."""
    table = pd.read_parquet(payments)
    cancelled = (table["is_fraud"] == 1) & ((table.index % 2 == 0) | (table["type"] != "TRANSFER"))
    arrived = table["destination_balance"] + table["amount"]
    return pd.DataFrame({
        "step": (table["event_time"] - START) // HOUR_MS + 1, "type": table["type"],
        "amount": table["amount"], "nameOrig": table["origin"],
        "oldbalanceOrg": table["origin_balance"],
        "newbalanceOrig": table["origin_balance"] - table["amount"],
        "nameDest": table["destination"], "oldbalanceDest": table["destination_balance"],
        "newbalanceDest": arrived.mask(cancelled, table["destination_balance"]).round(2),
        "isFraud": table["is_fraud"], "isFlaggedFraud": 0})


@pytest.mark.system
def test_transactions_reads_balances_after_the_payment_from_a_file_that_has_them(
        payments, tmp_path):
    table = paysim(payments)
    table.to_csv(tmp_path / "paysim.csv", index=False)
    frauds = table[(table["isFraud"] == 1) & (table["type"] == "TRANSFER")]
    cancelled = (frauds["newbalanceDest"] == frauds["oldbalanceDest"]).mean()
    shown = execute("01_transactions", tmp_path, ["float(rules['recall'].iloc[0])"],
                    PAYMENTS=str(tmp_path / "paysim.csv"))
    assert list(shown.values.values()) == [pytest.approx(cancelled)] and 0.3 < cancelled < 0.7
    assert "Balances after the payment are those of the file." in shown.text
    assert "This file has no fraud types." in shown.text


@pytest.mark.system
def test_inspect_run_names_the_champion_and_links_to_the_registry_and_back(trained):
    flow, _ = trained
    manifest = served(flow.directory)
    shown = execute("02_inspect_run", flow.directory, [
        "selected", "run.pathspec", "back.pathspec", "serving.version",
        "float(validation.loc[selected, 'f1'])", "list(steps.index)",
        "int(version.number)", "version.tags['data_digest']"])
    selected, run, back, version, f1, steps, registered, digest = shown.values.values()
    assert selected == manifest.framework and version == manifest.version == str(registered)
    assert run == back == manifest.metaflow_run
    assert f1 == pytest.approx(manifest.model.metrics["validation_f1"])
    assert steps[0] == "start" and steps[-1] == "end" and len(steps) == 9
    assert digest == manifest.data_digest
    assert "The gate's decision: promoted" in shown.text and "findings: none" in shown.text
    cards = [output for cell in shown.cells for output in cell.get("outputs", [])
             if "Final test: " in str(output.get("data", {}).get("text/html"))
             or "MF_DATA__" in str(output.get("data", {}).get("text/html"))]
    assert len(cards) == 1 and shown.pictures == 4


@pytest.mark.system
def test_thresholds_agrees_with_the_flow_and_measures_another_policy(trained):
    flow, _ = trained
    with sqlite3.connect(flow.directory / "mlflow.db") as connection:
        [[reported]] = connection.execute(
            "select value from model_version_tags where key = 'test_f1' and version = ?",
            [served(flow.directory).version]).fetchall()
    shown = execute("03_thresholds", flow.directory, [
        "float(f1)", "len(labelled)", "int(sum(run.reports[run.selected].confusion))",
        "float((before == labelled['decision']).mean())", "int((before != then).sum())",
        "float(compared.loc[('then', 'review or decline'), 'alerts a day'])", "BUDGET",
        "serves.policy.version", "serves.policy.model == changed.model"])
    f1, count, in_test, kept, changes, alerts, budget, version, same = shown.values.values()
    assert f1 == pytest.approx(float(reported), abs=2e-6)
    assert count == in_test
    assert kept == 1.0 and changes > 0
    assert 0 < alerts <= budget
    assert version.endswith("-half") and same
    assert "the model is the same: True" in shown.text
    assert "reproduces 100.0% of the decisions in the log" in shown.text
    assert shown.pictures == 2


@pytest.mark.system
def test_stream_has_a_decision_or_a_dead_letter_for_each_message(trained):
    flow, _ = trained
    shown = execute("04_stream", flow.directory, [
        "len(sent)", "len(answers)", "len(dead)", "len(once)", "int(again.sum())",
        "int((marked & again).sum())", "int((twice['value'] == twice['value_first']).sum())",
        "sorted(set(letters['reason']))", "sorted(set(once['history']))"])
    sent, answers, dead, once, again, marked, same, reasons, history = shown.values.values()
    assert answers == 6_000 + 300 and once == 6_000
    assert sent == answers + dead and dead > 0
    assert again == marked == same == 300
    assert "bad-key" in reasons and history == ["partial", "short"]
    assert "all programs of this notebook have ended" in shown.text
    assert shown.pictures == 3
