import subprocess
import sys

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fraud import clock
from monitoring import retraining, settings
from monitoring.drift import Column, Drift
from monitoring.performance import Measured, Performance
from monitoring.report import Period, Report
from monitoring.settings import RetrainingTriggers
from tests.monitoring.test_rules import ALERTS
from tests.tools import ROOT, exit_code

DAY = clock.DAY_MS
NOW = 1_000 * DAY
POLICY = RetrainingTriggers(drift_share=0.1, f1_fall=0.1, max_age_days=30)


def column(name: str, drifted: bool) -> Column:
    return Column(name, 0.5, 0.03, 0.0, 0.0, drifted)


def measured(f1: float) -> Measured:
    return Measured(1000, 100, f1, f1 - 0.02, f1 + 0.02, 1, 1, 0, 0, 0, 0, None, 0, None)


def report(drifted: int = 0, f1: float | None = None, why: str = "") -> Report:
    """A report of ten columns and the score, which drifted."""
    columns = [column("score", True), *(column(f"c{number}", number < drifted)
                                        for number in range(10))]
    period = Period("a", "1", 1, 0, 0, {})
    performance = None if f1 is None else Performance(measured(f1), measured(0.8), 1, 0)
    return Report(0, period, period, Drift(1, 1, [] if why else columns, [], why), performance, {},
                  0, [])


@pytest.mark.parametrize(("found", "trained_at", "due"), [
    (report(), NOW - 29 * DAY, []),
    (report(drifted=1), NOW, []),
    (report(drifted=2), NOW, ["20% of the columns drifted, first c0"]),
    (report(why="few"), NOW, []),
    (report(f1=0.69), NOW, []),                 # lower, but perhaps by chance
    (report(f1=0.67), NOW, ["F1 fell by at least 0.110"]),
    (report(), NOW - 31 * DAY, ["the champion is 31 days old"]),
    (report(), 0, []),                          # its bundle does not say when it was trained
    (report(drifted=5, f1=0.1), NOW - 90 * DAY, [
        "50% of the columns drifted, first c0", "F1 fell by at least 0.680",
        "the champion is 90 days old"])])
def test_it_is_due_for_drift_for_worse_decisions_and_for_age(found, trained_at, due):
    assert retraining.reasons(found, trained_at, NOW, POLICY) == due


def test_policy_and_alerts_agree():
    policy = settings.read_settings(settings.FOLDER / "retraining.toml", RetrainingTriggers)
    assert f"> {policy.max_age_days:g} * 86400" in ALERTS["FraudModelOld"]["expr"]
    assert f"- {policy.f1_fall:g}" in ALERTS["FraudPerformanceFell"]["expr"]


# The command.

@pytest.fixture
def run(tmp_path, make_bundle, monkeypatch):
    """Runs the command with a flow that writes its arguments; gives code and arguments."""
    make_bundle(tmp_path / "bundle")
    monkeypatch.setenv("FRAUD_MODEL", str(tmp_path / "bundle"))

    def run(found: Report, *arguments: str, flow_fails: bool = False):
        (tmp_path / "report.json").write_bytes(msgspec.json.encode(found))
        (tmp_path / "flow.py").write_text(
            "import sys\nfrom pathlib import Path\n"
            f"Path({str(tmp_path / 'arguments')!r}).write_text('|'.join(sys.argv[1:]))\n"
            f"sys.exit({int(flow_fails)})")
        monkeypatch.setattr(retraining, "FLOW", tmp_path / "flow.py")
        code = exit_code(retraining.main, "--report", tmp_path / "report.json", *arguments)
        passed = tmp_path / "arguments"
        return code, passed.read_text().split("|") if passed.exists() else None

    return run


def test_what_is_not_due_is_not_done(run, tmp_path, capsys):
    assert run(report(), "--transactions", str(tmp_path / "absent")) == (0, None)
    assert capsys.readouterr().out == "no retraining is due\n"


def test_with_check_it_only_says(run, capsys):
    assert run(report(), "--check") == (0, None)
    assert run(report(drifted=3), "--check") == (3, None)
    assert "a retraining is due: 30% of the columns drifted, first c0" in capsys.readouterr().out


@pytest.mark.parametrize("fails", [False, True])
def test_the_flow_is_run_on_known_payments_with_the_reason(run, tmp_path, fails):
    known = tmp_path / "training.parquet"
    known.touch()
    code, passed = run(report(drifted=3), "--transactions", str(known), "--flow-settings",
                       "new.toml", flow_fails=fails)
    assert (code, passed) == (int(fails), [
        "--config", "settings", "new.toml", "run", "--transactions", str(known), "--reason",
        "30% of the columns drifted, first c0"])
    [failed] = [family.samples[0].value for family in text_string_to_metric_families(
        (tmp_path / "retraining.prom").read_text()) if family.name == "fraud_retraining_failed"]
    assert failed == fails


def test_the_flow_takes_these_options():
    help_of_run = subprocess.run(
        [sys.executable, retraining.FLOW, "--config", "settings",
         retraining.FLOW.with_suffix(".toml"), "run", "--help"], capture_output=True, text=True,
        cwd=ROOT, check=True).stdout
    assert "--transactions" in help_of_run and "--reason" in help_of_run


@pytest.mark.parametrize(("arguments", "message"), [
    (["--transactions", "absent"], "error: absent: is not a file; make it with"),
    (["--check", "--triggers", "absent.toml"], "error: absent.toml:")])
def test_what_cannot_be_done_is_one_line(run, capsys, arguments, message):
    assert run(report(drifted=3), *arguments) == (2, None)
    assert capsys.readouterr().err.startswith(message)
