import os
import sqlite3
import subprocess
import sys

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
LIST = [sys.executable, "-m", "fraud.training.registry", "list"]


def test_first_clients_at_once_in_an_empty_folder_all_connect(tmp_path):
    commands = [subprocess.Popen(LIST, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True) for _ in range(3)]
    outputs = [command.communicate()[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0, 0], outputs


def test_a_database_of_another_schema_is_one_sentence_with_the_fix(tmp_path):
    subprocess.run(LIST, cwd=tmp_path, env=ENVIRONMENT, check=True)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("update alembic_version set version_num = 'older'")
    done = subprocess.run(LIST, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: MLFLOW_TRACKING_URI is 'sqlite:///mlflow.db', which")
    assert "mlflow db upgrade" in done.stderr and "Traceback" not in done.stderr
