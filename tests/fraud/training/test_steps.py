import subprocess
import sys

import pytest

FLOW = """
from metaflow import FlowSpec, retry, step
from fraud.training.errors import LostProcess, TrainingError
from fraud.training.steps import user_errors

class Night(FlowSpec):
    workspace_uri = None

    @retry(times=1, minutes_between_retries=0)
    @user_errors
    @step
    def start(self):
        from metaflow import current
        if current.retry_count == 0:
            raise {error}("the disk is full")
        self.next(self.end)

    @step
    def end(self):
        print("attempt two")

if __name__ == "__main__":
    Night()
"""


@pytest.mark.parametrize(("error", "goes_on"), [("LostProcess", True), ("TrainingError", False)])
def test_a_step_is_tried_again_after_a_lost_process_but_not_after_a_user_error(
        tmp_path, monkeypatch, error, goes_on):
    monkeypatch.setenv("METAFLOW_USER", "ann")
    (tmp_path / "night.py").write_text(FLOW.format(error=error))
    result = subprocess.run([sys.executable, "night.py", "run"], cwd=tmp_path, capture_output=True,
                            text=True, check=False)
    screen = result.stdout + result.stderr
    assert screen.count("error: the disk is full") == 1
    assert "Traceback" not in screen.split("Workflow failed")[0]
    assert ("attempt two" in screen) is goes_on
    assert (result.returncode == 0) is goes_on
