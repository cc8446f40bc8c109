import numpy as np
import pytest

from fraud.training.features.splits import Rows
from fraud.training.models import samples
from fraud.training.models.samples import LabelledSample
from tests.factories import stored

COUNT = 10_000
TYPES = np.array(["TRANSFER", "PAYMENT", "DEBIT", "TRANSFER"])[np.arange(COUNT) % 4]
FRAUD = (np.arange(COUNT) % 4 == 0).astype(np.int8)
OF_FRAUD = np.array(["TRANSFER"])


@pytest.fixture
def rows() -> Rows:
    """Payments whose only feature is their number; every second TRANSFER is a fraud."""
    nothing = np.full(COUNT, None)
    return Rows(stored(np.arange(COUNT, dtype=np.float32)[:, None], ["number"]), FRAUD,
                np.arange(COUNT), np.ones(COUNT), TYPES, nothing, nothing, days=3.0)


def numbers(sample: LabelledSample) -> np.ndarray:
    """The numbers of the payments of a sample."""
    return sample.features[:, 0].astype(int)


def test_a_tenth_of_the_payments_of_types_without_fraud_is_drawn(rows):
    drawn = samples.draw(rows, OF_FRAUD, COUNT, seed=7)
    kinds = dict(zip(*np.unique(TYPES[numbers(drawn)], return_counts=True), strict=True))
    assert kinds["TRANSFER"] == 5_000 and drawn.label.sum() == 2_500
    assert 200 < kinds["PAYMENT"] < 300 and 200 < kinds["DEBIT"] < 300
    assert drawn.weight is None


def test_of_too_many_legitimate_payments_a_sample_stands_for_all(rows):
    complete, drawn = (samples.draw(rows, OF_FRAUD, most, seed=7) for most in (COUNT, 1_000))
    assert drawn.label.sum() == FRAUD.sum() and (drawn.label == 0).sum() == 1_000
    assert set(numbers(drawn)) < set(numbers(complete))
    assert drawn.weight.sum() == pytest.approx(complete.label.size)
    assert (drawn.weight[drawn.label == 1] == 1).all()


def test_a_sample_is_in_event_order_with_the_labels_of_its_payments(rows):
    for seed in (1, 2):
        drawn = samples.draw(rows, OF_FRAUD, COUNT, seed)
        assert (np.diff(numbers(drawn)) > 0).all()
        assert (drawn.label == FRAUD[numbers(drawn)]).all()


def test_the_seed_decides_which_payments_are_drawn(rows):
    one, again, other = (numbers(samples.draw(rows, OF_FRAUD, COUNT, seed)) for seed in (1, 1, 2))
    assert one.tolist() == again.tolist() != other.tolist()


def test_the_first_features_of_a_sample_keep_labels_and_weight():
    sample = LabelledSample(np.float32([[1, 2, 3], [4, 5, 6]]), np.array([0, 1]), np.ones(2))
    first = sample.first(2)
    assert first.features.tolist() == [[1, 2], [4, 5]] and first.features.flags.c_contiguous
    assert first.label is sample.label and first.weight is sample.weight
