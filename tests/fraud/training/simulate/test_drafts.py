import numpy as np

from fraud.training.simulate.drafts import LEGITIMATE, join, legs_together, only, payments
from fraud.training.simulate.ledger import AMOUNT_CUT


def test_arrays_and_scalars_become_columns_of_one_length():
    made = payments(np.array([[1.0, 2.0], [3.0, 4.0]]), 4, np.array([[7], [8]]), 9, 0.5)
    assert made.time.tolist() == [1, 2, 3, 4] and made.origin.tolist() == [7, 7, 8, 8]
    assert made.destination.tolist() == [9] * 4 and made.share.tolist() == [0.5] * 4
    assert made.incident.tolist() == made.fraud_type.tolist() == [LEGITIMATE] * 4
    assert made.limit.tolist() == [AMOUNT_CUT] * 4


def test_legs_keep_their_incidents_and_episodes_number_on():
    def fraud(incidents):
        return payments(np.zeros(len(incidents)), 4, 1, 2, 1.0, np.array(incidents), 0)

    first = legs_together([fraud([0, 1]), fraud([0, 1])])
    legitimate = payments(np.zeros(2), 4, 1, 2, 1.0)
    joined = join([first, legitimate, fraud([0]), legitimate, fraud([0, 2])])
    assert joined.incident.tolist() == [0, 1, 0, 1, -1, -1, 2, -1, -1, 3, 5]


def test_only_keeps_what_is_asked_in_every_column():
    made = payments(np.arange(3.0), np.arange(3), np.arange(3), np.arange(3), 0.0)
    kept = only(made, made.time != 1)
    assert all(column.size == 2 for column in kept)
    assert kept.time.tolist() == kept.type_code.tolist() == kept.origin.tolist() == [0, 2]
