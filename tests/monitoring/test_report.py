import json
import re
import shutil

import msgspec
import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fraud import bundle
from fraud.feature_definitions import MONTH
from fraud.features import DEFAULT
from fraud.training.errors import TrainingError
from monitoring import report
from tests.monitoring.conftest import DAY, START, Month, write_log
from tests.tools import run_main


def moved(month: Month, first: int, last: int, factor: float = 1.0):
    """Decisions of some days with other amounts."""
    position = DEFAULT.names.index("amount")
    return [msgspec.structs.replace(
        decision, amount_cents=round(decision.amount_cents * factor),
        features=[*decision.features[:position], decision.features[position] * factor,
                  *decision.features[position + 1:]]
        if len(decision.features) == len(DEFAULT.names) else decision.features)
        for decision in month.days(first, last)]


@pytest.fixture(scope="module")
def made(month, tmp_path_factory):
    """Reports by the command: of a week like the one before, of one with higher amounts."""
    directory = tmp_path_factory.mktemp("reports")
    write_log(month.days(7, 14), directory / "reference.jsonl")
    labels = month.labels.assign(is_fraud=_frauds(month))
    labels.to_parquet(directory / "labels.parquet")

    def make(name: str, decisions, *arguments: str):
        write_log(decisions, directory / f"{name}.jsonl")
        report.main(["--reference", str(directory / "reference.jsonl"), "--decisions",
                     str(directory / f"{name}.jsonl"), "--out", str(directory / name),
                     *arguments])
        return directory / name

    make.labels = ("--labels", str(directory / "labels.parquet"))
    return make


def _frauds(month: Month) -> pd.Series:
    """Frauds enough to measure: declined payments are, and so is one payment in two hundred."""
    declined = {decision.transaction_id for decision in month.decisions
                if decision.decision == "decline"}
    chance = np.random.default_rng(7).random(len(month.labels)) < 0.005
    return (month.labels["transaction_id"].isin(declined) | chance).astype(int)


@pytest.fixture(scope="module")
def like(made, month):
    return made("like", moved(month, 14, 21), *made.labels)


@pytest.fixture(scope="module")
def higher(made, month):
    return made("higher", moved(month, 14, 21, 1.3), "--as-of", "2024-01-01", *made.labels)


def exposed(directory) -> dict[str, dict]:
    """The metrics of a report: values by label values."""
    text = (directory / "report.prom").read_text()
    return {family.name: {tuple(sample.labels.values()): sample.value
                          for sample in family.samples}
            for family in text_string_to_metric_families(text)}


def test_a_week_like_the_one_before_is_no_alarm(like):
    found = report.load_report(like / "report.json")
    assert found.drifted == [] and not found.drift.why
    assert "Drift      none of 71 columns" in report.summary(found)
    metrics = exposed(like)
    assert metrics["fraud_drift_share"] == {(): 0}
    assert set(metrics["fraud_drift_detected"].values()) == {0}
    assert metrics["fraud_report_enough_data"] == {("drift",): 1, ("performance",): 1}


def test_performance_is_that_of_labelled_payments(like, month):
    found = report.load_report(like / "report.json").performance
    assert found.labelled_share == 1 and found.unlabelled_share == 0
    assert found.current.precision == 1 and 0 < found.current.recall < 1
    assert found.reference is None, "a log has no labels"
    metrics = exposed(like)
    assert metrics["fraud_performance"][("f1", "current")] == pytest.approx(found.current.f1)
    assert metrics["fraud_money"][("stopped", "current")] == found.current.money_stopped


def test_days_add_up_to_the_measurements(like, month):
    found = report.load_report(like / "report.json")
    current = found.performance.current
    assert [day.start for day in found.days] == [START + day * DAY for day in range(14, 21)]
    assert sum(day.payments for day in found.days) == found.current.payments
    assert sum(day.frauds for day in found.days) == current.frauds
    assert sum(day.incidents_stopped for day in found.days) == current.incidents_stopped > 0
    assert sum(day.money_missed for day in found.days) == pytest.approx(current.money_missed)


def test_the_alert_budget_is_given_or_that_of_the_champion(
        made, month, bundle_directory, tmp_path, monkeypatch):
    def budget(name: str, *arguments: str) -> float:
        directory = made(name, month.days(14, 15), *arguments)
        return report.load_report(directory / "report.json").alert_budget

    monkeypatch.setenv("FRAUD_MODEL", str(tmp_path / "absent"))
    assert budget("unknown") == 0
    shutil.copytree(bundle_directory, tmp_path / "bundle")
    policy = tmp_path / "bundle" / bundle.POLICY_FILE
    policy.write_bytes(msgspec.json.encode(msgspec.structs.replace(
        msgspec.json.decode(policy.read_bytes(), type=bundle.Policy), alerts_per_day=120)))
    monkeypatch.setenv("FRAUD_MODEL", str(tmp_path / "bundle"))
    assert budget("served") == 120
    assert budget("given", "--alert-budget", "80") == 80


