import msgspec
import pytest

from fraud.bundle import Thresholds
from fraud.decision import Decision
from fraud.training.decision_log import read_decisions
from fraud.training.errors import TrainingError
from fraud.training.parity.recount import recounted
from fraud.transaction import Transaction
from fraud.windows import COUNT_NAMES

HOUR = 3_600_000
DECISION = Decision(
    decided_at=1, transaction_id="a", event_time=2, type="DEBIT", amount_cents=3, origin="o",
    destination="d", origin_balance_cents=4, destination_balance_cents=5, history="full",
    unknown_windows=[], late=False, store_sequence=6, recording_since=0, counts=[0] * 48,
    features=[1.5], score=0.5,
    decision="approve", reasons=[], idempotent=True, model_digest="m", model_version="1",
    policy_digest="p", policy_version="1.1", thresholds=Thresholds(0.6, 0.9))
LINE = msgspec.json.encode(DECISION) + b"\n"


def test_lines_of_all_files_are_read_and_one_that_was_cut_off_is_left_out(tmp_path):
    (tmp_path / "one").write_bytes(LINE + LINE[:50])
    (tmp_path / "two").write_bytes(LINE.replace(b'"a"', b'"b"') + LINE)
    read = list(read_decisions([str(tmp_path / "one"), str(tmp_path / "two")]))
    assert [one.transaction_id for one in read] == ["a", "b", "a"] and read[0] == DECISION


def test_a_line_that_is_no_decision_is_named(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(LINE + b'{"level": "info"}\n' + LINE)
    with pytest.raises(TrainingError, match=f"{path}: line 2 is not a decision .*decided_at"):
        list(read_decisions([str(path)]))


@pytest.mark.parametrize("damaged", [
    LINE.replace(b'"a"', b'"\xff"'), b'{"deep": ' + b"[" * 3_000 + b"]" * 3_000 + b"}\n"])
def test_a_line_that_is_not_utf_8_or_nests_too_deeply_is_named(tmp_path, damaged):
    path = tmp_path / "log"
    path.write_bytes(damaged)
    with pytest.raises(TrainingError, match=f"{path}: line 1 is not a decision"):
        list(read_decisions([str(path)]))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(TrainingError, match=f"{tmp_path}/absent: cannot be read"):
        list(read_decisions([str(tmp_path / "absent")]))


def test_counting_again_is_in_the_order_given_and_by_hours_and_days():
    payments = [Transaction(f"t{place}", hour * HOUR, "CASH_IN", 10 ** place, origin,
                            destination, 0, 0)
                for place, (hour, origin, destination) in enumerate([
                    (100, "A", "B"), (101, "B", "A"), (102, "A", "A"), (102, "A", "B"),
                    (124, "A", "C"), (101, "A", "C"), (100, "A", "C"), (125, "C", "A")])]
    names = [f"{side}_{direction}_{measure}_{window}" for side in ("origin", "destination")
             for direction in ("sent", "received") for window in ("hour", "day")
             for measure in ("count", "cents")]
    counts = [[dict(zip(COUNT_NAMES, row, strict=True))[name] for name in names]
              for row in recounted(payments)]
    assert counts[1] == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert counts[3] == [1, 100, 2, 101, 2, 110, 2, 110, 1, 10, 1, 10, 0, 0, 1, 1]
    assert counts[4][:8] == [0, 0, 2, 1100, 0, 0, 2, 110]
    assert counts[5][:8] == [0, 0, 0, 0, 1, 10, 1, 10]      # of 100 nothing is kept any more
    assert counts[6] == [0] * 16                            # too late to be counted
    assert counts[7][:8] == [0, 0, 0, 0, 1, 10 ** 4, 1, 10 ** 4]
