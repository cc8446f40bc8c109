import json
import subprocess
import sys
from datetime import datetime

from fraud.caller import Caller
from serve.access_log import AccessLog

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CALLER = Caller("checkout", "6f1c-4d.2_a", TRACE)


def test_a_request_is_one_json_line_with_its_caller(capfd):
    log = AccessLog("info")
    log.write("POST /v1/score", CALLER, 200, 0.0012345)
    log.write("GET /v1/model", Caller(), 401, 0.25)
    scored, refused = map(json.loads, capfd.readouterr().err.splitlines())
    assert datetime.fromisoformat(scored.pop("time")).utcoffset().total_seconds() == 0
    assert scored == {
        "level": "info", "logger": "serve.access", "message": "POST /v1/score",
        **CALLER._asdict(), "status": 200, "milliseconds": 1.234}
    assert (refused["owner"], refused["status"], refused["milliseconds"]) == ("", 401, 250.0)


def test_access_lines_are_of_level_info(capfd):
    for level in ("warning", "error"):
        AccessLog(level).write("POST /v1/score", CALLER, 200, 0.001)
    assert capfd.readouterr().err == ""
    AccessLog("debug").write("POST /v1/score", CALLER, 200, 0.001)
    assert capfd.readouterr().err.count("\n") == 1


FULL = """
from fraud.caller import Caller
from serve.access_log import AccessLog
AccessLog("info").write("POST /v1/score", Caller(), 200, 0.001)
print("answered")
"""


def test_a_line_that_cannot_be_written_costs_no_answer():
    with open("/dev/full", "wb", 0) as full:
        done = subprocess.run([sys.executable, "-c", FULL], stdout=subprocess.PIPE, stderr=full,
                              text=True, check=True)
    assert done.stdout == "answered\n"
