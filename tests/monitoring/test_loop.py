"""The whole loop: decided, judged, found worse, trained again, promoted, rolled back."""

import re
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from fraud.training.simulate import simulator
from monitoring.concept_drift import DAY, DAYS, NEW_KIND, drifting_episodes
from tests.flows.running import ROOT, SETTINGS, Flow, bare_environment, written
from tests.serve.running import Server
from tests.stream.running import eventually
from tests.tools import program
from tests.workflow_steps import run_job

pytestmark = pytest.mark.system

FIRST_ROWS, ROWS, BATCH = 110_000, 60_000, 1_000
LABELS = ["transaction_id", "is_fraud", "label_time", "incident_id"]
LATER, DELAY = round(DAYS * DAY), round(3 * DAY)


def next_month(path: Path) -> pd.DataFrame:
    """The month after the one from which the champion learned: fraud goes over to splitting."""
    month = simulator.simulate(ROWS, 9, episodes=partial(drifting_episodes, kind="splitting"))
    new = month.payments.fraud_type == NEW_KIND         # which has no name among the known ones
    simulator.write(month._replace(payments=month.payments._replace(
        fraud_type=np.where(new, 0, month.payments.fraud_type))), path)
    table = pd.read_parquet(path)
    return table.assign(event_time=table["event_time"] + LATER,
                        label_time=table["event_time"] + LATER + DELAY)


def score(server: Server, payments: pd.DataFrame) -> None:
    """Have payments decided, in order of their times."""
    wire = payments.drop(columns=[*LABELS[1:], "fraud_type"]).to_dict("records")
    for first in range(0, len(wire), BATCH):
        lines = b"\n".join(map(msgspec.json.encode, wire[first:first + BATCH]))
        answer = server.session.post(f"{server.url}/v1/score/batch", data=lines, timeout=60,
                                     headers={"Content-Type": "application/x-ndjson"})
        assert answer.status_code == 200, answer.text[:300]


def serves(server: Server, version: str) -> bool:
    return server.get("/v1/model").json()["manifest"]["version"] == version


@pytest.fixture
def home(tmp_path) -> Flow:
    """A directory with a champion, of a month of known frauds. It was validated on a third of them:
    fewer would be too few to be measured against.
    """
    wide = tmp_path / "first.toml"
    wide.write_text(SETTINGS.read_text().replace("train = 0.50", "train = 0.40")
                    .replace("calibration = 0.15", "calibration = 0.35"))
    assert "calibration = 0.35" in wide.read_text()
    flow = Flow(tmp_path)
    first = flow("run", "--rows", str(FIRST_ROWS), settings=wide)
    assert first.returncode == 0, written(first)
    return flow


@pytest.fixture
def server(home):
    server = Server(home.directory, FRAUD_MODEL=str(home.directory / "models"),
                    FRAUD_MODEL_REFRESH_SECONDS="0.2", FRAUD_CLOCK="event", FRAUD_ACCOUNT_KEY="key")
    yield server
    server.stop()


@pytest.fixture
def retrain(home, bucket):
    """Runs the job `retrain` on what lies in the bucket; gives what it writes."""
    for name in (".venv", "requirements.txt", "pyproject.toml"):
        (home.directory / name).symlink_to(ROOT / name)

    line = (f"make -f {ROOT}/Makefile -o .venv/.ready retrain "
            f'ARGS="--flow-settings {SETTINGS}"')
    return lambda: run_job("retrain/retrain", home.directory, {
        "vars.FRAUD_DECISIONS": "s3://models/decisions", "vars.FRAUD_LABELS": "s3://models/labels",
        "vars.FRAUD_MODEL": "models", "vars.MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "secrets.MLFLOW_TRACKING_TOKEN": ""},
        {**bare_environment(), "PYTHONPATH": str(ROOT)}, {"make retrain": line})


def test_a_champion_that_got_worse_is_replaced_and_restored(home, server, retrain, bucket):
    program("aws")

    def registry(*arguments: str) -> str:
        result = home.python("-m", "fraud.training.registry", *arguments)
        assert result.returncode == 0, written(result)
        return written(result)

    month = next_month(home.directory / "month.parquet")
    score(server, month)
    month[LABELS].to_csv(home.directory / "labels.csv", index=False)
    bucket.upload_file(server.decisions, "models", "decisions/2024/02.jsonl")
    bucket.upload_file(home.directory / "labels.csv", "models", "labels/2024-02.csv")

    output = retrain()
    assert "a retraining is due" in output and "F1 fell by at least" in output
    found = (home.directory / "monitored/report/retraining.prom").read_text()
    assert re.search(r"^fraud_retraining_failed 0", found, re.MULTILINE)
    kept = registry("show", "2")
    assert "not worse than champion 1 by more than 0.02" in kept
    assert re.search(r"^started_because +.*F1 fell by at least", kept, re.MULTILINE)
    eventually(lambda: serves(server, "2"))

    registry("rollback", "--reason", "alarms tripled")
    eventually(lambda: serves(server, "1"))
    assert "alarms tripled" in registry("show", "1")
    assert server.process.poll() is None
