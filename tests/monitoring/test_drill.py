import re

import numpy as np
import pandas as pd
import pytest

from monitoring import changing_fraud, drill
from monitoring.changing_fraud import CHANGE, DAYS


@pytest.fixture(scope="module")
def before():
    return changing_fraud.month(None, 100_000, drill.SEED + 1)


@pytest.mark.system
def test_splitting_is_noticed_in_time_and_learned(before, tmp_path):
    outcome = drill.drill("splitting", before, rows=300_000)
    assert CHANGE < outcome.alarm < DAYS
    assert outcome.lost_before < 0.5
    assert outcome.regained(-1) >= 0.8
    drill.draw([outcome], tmp_path / "drill.png")
    assert (tmp_path / "drill.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_learned_comes_from_after_the_day(before):
    day = 15
    cut = before._replace(
        features=np.where(before.known_by(drill.START + day * drill.DAY)[:, None],
                          before.features, np.nan),
        table=before.table.assign(is_fraud=before.table["is_fraud"].where(
            before.known_by(drill.START + day * drill.DAY), 9)))
    for part in ("fit", "late"):
        whole, known = (getattr(drill.parts_at(day, before, of), part) for of in (before, cut))
        assert all(np.array_equal(one, other) for one, other in zip(whole, known))


def test_without_a_change_there_is_no_alarm(before):
    perfect = before.table["is_fraud"].to_numpy() == 1
    validated = drill.measured(before, perfect, before.days(20, DAYS))
    assert drill.alarm_of(before, perfect, validated) is None
    assert drill.alarm_of(before, np.zeros_like(perfect), validated) is not None


def test_the_table_says_how_it_went():
    outcome = drill.Outcome("ramp", CHANGE + 2, 0.25, 0.8, pd.DataFrame(
        [(10, 0.2, 0.5, 0.9), (14, 0.2, 0.8, 0.7)], columns=drill.RETRAINING), pd.DataFrame())
    line = drill.told([outcome]).splitlines()[-1]
    assert re.split(r" *\| *", line)[1:-1] == [
        "ramp", "2", "25%", "0.80", "0.20", "0.80", "0.70", "50%, 100%"]
