import pytest

from fraud.clock import DAY_MS
from fraud.training.evaluation.gate import Comparison, PromotionDecision, decide
from fraud.training.evaluation.incidents import IncidentOutcomes
from fraud.training.evaluation.paired_bootstrap import Differences, compare
from fraud.training.evaluation.test_report import TestReport
from fraud.training.settings import Floors, Gate
from tests.fraud.training.evaluation.test_paired_bootstrap import period, scores

FLOORS = Floors(test_f1=0.5, test_auprc=0.4)
GATE = Gate(incidents=150, margin=0.02, narrow_from=250, narrow_margin=0.01)
START = 1_704_067_200_000       # 2024-01-01T00:00:00Z


def judged(f1: float, auprc: float, name: str = "xgboost") -> TestReport:
    return TestReport(name, {"test_f1": f1, "test_auprc": auprc}, (0.0, 1.0), {},
                      *2 * [IncidentOutcomes(1, 1, 1.0, 0.0, 0.0)], (1, 0, 0, 1), 1.0, 1.0, 3)


def against(f1_bound: float, auprc_bound: float, incidents: int = 150) -> Comparison:
    return Comparison("champion 3", incidents, START, START + 10 * DAY_MS,
                      Differences(0.01, 0.01, f1_bound, auprc_bound, 0.5))


@pytest.mark.parametrize(("f1", "auprc", "names"), [
    (0.49, 0.9, "test F1 0.4900 is below its floor of 0.5"),
    (0.9, 0.39, "test AUPRC 0.3900 is below its floor of 0.4")])
@pytest.mark.parametrize("comparison", [None, against(0.1, 0.1)])
def test_below_a_floor_nothing_is_promoted(f1, auprc, names, comparison):
    decision = decide(judged(f1, auprc), comparison, FLOORS, GATE)
    assert not decision.promote
    assert names in decision.reason


def test_the_first_champion_reaches_the_floors():
    decision = decide(judged(0.5, 0.4), None, FLOORS, GATE)
    assert decision.promote
    assert decision.reason.startswith(
        "there is no champion yet, and test F1 0.5000 reaches its floor")


@pytest.mark.parametrize(("f1_bound", "auprc_bound", "unsure"), [
    (-0.019, -0.019, ""), (0.005, 0.005, ""), (-0.02, 0.0, "F1"), (0.0, -0.02, "AUPRC"),
    (-0.03, -0.03, "F1 and AUPRC")])
def test_a_later_one_is_surely_not_much_worse_in_either_measure(f1_bound, auprc_bound, unsure):
    decision = decide(judged(0.8, 0.8), against(f1_bound, auprc_bound), FLOORS, GATE)
    assert decision.promote == (not unsure)
    assert f"F1 +0.0100 and at least {f1_bound:+.4f}" in decision.reason
    assert "champion 3" in decision.reason and "150 incidents" in decision.reason
    assert not unsure or f"in {unsure}:" in decision.reason


@pytest.mark.parametrize(("incidents", "bound", "margin"), [
    (249, -0.019, 0.02), (249, -0.02, 0.02), (250, -0.009, 0.01), (250, -0.01, 0.01),
    (2_000, -0.019, 0.01)])
def test_the_margin_is_narrow_from_many_incidents_on(incidents, bound, margin):
    decision = decide(judged(0.8, 0.8), against(bound, bound, incidents), FLOORS, GATE)
    assert decision.promote == (bound > -margin)
    assert f"by more than {margin:g}" in decision.reason


def test_missing_incidents_have_a_date():
    decision = decide(judged(0.9, 0.9), against(0.1, 0.1, 100), FLOORS, GATE)
    assert not decision.promote
    assert decision.reason.endswith(
        "150 are needed, 50 more: at 10.0 a day they will have happened by 2024-01-16")


@pytest.mark.parametrize("comparison", [
    against(0.1, 0.1, 149), Comparison("champion 3", 0, 0, 0, None)])
def test_too_few_incidents_are_no_evidence(comparison):
    decision = decide(judged(0.9, 0.9), comparison, FLOORS, GATE)
    assert not decision.promote
    assert decision.reason.startswith(f"insufficient evidence: {comparison.incidents} incidents")


@pytest.mark.parametrize(("incidents", "milliseconds", "end"), [
    (0, 0, "150 are needed"), (0, DAY_MS, "150 are needed"), (149, 0, "150 are needed"),
    (150, DAY_MS, "150 are needed"),            # none is missing
    (149, 1, "150 are needed, 1 more: at 12873600000.0 a day they will have happened by "
             "2024-01-02"),
    (149, DAY_MS, "150 are needed, 1 more: at 149.0 a day they will have happened by 2024-01-03")])
def test_a_date_needs_a_pace_and_something_missing(incidents, milliseconds, end):
    comparison = Comparison("champion 3", incidents, START, START + milliseconds, None)
    decision = decide(judged(0.9, 0.9), comparison, FLOORS, GATE)
    assert decision == PromotionDecision(False, (
        f"insufficient evidence: {incidents} incidents are later than the tuning data of "
        f"champion 3 and the candidate; {end}"))


def test_a_decision_is_one_sentence_with_all_figures():
    assert decide(judged(0.5, 0.4), None, FLOORS, GATE) == PromotionDecision(True, (
        "there is no champion yet, and test F1 0.5000 reaches its floor of 0.5, test AUPRC 0.4000 "
        "reaches its floor of 0.4"))
    assert decide(judged(0.49, 0.4), None, FLOORS, GATE) == PromotionDecision(False, (
        "test F1 0.4900 is below its floor of 0.5 in flows/train_flow.toml"))
    figures = ("F1 +0.0100 and at least -0.0300, AUPRC +0.0100 and at least -0.0100, with 95 % "
               "confidence, on 1,500 incidents")
    assert decide(judged(0.9, 0.9), against(-0.03, -0.01, 1_500), FLOORS, GATE) == (
        PromotionDecision(False, "may be worse than champion 3 by more than 0.01 in F1 and AUPRC: "
                                 + figures))


@pytest.mark.acceptance
@pytest.mark.parametrize(("missed", "promoted"), [((0.0, 0.15), range(0, 6)),
                                                  ((0.01, 0.06), range(90, 101))])
def test_it_refuses_who_misses_a_tenth_more_and_promotes_who_is_equal(
        missed, promoted, acceptance, record_property):
    """The champion misses one incident in twenty. The candidate misses a tenth more of them, or as
    many, a fifth of which are others.
    """
    trials = 100 if acceptance else 10
    promotions = []
    for seed in range(trials):
        label, incident, time = period(1_000, 50_000, seed)
        ours, theirs = (scores(label, incident, seed + place, its)
                        for place, its in enumerate((missed, (0.0, 0.05))))
        differences = compare(ours, theirs, label, incident, time, seed)
        promotions.append(decide(judged(0.9, 0.9), Comparison(
            "champion 1", 1_000, START, START + 10 * DAY_MS, differences), FLOORS, GATE).promote)
    record_property("trials", trials)
    record_property("promoted", sum(promotions))
    assert sum(promotions) * 100 // trials in promoted
