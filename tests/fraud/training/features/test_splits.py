from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st

from fraud.features import DEFAULT
from fraud.training.data.validation import NOT_KNOWN
from fraud.training.errors import TrainingError
from fraud.training.features import splits
from fraud.training.settings import Split
from fraud.transaction import TYPES

HOUR = 3_600_000
START = 1_700_000_000_000
ROWS = 100                       # one an hour, of which every fifth is a fraud
ENDS = {name: START + hours * HOUR for name, hours in {
    "train": 50, "early_stopping": 60, "calibration": 80, "test": 100}.items()}
PERIODS = {"train": (0, 50), "early_stopping": (50, 60), "calibration": (60, 80), "test": (80, 100)}


@pytest.fixture
def write(tmp_path):
    """Writes payments and features of them; gives a reader of a split.

    The feature in column c of the payment at position p is 1000 c + p.
    """
    def write(**changes):
        number = np.arange(ROWS)
        fraud = number % 5 == 0
        payments = {
            "position": number, "event_time": START + number * HOUR,
            "type": np.array(TYPES)[number % 3],
            "is_fraud": fraud.astype(np.int8), "label_time": START + number * HOUR,
            "amount_cents": number * 100 + 1,
            "incident_id": [f"i{row}" if fraud[row] else None for row in number],
            "fraud_type": ["mule" if fraud[row] else None for row in number], **changes}
        pq.write_table(pa.table(payments), tmp_path / "transactions.parquet", row_group_size=7)
        for name, (first, end) in PERIODS.items():
            write_features(tmp_path / "features" / splits.FOLDER.format(name), first, end)
        return lambda name, ends=ENDS: splits.read_split(
            str(tmp_path / "features"), str(tmp_path / "transactions.parquet"), name, ends)

    return write


def write_features(folder: Path, first: int, end: int) -> None:
    """Three files, in which positions are mixed: as Spark writes them."""
    folder.mkdir(parents=True)
    mixed = np.random.default_rng(7).permutation(np.arange(first, end))
    for part, positions in enumerate(np.array_split(mixed, 3)):
        columns = {name: (1_000 * column + positions).astype(np.float32)
                   for column, name in enumerate(DEFAULT.names)}
        pq.write_table(pa.table({"position": positions, **columns}),
                       folder / f"part-{part}.parquet")


def positions(rows: splits.Rows) -> list[int]:
    """The positions of rows, after each array of them has been found to tell of the same ones."""
    number = (rows.event_time - START) // HOUR
    assert (rows.features.matrix() == 1_000 * np.arange(len(DEFAULT.names)) + number[:, None]).all()
    assert rows.label.tolist() == (number % 5 == 0).tolist()
    assert rows.amount.tolist() == (number + 0.01).tolist()
    assert rows.type.tolist() == np.array(TYPES)[number % 3].tolist()
    assert rows.incident.tolist() == [f"i{row}" if row % 5 == 0 else None for row in number]
    assert rows.fraud_type.tolist() == ["mule" if row % 5 == 0 else None for row in number]
    return number.tolist()


# Borders.

def test_borders_are_shares_of_the_elapsed_time():
    split = Split(train=0.5, early_stopping=0.25, calibration=0.125)
    assert splits.borders(1_000, 1_999, split) == {
        "train": 1_500, "early_stopping": 1_750, "calibration": 1_875, "test": 2_000}


shares = st.tuples(*[st.floats(0.01, 0.3)] * 3)


@given(st.integers(0, 2**42), st.integers(0, 2**36), shares)
def test_borders_follow_one_another_and_the_last_payment_is_in_the_test_period(first, length,
                                                                               shares):
    ends = list(splits.borders(first, first + length, Split(*shares)).values())
    assert first <= ends[0] and ends == sorted(ends) and ends[-1] == first + length + 1
    lengths = np.diff([first, *ends])[:3]
    assert lengths == pytest.approx(np.multiply(shares, length + 1), abs=1.01)


# Rows.

@pytest.mark.parametrize("name", splits.NAMES)
def test_a_split_holds_the_payments_of_its_period_in_event_order(write, name):
    first, end = PERIODS[name]
    assert positions(write()(name)) == list(range(first, end))


@pytest.mark.parametrize(("name", "needed_by"), [
    ("train", 50), ("early_stopping", 80), ("calibration", 80)])
