import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from fraud.training.features import stored_features
from fraud.training.features.stored_features import StoredFeatures
from tests.factories import stored

ROWS = 1_000
NAMES = ["a", "b", "c"]
MATRIX = np.random.default_rng(7).random((ROWS, len(NAMES))).astype(np.float32)


@pytest.fixture
def features(tmp_path) -> StoredFeatures:
    """Features of payments that three files hold in any order."""
    mixed = np.random.default_rng(8).permutation(ROWS)
    for part, positions in enumerate(np.array_split(mixed, 3)):
        pq.write_table(pa.table([positions, *MATRIX[positions].T], ["position", *NAMES]),
                       tmp_path / f"part-{part}.parquet")
    return StoredFeatures(ds.dataset(tmp_path), np.arange(ROWS))


def test_a_matrix_has_all_payments_in_order(features):
    assert features.names == ("a", "b", "c") and len(features) == ROWS
    assert np.array_equal(features.matrix(), MATRIX)


def test_some_payments_are_chosen_by_a_mask_or_by_indices(features):
    mask = np.arange(ROWS) % 3 == 1
    chosen = features.only(mask)
    assert len(chosen) == mask.sum() and np.array_equal(chosen.matrix(), MATRIX[mask])
    assert np.array_equal(chosen.only(np.array([0, 5])).matrix(), MATRIX[mask][[0, 5]])
    assert chosen.only(np.zeros(len(chosen), bool)).matrix().shape == (0, len(NAMES))


def test_payments_are_found_among_others(features):
    chosen = features.only(np.arange(ROWS) >= 100)
    others = features.only(np.array([100, 300, 999]))
    assert chosen.index_of(others).tolist() == [0, 200, 899]


def test_later_payments_follow(features):
    later = stored(MATRIX + 1, NAMES, first=ROWS)
    joined = features.only(np.arange(ROWS) < 10).followed_by(later)
    assert np.array_equal(joined.matrix(), np.concatenate([MATRIX[:10], MATRIX + 1]))


def test_parts_are_small_and_hold_each_payment_once(features, monkeypatch):
    monkeypatch.setattr(stored_features, "PART_ROWS", 100)
    parts = list(features.only(np.arange(ROWS) % 2 == 0).parts(["c", "a"]))
    assert len(parts) > 5 and max(len(index) for index, _ in parts) <= 100
    for index, part in parts:
        assert np.array_equal(part, MATRIX[2 * index][:, [2, 0]])
    assert sorted(np.concatenate([index for index, _ in parts])) == list(range(ROWS // 2))


def test_scores_are_in_the_order_of_the_payments(features, monkeypatch):
    monkeypatch.setattr(stored_features, "PART_ROWS", 100)
    mask = np.arange(ROWS) % 3 == 1
    scores = features.only(mask).scored(["b", "a"], lambda part: part[:, 0] - 2 * part[:, 1])
    assert np.array_equal(scores, MATRIX[mask, 1] - 2 * MATRIX[mask, 0])
