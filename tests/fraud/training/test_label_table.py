import pandas as pd
import pytest

from fraud.labels import Label
from fraud.logs import LabelLog
from fraud.training.errors import TrainingError
from fraud.training.label_table import ACCOUNTS, COLUMNS, read_label_table, read_named_labels
from tests.factories import NOON

LABELS = [Label("1", 1, NOON, "i-1", None, "analyst", origin_pseudonym="a" * 32),
          Label("2", 0, NOON + 1), Label("1", 0, NOON + 2)]


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "labels.jsonl"
    LabelLog(str(path)).write(LABELS[:2])
    LabelLog(str(path)).write(LABELS[2:])
    return path


def test_a_label_log_is_the_table_of_its_labels(log, tmp_path):
    csv = tmp_path / "labels.csv"
    csv.write_text(f"transaction_id,is_fraud,label_time,incident_id,source,origin_pseudonym\n"
                   f"1,1,{NOON},i-1,analyst,{'a' * 32}\n2,0,{NOON + 1},,,\n1,0,{NOON + 2},,,\n")
    pd.testing.assert_frame_equal(read_label_table(log), read_label_table(csv))
    pd.testing.assert_frame_equal(read_named_labels(log), read_named_labels(csv))
    assert list(read_label_table(log)) == [*COLUMNS]
    assert list(read_named_labels(log)) == [*COLUMNS, *ACCOUNTS]


def test_a_line_that_a_crash_cut_off_is_left_out_and_any_other_is_an_error(log):
    with open(log, "ab") as lines:
        lines.write(b'{"transaction_id": "3"')
    assert read_label_table(log)["transaction_id"].tolist() == ["1", "2", "1"]
    with open(log, "ab") as lines:
        lines.write(b"}\n")
    with pytest.raises(TrainingError, match="labels.jsonl: line 4: is_fraud is missing; give 1"):
        read_label_table(log)
    with pytest.raises(TrainingError, match="absent.jsonl: cannot be read .*FRAUD_LABEL_LOG"):
        read_label_table(log.with_name("absent.jsonl"))
