"""Databases of the desk, the desk as a process, and a browser."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import create_engine, text

from desk import people
from desk.database import Database
from desk.intake import Intake
from desk.settings import read_desk_settings
from desk.tables import Person
from stream.broker import free_port
from tests.desk.running import KEY, DeskProcess
from tests.tools import MISSING, program


@pytest.fixture(scope="session")
def postgresql():
    """The URL of a PostgreSQL server of these tests, without the name of a database."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip(MISSING.format("postgresql"))
    folder, directory, port = found[-1].parent, Path(mkdtemp(prefix="desk-")), free_port()
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if as_user:         # the server refuses to run as root
        shutil.chown(directory, "postgres")
    subprocess.run([*as_user, folder / "initdb", "-D", directory / "data", "-U", "desk",
                    "--auth=trust"], check=True, capture_output=True)
    control = [*as_user, folder / "pg_ctl", "-D", directory / "data", "-w"]
    subprocess.run([*control, "-l", directory / "log", "-o",
                    f"-p {port} -k {directory} -c fsync=off", "start"], check=True,
                   stdout=subprocess.DEVNULL)
    yield f"postgresql+psycopg://desk@127.0.0.1:{port}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True)
    shutil.rmtree(directory)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/desk.db"
    server = request.getfixturevalue("postgresql")
    name = f"test_{os.urandom(6).hex()}"
    engine = create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def settings(tmp_path):
    return read_desk_settings({
        "FRAUD_DESK_DECISIONS": str(tmp_path / "decisions.jsonl"),
        "FRAUD_DESK_LABELS": str(tmp_path / "labels.csv"), "FRAUD_DESK_SAMPLE_SHARE": "0",
        "FRAUD_MODEL": str(tmp_path / "models"), "FRAUD_ACCOUNT_KEY": KEY})


@pytest.fixture
def intake(settings, database):
    return Intake(settings, database)


@pytest.fixture
def ana(database) -> Person:
    return person(database, "ana")


@pytest.fixture
def ben(database) -> Person:
    return person(database, "ben")


def person(database: Database, name: str) -> Person:
    with database.writing() as session:
        people.add(session, name, "analyst", "test")
        return people.by_name(session, name)


@pytest.fixture
def start_desk(tmp_path):
    """Starts desks, and stops them after the test."""
    desks = []

    def start(**settings: str) -> DeskProcess:
        desks.append(DeskProcess(tmp_path, **settings))
        return desks[-1]

    yield start
    for desk in desks:
        desk.kill()


@pytest.fixture
def browser(tmp_path):
    """Chromium without a window."""
    from selenium import webdriver

    program("chromium")
    options = webdriver.ChromeOptions()
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--window-size=1280,900", f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(option)
    driver = webdriver.Chrome(options, webdriver.ChromeService(program("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def champion(tmp_path, make_bundle, monkeypatch):
    """A registered version that is published to `models`."""
    import mlflow

    from fraud.training.registry import Registry, tracking

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("FRAUD_MODEL", str(tmp_path / "models"))
    tracking.connect()
    with tracking.run("a run", {}, {}) as run_id:
        mlflow.log_text("a model", "native/model")
    logged = tracking.Logged(run_id, None, f"runs:/{run_id}/native")
    tags = {"framework": "xgboost", "test_f1": "0.9", "test_auprc": "0.9", "gate_reason": "good",
            "data_digest": "d" * 64, "git_commit": "c" * 40, "metaflow_run": "TrainFlow/7"}
    with Registry().registered(logged, tags, lambda number, directory: make_bundle(
            directory, version=number)) as version:
        pass
    Registry().promote(version, "first")
    return version


@pytest.fixture(scope="session")
def axe(tmp_path_factory) -> str:
    """axe-core, which finds faults of accessibility, from npm."""
    directory = tmp_path_factory.mktemp("axe")
    subprocess.run([program("npm"), "pack", "--silent", "axe-core@4.14.1"], cwd=directory,
                   check=True, capture_output=True)
    shutil.unpack_archive(directory / "axe-core-4.14.1.tgz", directory)
    return (directory / "package/axe.min.js").read_text()
