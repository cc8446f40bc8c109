import numpy as np

from fraud.training.features.splits import Rows
from fraud.training.models.medians import medians_of
from tests.factories import stored

NAN = np.nan


def rows_of(features: list[list[float]], label: list[int], type: list[str]) -> Rows:
    """Rows of the features a and b."""
    count = len(features)
    nothing = np.full(count, None)
    return Rows(features=stored(np.array(features, np.float32), ["a", "b"]), label=np.array(label),
                event_time=np.arange(count), amount=np.ones(count), type=np.array(type),
                incident=nothing, fraud_type=nothing, days=1.0)


def test_medians_are_of_legitimate_payments_by_type():
    rows = rows_of([[1, 10], [3, 30], [5, 50], [99, 99]], label=[0, 0, 0, 1],
                   type=["PAYMENT", "PAYMENT", "TRANSFER", "TRANSFER"])
    medians = medians_of(rows, ("PAYMENT", "TRANSFER"))
    assert medians.overall == {"a": 3, "b": 30}
    assert medians.by_type == {"PAYMENT": {"a": 2, "b": 20}, "TRANSFER": {"a": 5, "b": 50}}


def test_what_no_payment_of_a_type_knows_is_as_usual_elsewhere():
    rows = rows_of([[1, NAN], [3, 30], [NAN, NAN]], label=[0, 0, 0],
                   type=["PAYMENT", "PAYMENT", "TRANSFER"])
    medians = medians_of(rows, ("PAYMENT", "TRANSFER", "DEBIT"))
    assert medians.overall == {"a": 2, "b": 30}
    assert medians.by_type == {
        name: {"a": 2, "b": 30} for name in ("PAYMENT", "TRANSFER", "DEBIT")}


def test_what_nobody_knows_is_zero():
    rows = rows_of([[1, NAN], [3, NAN]], label=[0, 0], type=["PAYMENT", "PAYMENT"])
    assert medians_of(rows, ("PAYMENT",)).by_type == {"PAYMENT": {"a": 2, "b": 0}}


def test_medians_of_some_features_keep_their_order():
    rows = rows_of([[1, 10]], label=[0], type=["PAYMENT"])
    medians = medians_of(rows, ("PAYMENT",)).of(["b"])
    assert medians.overall == {"b": 10} and medians.by_type == {"PAYMENT": {"b": 10}}
