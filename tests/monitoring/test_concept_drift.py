import numpy as np
import pytest

from fraud.features import DEFAULT
from fraud.training.simulate.simulator import START
from monitoring import concept_drift
from monitoring.concept_drift import CHANGE, DAY, KINDS


@pytest.fixture(scope="module", params=KINDS)
def month(request):
    return concept_drift.simulate_month(request.param, 40_000, seed=7)


def test_the_new_kind_comes_with_the_change_and_the_known_ones_give_way(month):
    table = month.table
    day = (table["event_time"] - START) / DAY
    assert day[table["is_new"]].min() >= CHANGE and table["is_new"].sum() > 10
    assert (table["is_fraud"][table["is_new"]] == 1).all()
    known = (table["is_fraud"] == 1) & ~table["is_new"]
    before, after = known[day < CHANGE].sum() / CHANGE, known[day >= CHANGE].sum() / (31 - CHANGE)
    assert after < 0.6 * before


def test_verdicts_come_after_their_payments_and_for_an_incident_together(month):
    delay = (month.table["label_time"] - month.table["event_time"]) / DAY
    assert (delay > 0).all()
    assert np.median(delay[month.table["is_fraud"] == 0]) == pytest.approx(3, abs=0.1)
    assert (month.table.groupby("incident_id")["label_time"].nunique() == 1).all()


def test_what_is_known_at_a_moment_grows(month):
    days = [month.known_by(START + day * DAY).sum() for day in (0, 5, 15, 60)]
    assert days == sorted(days) and days[0] == 0 and days[-1] == len(month.table)


def test_a_month_without_change_has_the_known_kinds_only():
    month = concept_drift.simulate_month(None, 20_000, seed=7)
    assert not month.table["is_new"].any() and month.table["is_fraud"].sum() > 10
    assert month.features.shape == (20_000, len(DEFAULT.names))


def test_parts_are_small_where_fraud_splits():
    table = concept_drift.simulate_month("splitting", 20_000, seed=7).table
    assert table["amount"][table["is_new"]].max() <= concept_drift.WATCHED / 5 / 100
