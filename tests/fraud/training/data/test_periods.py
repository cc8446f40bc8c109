import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud.training.data import periods
from fraud.training.data.validation import NOT_KNOWN
from fraud.training.errors import TrainingError
from fraud.training.settings import Split

SPLIT = Split(0.5, 0.2, 0.2)
START = 1_767_225_600_000


def payments(frauds, label_delay=0, unlabelled=()) -> pa.Table:
    """A hundred payments, one a second, of which these are frauds in pairs of one incident."""
    return pa.table({
        "event_time": [START + 1_000 * row for row in range(100)],
        "label_time": [NOT_KNOWN if row in unlabelled else START + 1_000 * (row + label_delay)
                       for row in range(100)],
        "is_fraud": [int(row in frauds) for row in range(100)],
        "incident_id": [str(row // 2) if row in frauds else None for row in range(100)]})


def test_periods_have_rows_frauds_and_incidents():
    found = periods.of_payments(payments({2, 3, 8, 60, 61, 66, 75, 79, 92, 94}), SPLIT)
    assert [period.name for period in found] == list(periods.NAMES)
    assert [(period.payments, period.frauds, period.incidents) for period in found] == [
        (50, 3, 2), (20, 3, 2), (20, 2, 2), (10, 2, 2)]
    assert [period.end for period in found[:3]] == [period.start for period in found[1:]]
    periods.check(found)
    assert "50 payments, 3 frauds in 2 incidents" in str(found[0])


def test_payments_whose_labels_came_too_late_or_never_are_left_out_and_counted():
    found = periods.of_payments(payments({2, 45, 60, 66}, label_delay=10, unlabelled={95}), SPLIT)
    assert [(period.payments, period.late, period.late_frauds, period.unlabelled)
            for period in found] == [(40, 10, 1, 0), (20, 0, 0, 0), (10, 10, 0, 0), (9, 0, 0, 1)]
    assert "10 left out (1 frauds): labels came too late" in str(found[0])


@pytest.mark.parametrize(("frauds", "message"), [
    (set(), "the train period has no fraud among its 50 labelled payments"),
    (set(range(100)), "the train period has nothing but fraud"),
    ({2, 3, 60, 66, 75, 79, 92, 94}, "the train period has 1 incident of fraud, and needs 2"),
    ({2, 8, 60, 66, 75, 79}, "the test period has no fraud among its 10 labelled payments")])
def test_a_period_that_cannot_work_stops_a_run_with_the_reason(frauds, message):
    with pytest.raises(TrainingError, match=message):
        periods.check(periods.of_payments(payments(frauds), SPLIT))


def test_frauds_that_were_known_too_late_are_named_as_the_reason():
    [train, *_] = periods.of_payments(payments({48, 49, 60, 66}, label_delay=5), SPLIT)
    assert train.problem.endswith("(2 frauds are left out, as their labels came after they were "
                                  "needed)")


@pytest.mark.parametrize(("delay", "until"), [(0, 90), (4, 86), (8, 82), (9, 81), (50, 80)])
def test_labels_are_mature_after_their_usual_delay_but_half_of_calibration_counts(
        delay, until, tmp_path):
    frauds = set(range(0, 100, 2))
    pq.write_table(payments(frauds, label_delay=delay), tmp_path / "payments.parquet")
    ends = periods.borders(START, START + 99_000, SPLIT)
    since_start = periods.mature_until(str(tmp_path / "payments.parquet"), ends) - START
    assert since_start == pytest.approx(1_000 * until, abs=1_000)


def test_one_fraud_in_ten_may_be_known_later(tmp_path):
    table, ends = payments(set(range(10))), periods.borders(START, START + 99_000, SPLIT)
    late = table["label_time"].to_numpy() + np.where(np.arange(100) == 3, 20_000, 0)
    pq.write_table(table.set_column(1, "label_time", pa.array(late)), tmp_path / "payments.parquet")
    assert periods.mature_until(str(tmp_path / "payments.parquet"), ends) == ends["calibration"]