def test_only_labels_known_in_time_are_used(write, name, needed_by):
    """One in three labels becomes known as soon as it is too late, one a millisecond before."""
    first, end = PERIODS[name]
    number = np.arange(ROWS)
    known_at = np.select([number % 3 == 0, number % 3 == 1],
                         [START + needed_by * HOUR, START + needed_by * HOUR - 1],
                         START + number * HOUR)
    read = write(label_time=known_at)
    assert positions(read(name)) == [row for row in range(first, end) if row % 3 != 0]


@pytest.mark.parametrize("name", splits.NAMES)
def test_payments_without_a_label_are_in_no_split(write, name):
    number = np.arange(ROWS)
    read = write(label_time=np.where(number % 3 == 0, NOT_KNOWN, START + number * HOUR))
    assert positions(read(name)) == [row for row in range(*PERIODS[name]) if row % 3 != 0]


def test_every_label_of_the_test_period_is_used_however_late(write):
    read = write(label_time=np.full(ROWS, START + 10_000 * HOUR))
    assert positions(read("test")) == list(range(80, 100))


# Days.

@pytest.mark.parametrize(("name", "hours"), [
    ("train", 50), ("early_stopping", 10), ("calibration", 20), ("test", 20)])
def test_days_are_the_length_of_the_period(write, name, hours):
    assert write()(name).days == pytest.approx(hours / 24)


def test_days_are_less_by_the_share_of_unknown_labels(write):
    known_at = START + np.arange(ROWS) * HOUR
    known_at[45:50] = ENDS["test"]
    rows = write(label_time=known_at)("train")
    assert len(rows.label) == 45
    assert rows.days == pytest.approx(50 / 24 * 45 / 50)


# Refusals.

def refusal(read, name: str, ends=ENDS) -> str:
    with pytest.raises(TrainingError) as caught:
        read(name, ends)
    return str(caught.value)


@pytest.mark.parametrize("name", splits.NAMES)
@pytest.mark.parametrize(("label", "kind"), [(0, "no fraud"), (1, "nothing but fraud")])
def test_a_period_without_both_classes_is_refused(write, name, label, kind):
    first, end = PERIODS[name]
    labels = (np.arange(ROWS) % 5 == 0).astype(np.int8)
    labels[first:end] = label
    assert refusal(write(is_fraud=labels), name) == (
        f"the {name} period has {kind} among its {end - first} labelled payments; "
        "give data that holds both in every period, or more of it")


def test_frauds_whose_labels_come_too_late_are_no_frauds_of_the_period(write):
    known_at = START + np.arange(ROWS) * HOUR + (np.arange(ROWS) % 5 == 0) * 1_000 * HOUR
    assert "the train period has no fraud among its 40 " in refusal(
        write(label_time=known_at), "train")


def test_a_period_without_a_known_label_is_refused(write):
    read = write(label_time=np.full(ROWS, ENDS["test"]))
    assert "the calibration period has no fraud among its 0 labelled payments" in refusal(
        read, "calibration")


def test_an_empty_period_is_refused(write):
    ends = {**ENDS, "early_stopping": ENDS["train"]}
    assert "the early_stopping period has no fraud among its 0 labelled payments" in refusal(
        write(), "early_stopping", ends)


# Validation.

def test_validation_is_early_stopping_and_calibration_where_labels_are_mature(write, tmp_path):
    number = np.arange(ROWS)
    write(label_time=START + (number + np.where(number % 5 == 0, 4, 0)) * HOUR)
    files = str(tmp_path / "features"), str(tmp_path / "transactions.parquet")
    rows = splits.read_validation(*files, ENDS)
    assert positions(rows) == list(range(50, 76))           # labels come within four hours
    assert rows.days == pytest.approx(26 / 24)


def test_only_labelled_payments_of_validation_are_traffic(write, tmp_path):
    number = np.arange(ROWS)
    write(label_time=np.where(number % 5 == 1, NOT_KNOWN, START + number * HOUR))
    files = str(tmp_path / "features"), str(tmp_path / "transactions.parquet")
    rows = splits.read_validation(*files, ENDS)
    assert positions(rows) == [row for row in range(50, 80) if row % 5 != 1]
    assert rows.days == pytest.approx(30 / 24 * 0.8)
