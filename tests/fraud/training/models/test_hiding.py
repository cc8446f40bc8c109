import numpy as np
import pytest

from fraud.features import DEFAULT
from fraud.training.models import hiding
from fraud.training.models.hiding import hidden

ROWS = 20_000


@pytest.fixture(scope="module")
def is_hidden() -> np.ndarray:
    return np.isnan(hidden(np.ones((ROWS, len(DEFAULT.names)), np.float32), DEFAULT, seed=3))


def column(is_hidden: np.ndarray, name: str) -> np.ndarray:
    return is_hidden[:, DEFAULT.names.index(name)]


def test_longer_windows_are_hidden_with_all_that_need_them(is_hidden):
    day, week, month = (column(is_hidden, f"origin_sent_count_{window}")
                        for window in ("day", "week", "month"))
    assert not day.any() and not (week & ~month).any()
    assert week.mean() == pytest.approx(hiding.WEEK_SHARE, abs=0.01)
    assert month.mean() == pytest.approx(hiding.WEEK_SHARE + hiding.MONTH_SHARE, abs=0.01)
    for name in ("destination_age_days", "new_destination", "amount_share_of_mean_sent"):
        assert (column(is_hidden, name) == month).all()


def test_balances_are_hidden_with_all_that_need_them(is_hidden):
    of_origin, of_destination = (column(is_hidden, f"{side}_balance")
                                 for side in ("origin", "destination"))
    assert of_origin.mean() == pytest.approx(hiding.BALANCE_SHARE, abs=0.005)
    assert (column(is_hidden, "drained_share_day") == of_origin).all()
    assert 0 < of_destination.mean() < 0.05 and (of_destination != of_origin).any()


def test_the_payment_itself_is_never_hidden_and_a_seed_gives_the_same(is_hidden):
    assert not column(is_hidden, "amount").any() and not column(is_hidden, "is_transfer").any()
    ones = np.ones((ROWS, len(DEFAULT.names)), np.float32)
    assert (np.isnan(hidden(ones, DEFAULT, 3)) == is_hidden).all()
    assert (np.isnan(hidden(ones, DEFAULT, 4)) != is_hidden).any()
