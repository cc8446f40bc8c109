import numpy as np
import pytest

from fraud.training.evaluation.slices import Slice, calibration, slices
from fraud.training.features.splits import Rows
from tests.factories import stored

HOUR = 3_600_000


@pytest.fixture
def rows() -> Rows:
    """Eight payments, every second a fraud."""
    label = np.array([0, 1] * 4, np.int8)
    return Rows(features=stored(np.zeros((8, 1), np.float32), ["amount"]), label=label,
                event_time=np.arange(8) * 3 * HOUR, amount=10.0 ** np.arange(8),
                type=np.array(["CASH_OUT", "TRANSFER"] * 4), incident=np.array(["i"] * 8),
                fraud_type=np.array([None] * 8), days=1.0)


def test_payments_are_counted_by_type_amount_and_hour(rows):
    declined = np.array([1, 1, 0, 1, 0, 0, 0, 0], bool)
    reviewed = np.array([0, 0, 1, 0, 0, 0, 0, 1], bool)
    cuts = slices(rows, reviewed, declined)
    assert cuts["type"] == [Slice("CASH_OUT", 4, 0, 1, 1, 0),
                            Slice("TRANSFER", 4, 4, 1, 2, 2)]
    assert cuts["amount"] == [Slice("0 to 1,000", 3, 1, 1, 2, 1),
                              Slice("1,000 to 10,000", 1, 1, 0, 1, 1),
                              Slice("10,000 to 100,000", 1, 0, 0, 0, 0),
                              Slice("100,000 to 1,000,000", 1, 1, 0, 0, 0),
                              Slice("1,000,000 and more", 2, 1, 1, 0, 0)]
    assert [(one.name, one.payments) for one in cuts["hour"]] == [
        (f"{start:02} to {start + 6:02} h UTC", 2) for start in (0, 6, 12, 18)]


def test_recall_and_precision_of_nothing_are_not_numbers():
    assert Slice("x", 4, 4, 0, 2, 1).recall == 0.25 and Slice("x", 4, 4, 0, 2, 1).precision == 0.5
    nothing = Slice("x", 4, 0, 0, 0, 0)
    assert np.isnan(nothing.recall) and np.isnan(nothing.precision)


def test_bands_say_what_scores_said_and_what_there_was():
    bands = calibration(np.array([0.0, 0.0005, 0.2, 0.4, 0.95, 1.0]), np.array([0, 0, 0, 1, 1, 1]))
    assert [(band.low, band.high, band.payments) for band in bands] == [
        (0.0, 0.001, 2), (0.1, 0.5, 2), (0.9, 1.0, 2)]
    assert [band.mean_score for band in bands] == pytest.approx([0.00025, 0.3, 0.975])
    assert [band.fraud_share for band in bands] == [0.0, 0.5, 1.0]
