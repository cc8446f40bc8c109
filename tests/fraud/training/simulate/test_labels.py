import numpy as np
import pytest

from fraud.training.simulate import labels
from fraud.training.simulate.behaviour import Behaviour
from fraud.training.simulate.drafts import HOUR, LEGITIMATE, payments
from fraud.training.simulate.episodes import TRANSFER

INCIDENTS = 2_000


@pytest.fixture
def drawn():
    """Two payments of each of many incidents, one an hour, then legitimate transfers."""
    incident = np.repeat(np.arange(INCIDENTS), 2)
    time = np.arange(3 * incident.size) * HOUR
    return payments(time, TRANSFER, 1, 2, 0.5,
                    np.concatenate([incident, np.full(2 * incident.size, LEGITIMATE)]),
                    np.concatenate([incident % 5, np.full(2 * incident.size, LEGITIMATE)]))


def test_some_incidents_are_never_reported_and_some_reports_are_false(drawn):
    reported = labels.reported(
        drawn, Behaviour(unreported=0.1, false_reports=0.05), np.random.default_rng(1))
    fraud = drawn.incident >= 0
    missing = np.unique(drawn.incident[fraud & (reported.incident < 0)])
    assert missing.size / INCIDENTS == pytest.approx(0.1, abs=0.02)
    assert not set(missing) & set(reported.incident)       # all of an incident or none of it
    false = reported.incident[~fraud & (reported.incident >= 0)]
    assert len(set(false)) == false.size == 100 and false.min() == INCIDENTS
    assert set(reported.fraud_type[~fraud]) == {LEGITIMATE, labels.FALSE_REPORT}


def test_without_noise_labels_are_the_truth(drawn):
    reported = labels.reported(
        drawn, Behaviour(unreported=0, false_reports=0), np.random.default_rng(1))
    assert all(np.array_equal(*pair) for pair in zip(reported, drawn, strict=True))


def test_an_incident_is_known_at_one_time_but_victims_of_an_agent_find_out_alone(drawn):
    known = labels.times(drawn, np.random.default_rng(1))
    delay = known - drawn.time
    assert (delay > 0).all() and delay[drawn.incident < 0].max() <= labels.DELAY_LIMIT
    first, second = known[:2 * INCIDENTS].reshape(-1, 2).T
    alone = drawn.fraud_type[:2 * INCIDENTS:2] == labels.ALONE
    assert (first[~alone] == second[~alone]).all() and (first[alone] != second[alone]).all()
    late = delay[drawn.fraud_type == labels.ALONE]
    assert np.median(late) == pytest.approx(2.5 * labels.DELAY_MEDIAN, rel=0.15)
