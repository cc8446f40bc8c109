"""The short form of an endurance run: each fault once, with everything but memory and speed judged.

The hour is `make endure`.
"""

import pytest

from tests.endurance.judge import problems
from tests.endurance.report import report
from tests.endurance.run import SHORT, run
from tests.endurance.system import System


@pytest.mark.system
def test_nothing_is_lost_or_doubled_by_any_fault(tmp_path):
    system = System(tmp_path, SHORT.session_ms)
    try:
        evidence, load, rate = run(system, SHORT)
    finally:
        system.stop()
    print(report(evidence, load, rate))
    assert problems(evidence) == []
