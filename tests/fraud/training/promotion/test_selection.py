from pathlib import Path

import numpy as np
import pytest

from fraud.features import DEFAULT
from fraud.training.features.splits import Rows
from fraud.training.promotion.selection import certainty
from tests.factories import stored


def rows_where_the_amount_is(amounts: np.ndarray, label: np.ndarray) -> Rows:
    """Payments of an hour each; a linear bundle's score is that of the amount."""
    count = label.size
    features = np.zeros((count, len(DEFAULT.names)), np.float32)
    features[:, 0] = amounts
    incident = np.where(label == 1, np.arange(count).astype(str), None)
    return Rows(stored(features), label, np.arange(count) * 3_600_000, amounts,
                np.full(count, "TRANSFER"), incident, np.full(count, None), 10.0)


@pytest.fixture
def bundles(make_bundle, tmp_path) -> dict[str, str]:
    """Two bundles that score alike."""
    places = {name: tmp_path / name for name in ("tensorflow", "xgboost")}
    for place in places.values():
        make_bundle(place)
    return {name: str(place) for name, place in places.items()}


def test_equal_candidates_win_half_of_the_draws(bundles):
    label = (np.arange(200) % 10 == 0).astype(np.int8)
    rows = rows_where_the_amount_is(np.where(label == 1, 3.0, -3.0), label)
    assert certainty(bundles, "xgboost", rows, seed=7) == 0.5


def test_a_better_candidate_wins_more(bundles):
    """With the threshold at a half, the one that declines fewer finds fewer frauds here."""
    policy = Path(bundles["tensorflow"], "policy.json")
    policy.write_text(policy.read_text().replace("0.75", "0.99"))
    label = (np.arange(400) % 10 == 0).astype(np.int8)
    amounts = np.where(label == 1, np.where(np.arange(400) % 40 == 0, 9.0, 2.0), -3.0)
    rows = rows_where_the_amount_is(amounts, label)
    assert certainty(bundles, "xgboost", rows, seed=7) > 0.95
    assert certainty(bundles, "tensorflow", rows, seed=7) < 0.05