def test_higher_amounts_are_an_alarm(higher):
    found = report.load_report(higher / "report.json")
    assert "amount" in found.drifted
    assert re.search(r"amount: \d+\.\d% of the payments moved", report.summary(found))
    metrics = exposed(higher)
    assert metrics["fraud_drift_detected"][("amount",)] == 1
    assert metrics["fraud_drift_share"][()] == found.drift.share > 0


def test_labels_that_were_not_known_by_then_are_not_used(higher):
    found = report.load_report(higher / "report.json")
    assert found.performance.why == "0 payments are labelled; 1,000 are needed"
    assert found.performance.current is None and found.labels["payments decided only later"] > 0
    assert "Labels     not enough data: 0 payments are labelled" in report.summary(found)
    metrics = exposed(higher)
    assert metrics.get("fraud_performance", {}) == {}, "the unknown is not reported as zero"
    assert metrics["fraud_report_enough_data"][("performance",)] == 0
    assert not (higher / "performance.html").exists()


@pytest.mark.parametrize("name", ["report.html", "performance.html"])
def test_pages_hold_all_they_need(like, name):
    page = (like / name).read_text()
    assert "Drift      none of 71 columns" in page
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?:", page)


def test_the_page_of_drift_begins_with_a_table_of_all_columns(higher):
    found, page = report.load_report(higher / "report.json"), (higher / "report.html").read_text()
    table = page[:page.index("Distributions of each column")]
    assert re.findall(r"<tr><td>(\w+)</td>", table) == [
        column.name for column in found.drift.columns]
    assert table.count(">reported<") == len(found.drifted) > 0


def test_details_have_dates_on_their_axes(higher):
    data = (higher / "report.html").read_text().partition("<script>var global")[0]
    assert "Index binned" not in data
    assert "2024-01-18T" in data


def test_no_page_shows_accuracy(like):
    results = (like / "performance.html").read_text().partition("<script>var global")[0]
    assert "Money of fraud by day" in results and "Precision" in results
    assert "accuracy" not in results.lower()


def test_the_details_show_all_results_and_nothing_else(higher):
    found, page = report.load_report(higher / "report.json"), (higher / "report.html").read_text()
    results = set(re.findall(r"Data drift (detected|not detected)", page))
    assert results == {"detected", "not detected"}
    assert len(re.findall(r"Data drift detected", page)) == len(found.drifted)
    unknown = {feature.name for feature in DEFAULT.features if feature.windows == MONTH}
    for column in found.drift.columns:
        is_shown = f"Drift in column '{column.name}'" in page
        assert is_shown == (column.name not in unknown), column.name


def test_too_little_data_is_said_on_every_page(made, month):
    directory = made("few", moved(month, 14, 21)[:1000])
    found = report.load_report(directory / "report.json")
    assert found.drift.columns == [] and "2,000 are needed" in found.drift.why
    assert found.performance is None
    assert "not enough data" in (directory / "report.html").read_text()
    assert "fraud_drift_share" not in exposed(directory)
    assert exposed(directory)["fraud_report_enough_data"] == {("drift",): 0, ("performance",): 0}


def test_no_decisions_at_all_are_too_little(made, capsys):
    directory = made("none", [])
    assert "Decisions  no payments in" in capsys.readouterr().out
    assert report.load_report(directory / "report.json").current.payments == 0


@pytest.mark.parametrize(("arguments", "message"), [
    (["--reference", "absent.parquet"], "error: absent.parquet: cannot be read"),
    (["--decisions", "absent.jsonl"], "error: absent.jsonl: cannot be read"),
    (["--labels", "absent.csv"], "error: absent.csv: cannot be read"),
    (["--settings", "absent.toml"], "error: absent.toml: "),
    (["--out", "/proc/report"], "error: /proc/report: cannot be written to")])
def test_what_cannot_be_done_is_one_line(
        tmp_path, month, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    write_log(month.days(10, 11), tmp_path / "log.jsonl")
    result = run_main(capsys, report.main, "--reference", "log.jsonl", "--decisions", "log.jsonl",
                      "--out", "out", *arguments)
    assert result.code == 2
    assert result.err.startswith(message) and result.err.count("\n") == 1


@pytest.mark.parametrize("text", ["-1", "0", "nan", "inf", "many"])
def test_a_budget_that_is_no_number_of_alerts_is_refused(capsys, text):
    result = run_main(capsys, report.main, "--reference", "r", "--decisions", "d", "--out", "o",
                      "--alert-budget", text)
    assert result.code == 2
    assert re.search(f"argument --alert-budget: .*{text}", result.err)


def test_what_is_no_report_is_refused(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"made_at": 1}))
    with pytest.raises(TrainingError, match="report.json: is not a report"):
        report.load_report(tmp_path / "report.json")
