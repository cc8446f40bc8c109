import msgspec
import pytest

from fraud.labels import Label
from fraud.logs import LabelLog, LabelLogError
from tests.factories import NOON

LABELS = [Label("a", 1, NOON), Label("b", 0, NOON)]


def test_labels_are_appended_a_line_each(tmp_path):
    path = tmp_path / "labels.jsonl"
    for label in LABELS:
        LabelLog(str(path)).write([label])
    assert [msgspec.json.decode(line, type=Label)
            for line in path.read_bytes().splitlines()] == LABELS


def test_a_dash_is_stdout(capfd):
    LabelLog("-").write(LABELS)
    assert capfd.readouterr().out.count("\n") == 2


@pytest.mark.parametrize(("path", "why"), [
    ("/dev/full", "No space left on device"), ("/nowhere/labels.jsonl", "No such file")])
def test_a_log_that_cannot_be_written_is_an_error(path, why):
    with pytest.raises(LabelLogError, match=rf"FRAUD_LABEL_LOG is '{path}': .* \({why}.*writable"):
        LabelLog(path).write(LABELS)
