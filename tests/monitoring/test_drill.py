import re

import numpy as np
import pandas as pd
import pytest

from monitoring import concept_drift, drill, drill_models, drill_page
from monitoring.concept_drift import CHANGE, DAY, DAYS, START


@pytest.fixture(scope="module")
def before():
    return concept_drift.simulate_month(None, 100_000, drill_models.SEED + 1)


@pytest.mark.system
def test_splitting_is_noticed_in_time_and_learned(before, tmp_path):
    outcome = drill.drill("splitting", before, rows=300_000)
    assert CHANGE < outcome.alarm < DAYS
    assert outcome.lost_before < 0.5
    assert outcome.recovered(outcome.retrainings[-1], "recall") >= 0.8
    drill_page.draw([outcome], tmp_path / "drill.png")
    assert (tmp_path / "drill.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_learned_comes_from_after_the_day(before):
    day = 15
    known = before.known_by(START + day * DAY)
    cut = before._replace(
        features=np.where(known[:, None], before.features, np.inf),
        table=before.table.assign(is_fraud=before.table["is_fraud"].where(known, 9)))
    for part in ("fit", "calibration"):
        whole, now = (getattr(drill_models.parts_at(day, before, of), part)
                      for of in (before, cut))
        assert np.array_equal(whole.features, now.features, equal_nan=True)
        assert np.array_equal(whole.label, now.label)


def test_without_a_change_there_is_no_alarm(before):
    perfect = before.table["is_fraud"].to_numpy() == 1
    validated = drill.measure(before, perfect, before.days(20, DAYS))
    assert drill.alarm_day(before, perfect, validated) is None
    assert drill.alarm_day(before, np.zeros_like(perfect), validated) is not None


def test_a_leg_after_a_declined_one_is_not_counted_as_money_and_finds_its_incident():
    of = concept_drift.Month(np.zeros((5, 1)), pd.DataFrame({
        "event_time": range(5), "amount": [1.0, 2.0, 4.0, 8.0, 16.0], "is_fraud": [1, 1, 1, 1, 0],
        "incident_id": ["a", "a", "a", "b", pd.NA]}))
    declined = np.array([False, True, True, False, True])
    assert drill.detection(of, declined, np.ones(5, bool)) == drill.Detection(
        recall=2 / 4, incidents=1 / 2, money=2 / (2 + 1 + 8), precision=2 / 3)


def test_the_bound_is_judged_on_incidents_that_it_has_not_seen(before):
    learned = drill_models.half(before)
    by_incident = pd.Series(learned).groupby(before.table["incident_id"].to_numpy(object)).nunique()
    assert (by_incident == 1).all() and len(by_incident) > 50
    assert 0.45 < learned.mean() < 0.55
    parts = drill_models.parts_of_all(before, before, learned)
    old = drill_models.parts_before(before)
    assert len(parts.fit[1]) + len(parts.calibration[1]) == len(old.fit[1]) + learned.sum()


def test_the_figure_has_dates_on_its_axis(tmp_path):
    detection = drill.Detection(0.5, 0.5, 0.5, 0.5)
    by_day = pd.DataFrame({"champion": 0.5, "retrained": 0.6}, index=range(DAYS))
    outcome = drill.DrillResult("ramp", CHANGE + 2, 0.25, detection, [],
                                drill.Retraining(CHANGE, detection, detection), by_day)
    drill_page.draw([outcome], tmp_path / "drill.svg")      # has its texts as comments too
    assert re.findall(r"<!-- (2024-.*?) -->", (tmp_path / "drill.svg").read_text()) == [
        "2024-01-01", "2024-01-09", "2024-01-17", "2024-01-25"]


def test_the_tables_say_how_it_went():
    before, champion, retrained = (
        drill.Detection(share, share, share, precision)
        for share, precision in ((0.8, 0.9), (0.2, 0.5), (0.5, 0.7)))
    retraining = drill.Retraining(10, champion, retrained)
    outcome = drill.DrillResult("ramp", CHANGE + 2, 0.25, before, [retraining, retraining],
                                retraining, pd.DataFrame())
    first, *_, last = [re.split(r" *\| *", line)[1:-1] for line in drill_page.tables([outcome])
                       .splitlines() if line.startswith("| ramp")]
    assert first == ["ramp", "2", "25%", "0.90", "0.70"]
    assert last == ["ramp", "money", "0.80", "0.20", "0.50", "50%, 50%", "50%"]
