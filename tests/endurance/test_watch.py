import pytest

from tests.endurance.watch import LIFE_SECONDS, MIB, WARM_UP_SECONDS, FaultWindow, growths, latency

LONG = WARM_UP_SECONDS + LIFE_SECONDS


def test_memory_is_compared_after_the_warm_up_of_processes_that_lived_long_enough():
    grown = [(0.0, 10 * MIB), (WARM_UP_SECONDS, 100 * MIB), (LONG, 110 * MIB)]
    level = [(0.0, 10 * MIB), (WARM_UP_SECONDS, 100 * MIB), (LONG, 100 * MIB)]
    short = [(0.0, 10 * MIB), (WARM_UP_SECONDS, 100 * MIB), (LONG - 1, 900 * MIB)]
    [growth] = growths({("desk", 1): level, ("desk", 2): grown, ("desk", 3): short})
    assert (growth.program, growth.ratio) == ("desk", pytest.approx(1.1))


def test_answers_in_windows_of_faults_do_not_count():
    windows = [FaultWindow("a", 10, 11, 12), FaultWindow("b", 20, 21, 22)]
    measured = latency([(5, 0.01), (11, 0.9), (15, 0.02), (21, 0.9), (25, 0.02)], windows)
    assert measured.before == pytest.approx(10)
    assert measured.outside == pytest.approx(20)
    assert latency([(5, 0.01), (11, 0.9)], windows) is None
