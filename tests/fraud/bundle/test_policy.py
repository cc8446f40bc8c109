import numpy as np
import pytest

from fraud.bundle import Thresholds


@pytest.mark.parametrize(("score", "decision"), [
    (0.0, "approve"), (np.nextafter(0.25, 0), "approve"), (0.25, "review"),
    (np.nextafter(0.75, 0), "review"), (0.75, "decline"), (1.0, "decline")])
def test_a_score_at_a_threshold_exceeds_it(score, decision):
    assert Thresholds(review=0.25, decline=0.75).decide(score) == decision


def test_equal_thresholds_review_nothing():
    thresholds = Thresholds(review=0.5, decline=0.5)
    assert [thresholds.decide(score) for score in (0.49, 0.5)] == ["approve", "decline"]
