import pytest

from fraud.training.gate import decide
from fraud.training.incidents import Outcome
from fraud.training.judgement import Judgement
from fraud.training.settings import Floors, Gate

FLOORS = Floors(test_f1=0.5, test_auprc=0.4)


def judged(f1: float, auprc: float, name: str = "xgboost") -> Judgement:
    return Judgement(name, {"test_f1": f1, "test_auprc": auprc}, (0.0, 1.0), {},
                     Outcome(1, 1, 1.0, 0.0, 0.0), (1, 0, 0, 1), 1.0, 1.0)


@pytest.mark.parametrize(("f1", "auprc", "names"), [
    (0.49, 0.9, "test_f1 is 0.4900, below the floor of 0.5"),
    (0.9, 0.39, "test_auprc is 0.3900, below the floor of 0.4")])
@pytest.mark.parametrize("standing", [None, judged(0.1, 0.1, "champion 1")])
def test_below_a_floor_nothing_is_promoted(f1, auprc, names, standing):
    verdict = decide(judged(f1, auprc), standing, FLOORS, Gate(max_fall=0.0))
    assert not verdict.promote
    assert names in verdict.reason


def test_the_first_champion_reaches_the_floors():
    verdict = decide(judged(0.5, 0.4), None, FLOORS, Gate(max_fall=0.0))
    assert verdict.promote
    assert verdict.reason.startswith("no champion stands, and test_f1 0.5000 reaches its floor")


@pytest.mark.parametrize(("f1", "auprc", "max_fall", "promote"), [
    (0.8, 0.8, 0.0, True), (0.9, 0.9, 0.0, True), (0.79, 0.9, 0.0, False),
    (0.9, 0.79, 0.0, False), (0.79, 0.79, 0.02, True), (0.77, 0.8, 0.02, False)])
def test_a_later_one_is_not_worse_in_either_measure(f1, auprc, max_fall, promote):
    verdict = decide(judged(f1, auprc), judged(0.8, 0.8, "champion 3"), FLOORS, Gate(max_fall))
    assert verdict.promote == promote
    assert f"test_f1 {f1:.4f} against 0.8000" in verdict.reason
    assert "champion 3" in verdict.reason
    assert ("worse in" in verdict.reason) == (not promote)


def test_the_reason_names_the_measure_that_is_worse():
    verdict = decide(judged(0.9, 0.7), judged(0.8, 0.8), FLOORS, Gate(0.0))
    assert verdict.reason.startswith("worse in test_auprc than")
